"""qvl run --max-image-tokens, --deadline-ms and --plan: what a request may take, and what it would take."""

import json
import unittest

from program import MODEL, SOURCE, ProgramTest, complaints, qvl

IMAGE = SOURCE / "examples/blue-heart.png"  # 128 x 224 pixels: 28 tokens
VIDEO = SOURCE / "examples/red-cross-to-the-right.mp4"
GREEDY = ["--temperature", 0, "--max-tokens", 3]


class MaxImageTokens(ProgramTest):
    def tokens(self, *args):
        return self.run_json(*GREEDY, *args, "Q")["usage"]["image_tokens"]

    def test_makes_pictures_and_steps_of_videos_smaller(self):
        for limit, tokens in ((4, 2), (8, 6), (27, 18), (28, 28), (16777216, 28)):
            self.assertEqual(self.tokens("--image", IMAGE, "--max-image-tokens", limit), tokens)
        self.assertLess(self.tokens("--video", VIDEO, "--max-image-tokens", 4), self.tokens("--video", VIDEO))

    def test_counts_in_conversations_logits_and_batches_too(self):
        alone = self.good("run", "--model", MODEL, *GREEDY, "--image", IMAGE, "--max-image-tokens", 4, "Q")
        chat = self.good("chat", "--model", MODEL, *GREEDY, "--max-image-tokens", 4,
                         input=f"/image {IMAGE}\nQ\n".encode())
        self.assertEqual(chat, alone)
        small, whole = (self.logits("--image", IMAGE, *args, "--prompt", "Q").stat().st_size
                        for args in (["--max-image-tokens", 4], []))
        self.assertLess(small, whole)
        path = self.folder / "batch.jsonl"
        path.write_text("".join(json.dumps({"prompt": "Q", "images": [str(IMAGE)], **fields}) + "\n"
                                for fields in ({}, {"max_image_tokens": 4}, {"max_image_tokens": None})))
        answers = [json.loads(line) for line in
                   self.good("run", "--model", MODEL, *GREEDY, "--max-image-tokens", 8, "--batch", path).splitlines()]
        used = [answer["usage"]["image_tokens"] for answer in answers]
        self.assertEqual(used, [6, 2, 6])

    def test_below_the_least_of_the_checkpoint_or_no_number_is_refused(self):
        self.refused(2, f"{IMAGE}: max_image_tokens: found 3, expected 4 or more (min_pixels of the checkpoint is 4096)",
                     "run", "--model", MODEL, "--image", IMAGE, "--max-image-tokens", 3, "Q")
        for value in (0, -1, "few"):
            self.refused(2, f'--max-image-tokens: found "{value}", expected an integer from 1 to 16777216',
                         "run", "--model", MODEL, "--image", IMAGE, f"--max-image-tokens={value}", "Q")


class Deadline(ProgramTest):
    def test_ends_an_answer_with_what_it_has(self):
        whole = self.run_json("--temperature", 0, "--max-tokens", 400, "Hello")
        cut = self.run_json("--temperature", 0, "--max-tokens", 400, "--deadline-ms", 1, "Hello")
        self.assertIn(cut["finish_reason"], ("deadline", whole["finish_reason"]))
        self.assertEqual(cut["tokens"], whole["tokens"][:len(cut["tokens"])])
        if cut["finish_reason"] != "deadline":
            self.assertEqual(cut["tokens"], whole["tokens"])

    def test_that_is_far_away_changes_nothing(self):
        args = ["run", "--model", MODEL, *GREEDY, "--image", IMAGE, "Hello"]
        self.assertEqual(self.good(*args, "--deadline-ms", 2147483647), self.good(*args))

    def test_is_a_field_of_a_batch_whose_lines_are_answered(self):
        path = self.folder / "batch.jsonl"
        path.write_text("".join(json.dumps({"prompt": "Hello", "max_tokens": tokens, **fields}) + "\n" for tokens, fields in
                                ((3, {}), (4000, {"deadline_ms": 1}), (3, {"deadline_ms": 0}), (3, {"deadline_ms": 0.5}))))
        result = qvl("run", "--model", MODEL, "--temperature", 0, "--batch", path)
        self.assertEqual(result.returncode, 2, result.stderr)
        answers = [json.loads(line) for line in result.stdout.splitlines()]
        self.assertEqual(answers[0]["finish_reason"], "length")
        self.assertIn(answers[1]["finish_reason"], ("deadline", "stop", "length"))
        self.assertEqual(answers[2]["error"]["message"], "deadline_ms: found 0, expected 1 to 2147483647")
        self.assertEqual(answers[3]["error"]["message"], 'deadline_ms: found 0.5, expected an integer of at most 64 bits')

    def test_out_of_its_range_is_refused(self):
        for value in (0, -1, 2147483648, "soon"):
            self.refused(2, f'--deadline-ms: found "{value}", expected an integer from 1 to 2147483647',
                         "run", "--model", MODEL, f"--deadline-ms={value}", "Q")


class Plan(ProgramTest):
    def plan(self, *args):
        output = self.good("run", "--model", MODEL, "--plan", "--json", *args)
        self.assertEqual(output.count(b"\n"), 1)
        return json.loads(output)

    def test_tells_what_the_request_then_takes(self):
        for media in (["--image", IMAGE], ["--image", IMAGE, "--max-image-tokens", 4], ["--video", VIDEO], []):
            plan, usage = self.plan(*media, "Q"), self.run_json(*GREEDY, *media, "Q")["usage"]
            self.assertEqual((plan["prompt_tokens"], plan["image_tokens"]), (usage["prompt_tokens"], usage["image_tokens"]))
            self.assertEqual(sum(medium["tokens"] for medium in plan["media"]), usage["image_tokens"])
            self.assertEqual(plan["memory_bytes"], sum(plan["memory"].values()))
            self.assertTrue(plan["fits"])

    def test_invents_no_times(self):
        self.assertEqual(self.plan("--image", IMAGE, "Q")["seconds"],
                         {"prepare": None, "encode": None, "prefill": None, "decode": None, "first_token": None})

    def test_is_readable(self):
        result = qvl("run", "--model", MODEL, "--plan", "--image", IMAGE, "--max-tokens", 7, "Q")
        self.assertEqual((result.returncode, complaints(result.stderr)), (0, b""))
        lines = result.stdout.decode().splitlines()
        self.assertEqual(lines[0], f"image {IMAGE}")
        self.assertIn("  answer                    7 at most", lines)
        self.assertIn("  encode                    not measured yet", lines)

    def test_refuses_what_the_request_would_be_refused_for(self):
        context = json.loads((MODEL / "config.json").read_text())["text_config"]["max_position_embeddings"]
        args = ["run", "--model", MODEL, "-"]
        text = b"word " * context
        planned = self.refused(5, f"the model takes {context}", *args, "--plan", input=text)
        self.assertEqual(planned.stderr, self.refused(5, "", *args, input=text).stderr)
        self.refused(4, "gone.png: cannot open", "run", "--model", MODEL, "--plan", "--image", "gone.png", "Q")

    def test_is_for_one_request(self):
        self.refused(2, "--batch", "run", "--model", MODEL, "--plan", "--batch", "x.jsonl")


if __name__ == "__main__":
    unittest.main()
