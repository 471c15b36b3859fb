"""Answers: their JSON form, sampling, stop strings, limits of length."""

import json
import unittest

from program import IMAGE, MODEL, OTHER_IMAGE, VIDEO, ProgramTest, best_token

GREEDY = ["--temperature", 0, "--max-tokens", 24]


class Answers(ProgramTest):
    def test_the_json_object(self):
        answer = self.run_json("--image", IMAGE, "--video", VIDEO, *GREEDY, "What is it?")
        self.assertLessEqual({"text", "tokens", "finish_reason", "usage", "timings"}, set(answer))
        self.assertEqual(set(answer["usage"]), {"prompt_tokens", "image_tokens", "cached_tokens",
                                                "completion_tokens"})
        self.assertEqual(answer["media"], [{"path": str(IMAGE), "features": "computed"},
                                           {"path": str(VIDEO), "features": "computed"}])
        self.assertEqual(set(answer["timings"]), {"load_s", "preprocess_s", "vision_s", "prefill_s", "decode_s",
                                                  "time_to_first_token_s"})
        self.assertTrue(all(seconds > 0 for seconds in answer["timings"].values()))
        self.assertEqual(len(answer["tokens"]), answer["usage"]["completion_tokens"])
        self.assertLess(answer["usage"]["image_tokens"], answer["usage"]["prompt_tokens"])
        self.assertGreater(answer["usage"]["image_tokens"], 0)
        self.assertIn(answer["finish_reason"], ["stop", "length"])

    def test_streamed_text_is_the_same_text(self):
        answer = self.run_json(*GREEDY, "--image", IMAGE, "Hello")
        streamed = self.good("run", "--model", MODEL, *GREEDY, "--image", IMAGE, "Hello")
        self.assertEqual(streamed.decode(), answer["text"] + "\n")

    def test_greedy_tokens_are_the_best_of_the_logits(self):
        prompt = "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>Hi<|im_end|>\n<|im_start|>assistant\n"
        answer = self.run_json("--temperature", 0, "--max-tokens", 1, "--image", IMAGE, "Hi")
        self.assertEqual(answer["tokens"], [best_token(self.logits("--image", IMAGE, "--raw", "--prompt", prompt))])

    def test_the_system_turn_is_part_of_the_prompt_only_if_given(self):
        bare = self.run_json(*GREEDY, "Hi")["usage"]["prompt_tokens"]
        ordinary = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
        self.assertEqual(bare, len(self.tokenize(ordinary)))
        with_system = self.run_json(*GREEDY, "--system", "Be brief.", "Hi")["usage"]["prompt_tokens"]
        self.assertEqual(with_system,
                         len(self.tokenize("<|im_start|>system\nBe brief.<|im_end|>\n" + ordinary)))

    def test_the_prompt_may_come_from_standard_input(self):
        piped = self.run_json(*GREEDY, "-", input=b"Hello\nworld")
        self.assertEqual(piped["tokens"], self.run_json(*GREEDY, "Hello\nworld")["tokens"])

    def test_threads_change_nothing(self):
        expected = self.run_json(*GREEDY, "--image", OTHER_IMAGE, "Hello")["tokens"]
        for threads in (1, 2, 1024):
            answer = self.run_json(*GREEDY, "--threads", threads, "--image", OTHER_IMAGE, "Hello")
            self.assertEqual(answer["tokens"], expected)
            self.assertLessEqual(answer["threads"], threads)

    def test_timings_come_as_one_line_beside_the_answer(self):
        self.refused(0, "prefill", "run", "--model", MODEL, *GREEDY, "--timings", "Hello")


class Sampling(ProgramTest):
    def test_a_seed_fixes_the_answer(self):
        draw = lambda seed: self.run_json("--temperature", 1.5, "--top-k", 0, "--top-p", 1, "--max-tokens", 16, "--seed",
                                          seed, "Hello")["tokens"]
        self.assertEqual(draw(7), draw(7))
        self.assertEqual(draw(2**64 - 1), draw(2**64 - 1))
        self.assertNotEqual(draw(7), draw(8))

    def test_without_options_the_checkpoint_decides(self):
        greedy = self.run_json(*GREEDY, "Hello")["tokens"]
        model = self.changed_model(generation_config=lambda c: c.update(do_sample=False))
        output = self.good("run", "--model", model, "--max-tokens", 24, "Hello")
        self.assertEqual(output, self.good("run", "--model", MODEL, *GREEDY, "Hello"))
        sampled = {tuple(self.run_json("--max-tokens", 24, "--temperature", 5, "--top-k", 0, "--top-p", 1, "Hello")
                         ["tokens"]) for _ in range(3)}
        self.assertGreater(len(sampled | {tuple(greedy)}), 2)

    def test_one_candidate_is_greedy(self):
        greedy = self.run_json(*GREEDY, "Hello")["tokens"]
        self.assertEqual(self.run_json("--top-k", 1, "--temperature", 1, "--max-tokens", 24, "Hello")["tokens"], greedy)
        self.assertEqual(self.run_json("--top-p", 1e-6, "--temperature", 1, "--max-tokens", 24, "Hello")["tokens"],
                         greedy)

    def test_a_presence_penalty_ends_repetition(self):
        tokens = self.run_json("--temperature", 0, "--presence-penalty", 100, "--max-tokens", 40, "Hello")["tokens"]
        self.assertEqual(len(tokens), len(set(tokens)))

    def test_numbers_do_not_depend_on_the_locale(self):
        env = {"LC_ALL": "de_DE.UTF-8", "LANG": "de_DE.UTF-8", "PATH": "/usr/bin:/bin"}
        args = ["run", "--model", MODEL, "--temperature", "0.5", "--seed", 1, "--max-tokens", 4, "Hello"]
        self.assertEqual(self.good(*args, env=env), self.good(*args))


class Ends(ProgramTest):
    def test_the_answer_ends_before_a_stop_string(self):
        text = self.run_json(*GREEDY, "Hello")["text"]
        self.assertGreater(len(text), 12)
        for begin in range(2, 10):
            stop = text[begin:begin + 4]
            answer = self.run_json(*GREEDY, "--stop", "never said", "--stop", stop, "Hello")
            self.assertEqual(answer["text"], text[:text.index(stop)])
            self.assertEqual(answer["finish_reason"], "stop")

    def test_length(self):
        answer = self.run_json("--temperature", 0, "--max-tokens", 3, "Hello")
        self.assertEqual((len(answer["tokens"]), answer["finish_reason"]), (3, "length"))

    def test_an_end_token_of_the_checkpoint_ends_the_answer(self):
        tokens = self.run_json(*GREEDY, "Hello")["tokens"]
        model = self.changed_model(generation_config=lambda c: c.update(eos_token_id=[tokens[2]]))
        output = self.good("run", "--model", model, *GREEDY, "Hello").decode().rstrip("\n")
        kept = ",".join(map(str, tokens[:tokens.index(tokens[2])]))
        self.assertEqual(output, self.good("detokenize", "--model", MODEL, kept).decode().rstrip("\n"))

    def test_the_answer_ends_where_the_context_does(self):
        model = self.changed_model(config=lambda c: c["text_config"].update(max_position_embeddings=32))
        prompt = len(self.tokenize("<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"))
        answer = json.loads(self.good("run", "--model", model, "--json", "--temperature", 0, "--presence-penalty", 50,
                                      "--max-tokens", 500, "Hello"))
        self.assertEqual((answer["finish_reason"], len(answer["tokens"])), ("length", 32 - prompt))


if __name__ == "__main__":
    unittest.main()
