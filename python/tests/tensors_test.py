"""Tensors as a processor makes them, on the small model that ships: the logits and answers of the same prompts as files."""
import os
import unittest
from pathlib import Path

import numpy

import qvl

SOURCE = Path(os.environ["QVL_SOURCE_DIR"])
HEART, CROSS = SOURCE / "examples" / "blue-heart.png", SOURCE / "examples" / "white-cross.webp"
QUESTION = "Describe this picture."
PADDING = 743


class TensorsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = qvl.load_model(SOURCE / "models" / "shapes", cache_folder="")
        cls.pipeline = qvl.OptimizedInferencePipeline(cls.model)
        cls.addClassCleanup(cls.pipeline.cleanup)

    def ids(self, tokens, question=QUESTION):
        text = (f"<|im_start|>user\n<|vision_start|>{'<|image_pad|>' * tokens}<|vision_end|>{question}<|im_end|>\n"
                "<|im_start|>assistant\n")
        return self.model.tokenizer.tokenize(text, "parsed")

    def inputs(self, *paths, side="left"):
        """What a processor returns for one question about each picture."""
        media = [self.model.pixels(path) for path in paths]
        rows = [self.ids(len(values) // 4) for values, _ in media]
        longest = max(len(row) for row in rows)
        padded, mask = [], []
        for row in rows:
            padding = [PADDING] * (longest - len(row))
            padded.append(padding + row if side == "left" else row + padding)
            mask.append([0] * len(padding) + [1] * len(row) if side == "left" else [1] * len(row) + [0] * len(padding))
        return {"input_ids": numpy.array(padded), "attention_mask": numpy.array(mask),
                "pixel_values": numpy.concatenate([values for values, _ in media]),
                "image_grid_thw": numpy.array([grid for _, grid in media])}

    def test_logits_are_those_of_the_picture_file(self):
        inputs = self.inputs(HEART)
        before = {name: array.copy() for name, array in inputs.items()}
        logits = self.pipeline.run_inference(inputs)
        self.assertEqual((logits.shape, logits.dtype), ((*inputs["input_ids"].shape, self.model.vocabulary), numpy.float32))
        numpy.testing.assert_array_equal(logits[0], self.model.logits(QUESTION, images=[HEART]))
        for name, array in before.items():
            numpy.testing.assert_array_equal(inputs[name], array)

    def test_padding_on_either_side_changes_nothing(self):
        expected = [self.model.logits(QUESTION, images=[path]) for path in (HEART, CROSS)]
        self.assertNotEqual(len(expected[0]), len(expected[1]))
        for side in ("left", "right"):
            with self.subTest(side):
                inputs = self.inputs(HEART, CROSS, side=side)
                logits = self.pipeline.run_inference(inputs)
                for row, mask, values in zip(logits, inputs["attention_mask"], expected):
                    numpy.testing.assert_array_equal(row[mask == 1], values)
                    self.assertFalse(row[mask == 0].any())

    def test_greedy_tokens_stand_behind_the_prompts(self):
        inputs = self.inputs(HEART, CROSS)
        answers = [self.pipeline.run_inference(QUESTION, images=[path], temperature=0) for path in (HEART, CROSS)]
        ids = self.pipeline.run_inference(inputs, max_new_tokens=40)
        columns = inputs["input_ids"].shape[1]
        numpy.testing.assert_array_equal(ids[:, :columns], inputs["input_ids"])
        self.assertEqual(ids.shape[1], columns + max(len(answer.tokens) for answer in answers) + 1)
        for row, answer in zip(ids, answers):
            generated = list(row[columns:])
            expected = answer.tokens + [answer.end_token] * (len(generated) - len(answer.tokens))
            self.assertEqual(generated, expected)
        padded = self.pipeline.run_inference(inputs, max_new_tokens=40, pad_token_id=PADDING)
        shorter = min(range(2), key=lambda row: len(answers[row].tokens))
        if len(answers[0].tokens) != len(answers[1].tokens):
            self.assertEqual(padded[shorter, -1], PADDING)
        self.assertEqual(self.pipeline.run_inference(inputs, max_new_tokens=3).shape, (2, columns + 3))

    def test_a_batch_may_mix_tensors_and_texts(self):
        logits, answer = self.pipeline.run_batch_inference([self.inputs(HEART), {"prompt": QUESTION, "images": [HEART]}])
        self.assertEqual(logits.shape[0], 1)
        self.assertEqual(str(answer), "A blue heart on a black background.")

    def test_text_alone_and_lists_are_taken_too(self):
        ids = self.model.tokenizer.tokenize("Hi", "parsed")
        numpy.testing.assert_array_equal(self.pipeline.run_inference({"input_ids": [ids]})[0], self.model.logits(ids))

    def test_names_the_tensor_that_is_wrong(self):
        good = self.inputs(HEART)
        infinite = good["pixel_values"].copy()
        infinite[0, 0] = numpy.inf
        wrong = [
            ({"input_ids": good["input_ids"][0]}, f"input_ids: found an array of int64 [{good['input_ids'].shape[1]}], "
             "expected two dimensions of integers"),
            ({"input_ids": None}, "input_ids: found an array of object [], expected two dimensions of integers"),
            ({"input_ids": [[1, 2], [3]]}, "input_ids: found rows of different lengths, expected an array"),
            ({"input_ids": [[1.5]]}, "input_ids: found an array of float64 [1, 1], expected two dimensions of integers"),
            ({"input_ids": [[768]]}, "input_ids: row 0: found 768, expected 0 to 767"),
            ({"input_ids": [[1, 2]], "attention_mask": [[1], [1]]},
             "attention_mask: found [2, 1], expected [1, 2] as of input_ids"),
            ({**good, "image_grid_thw": None}, "image_grid_thw: missing, pixel_values is given"),
            ({**good, "pixel_values": good["pixel_values"][:, :768]},
             "pixel_values: found 768 values for each patch, expected 1536"),
            ({**good, "pixel_values": good["pixel_values"][:-4]},
             f"pixel_values: found {len(infinite) - 4} patches, image_grid_thw has more"),
            ({**good, "pixel_values": infinite}, "pixel_values: value 0 is inf, expected finite numbers"),
            ({**good, "temperature": 1}, "temperature: an option of generation, which max_new_tokens asks for"),
            ({**good, "prompt": "x"}, "prompt: unknown field beside tensors, expected one of input_ids, attention_mask, "
             "pixel_values, image_grid_thw, pixel_values_videos, video_grid_thw, max_new_tokens, pad_token_id, "
             "request_class, client, deadline_ms, temperature, top_k, top_p, repetition_penalty, presence_penalty, seed, stop, "
             "prefill_chunk"),
            ({**good, "max_new_tokens": 0}, "max_new_tokens: found 0, expected 1 to 16777216"),
            ({**good, "max_new_tokens": "few"}, "max_new_tokens: found 'few', expected an integer"),
            ({**good, "max_new_tokens": 2 ** 70}, f"max_new_tokens: found {2 ** 70}, which is out of range, expected an integer"),
            ({**good, "max_new_tokens": 1, "top_k": -1}, "top_k: found -1, expected 0 to 16777216"),
        ]
        for inputs, message in wrong:
            with self.subTest(message), self.assertRaises(ValueError) as caught:
                self.pipeline.run_inference(inputs)
            self.assertEqual(str(caught.exception), message)
        with self.assertRaises(qvl.UsageError) as caught:
            self.pipeline.submit(good)
        self.assertEqual(str(caught.exception), "input_ids: tensors are for run_inference and run_batch_inference")


if __name__ == "__main__":
    unittest.main()
