"""Objects of transformers, by stand-ins that hold the tensors of the small model that ships: neither torch nor transformers is
needed. tools/conformance/python_transformers.py compares with the real ones."""
import json
import os
import struct
import sys
import unittest
from pathlib import Path

import numpy

import qvl

SOURCE = Path(os.environ["QVL_SOURCE_DIR"])
MODEL = SOURCE / "models" / "shapes"
HEART = SOURCE / "examples" / "blue-heart.png"
QUESTION = "Describe this picture."


class Device:
    def __init__(self, kind):
        self.type = kind

    def __str__(self):
        return self.type


class Tensor:
    """As much of a torch tensor as a wrapper may ask for."""

    def __init__(self, array, dtype="torch.bfloat16", device="cpu"):
        self.array, self.dtype, self.device, self.shape = array, dtype, Device(device), array.shape

    def contiguous(self):
        return self if self.array.flags.c_contiguous else Tensor(numpy.ascontiguousarray(self.array), self.dtype)

    def data_ptr(self):
        return self.array.ctypes.data

    def numel(self):
        return self.array.size

    def element_size(self):
        return self.array.itemsize


class Config:
    def __init__(self, values):
        self.values = values

    def to_dict(self):
        return json.loads(json.dumps(self.values))


def tensors_of(path):
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + length])
    header.pop("__metadata__", None)
    return {name: Tensor(numpy.frombuffer(data, numpy.uint16, offset=8 + length + entry["data_offsets"][0],
                                          count=int(numpy.prod(entry["shape"]))).reshape(entry["shape"]))
            for name, entry in header.items()}


class Qwen3VLForConditionalGeneration:
    __module__ = "transformers.models.qwen3_vl.modeling_qwen3_vl"

    def __init__(self, name_or_path=""):
        self.name_or_path = name_or_path
        self.tensors = tensors_of(MODEL / "model.safetensors")
        self.tensors["lm_head.weight"] = self.tensors["model.language_model.embed_tokens.weight"]
        self.config = Config(json.loads((MODEL / "config.json").read_text(encoding="utf-8")))
        self.generation_config = Config(json.loads((MODEL / "generation_config.json").read_text(encoding="utf-8")))
        self.generation_config.pad_token_id = 5

    def state_dict(self):
        return dict(self.tensors)


class Processor:
    def save_pretrained(self, folder):
        for name in ("tokenizer.json", "tokenizer_config.json", "preprocessor_config.json", "video_preprocessor_config.json"):
            (Path(folder) / name).write_bytes((MODEL / name).read_bytes())


class LaterProcessor(Processor):
    """As transformers 5 saves it."""

    def save_pretrained(self, folder):
        super().save_pretrained(folder)
        parts = {}
        for part, name in (("image_processor", "preprocessor_config.json"), ("video_processor", "video_preprocessor_config.json")):
            parts[part] = json.loads((Path(folder) / name).read_text(encoding="utf-8"))
            (Path(folder) / name).unlink()
        (Path(folder) / "processor_config.json").write_text(json.dumps(parts), encoding="utf-8")


class Derived(Qwen3VLForConditionalGeneration):
    pass


EXACT = {"weights": "f32", "vision_weights": "f32", "kv": "f32"}


class TransformersTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.expected = qvl.load_model(MODEL, cache_folder="", **EXACT).logits(QUESTION, images=[HEART])

    def test_an_object_computes_as_its_checkpoint_whatever_gives_the_tokenizer(self):
        for options in ({"tokenizer": MODEL}, {"processor": Processor()}, {"processor": LaterProcessor()}):
            with self.subTest(options):
                model = qvl.from_transformers(Qwen3VLForConditionalGeneration(), **options)
                numpy.testing.assert_array_equal(model.logits(QUESTION, images=[HEART]), self.expected)
        model = qvl.from_transformers(Derived(str(MODEL)))
        numpy.testing.assert_array_equal(model.logits(QUESTION, images=[HEART]), self.expected)
        self.assertEqual((model.pad_token_id, model.from_cache, model.warnings), (5, False, []))

    def test_a_pipeline_takes_the_object_itself(self):
        with qvl.apply_system_level_optimizations(Qwen3VLForConditionalGeneration(str(MODEL)), weights="q8") as pipeline:
            self.assertEqual(str(pipeline.run_inference(QUESTION, images=[HEART])), "A blue heart on a black background.")
        with self.assertRaises(qvl.LimitError):
            qvl.apply_system_level_optimizations(Qwen3VLForConditionalGeneration(str(MODEL)), memory_limit="17MiB")
        with self.assertRaises(ValueError) as caught:
            qvl.apply_system_level_optimizations(Qwen3VLForConditionalGeneration(str(MODEL)), weights="q3")
        self.assertEqual(str(caught.exception), "weights: found 'q3', expected one of auto, f32, bf16, q8, q4")

    def test_an_optimizer_makes_a_model_of_the_object(self):
        config = qvl.SystemOptimizationConfig(num_compute_threads=1)
        thing = Qwen3VLForConditionalGeneration(str(MODEL))
        with qvl.SystemOptimizer(config) as optimizer:
            model = optimizer.optimize_for_inference(thing)
            self.assertIsInstance(model, qvl.Model)
            self.assertEqual(model.threads, 1)
            logits = optimizer.execute_compute_async(model.logits, QUESTION, images=[HEART]).result()
        numpy.testing.assert_array_equal(logits, self.expected)

    def test_the_weights_stay_where_they_are_and_alive(self):
        thing = Qwen3VLForConditionalGeneration()
        before = {name: (tensor.data_ptr(), tensor.array.copy()) for name, tensor in thing.tensors.items()}
        model = qvl.from_transformers(thing, tokenizer=MODEL)
        owner = sys.getrefcount(thing.tensors["lm_head.weight"])
        for name, (pointer, values) in before.items():
            self.assertEqual(thing.tensors[name].data_ptr(), pointer)
            numpy.testing.assert_array_equal(thing.tensors[name].array, values)
        del model
        self.assertLess(sys.getrefcount(thing.tensors["lm_head.weight"]), owner)
        model = qvl.from_transformers(thing, tokenizer=MODEL)
        del thing, before
        numpy.testing.assert_array_equal(model.logits(QUESTION, images=[HEART]), self.expected)

    def test_a_weight_that_is_not_contiguous_is_copied(self):
        thing = Qwen3VLForConditionalGeneration(str(MODEL))
        name = "model.language_model.layers.0.mlp.down_proj.weight"
        thing.tensors[name] = Tensor(numpy.asfortranarray(thing.tensors[name].array))
        numpy.testing.assert_array_equal(qvl.from_transformers(thing).logits(QUESTION, images=[HEART]), self.expected)

    def test_without_a_tokenizer_there_are_tensors_only(self):
        model = qvl.from_transformers(Qwen3VLForConditionalGeneration("somebody/on-a-hub"))
        ids = qvl.load_tokenizer(MODEL).tokenize("Hi", "parsed")
        with qvl.OptimizedInferencePipeline(model) as pipeline:
            self.assertEqual(pipeline.run_inference({"input_ids": [ids]}).shape, (1, len(ids), 768))
            with self.assertRaises(ValueError) as caught:
                pipeline.run_inference("Hi")
        self.assertEqual(str(caught.exception), "Qwen3VLForConditionalGeneration: it was given without a tokenizer, so "
                         "prompts come as tensors only")

    def test_names_what_cannot_be_read_in_place(self):
        name = "model.language_model.norm.weight"
        for change, error, message in [
            (Tensor(numpy.zeros(4), "torch.float64"), ValueError,
             f"{name}: found torch.float64, expected torch.float32, torch.float16, torch.bfloat16"),
            (Tensor(numpy.zeros(4), device="meta"), ValueError,
             f"{name}: found on meta, expected on the processor: model.to('cpu')"),
            (Tensor(numpy.zeros(4, numpy.uint16)), OSError,
             f"Qwen3VLForConditionalGeneration: {name}: found shape [4], expected [160]"),
        ]:
            thing = Qwen3VLForConditionalGeneration(str(MODEL))
            thing.tensors[name] = change
            with self.subTest(message), self.assertRaises(error) as caught:
                qvl.from_transformers(thing)
            self.assertEqual(str(caught.exception), message)

    def test_nothing_of_torch_is_imported(self):
        self.assertNotIn("torch", sys.modules)
        self.assertNotIn("transformers", sys.modules)


if __name__ == "__main__":
    unittest.main()
