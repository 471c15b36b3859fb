"""qvl chat: later turns see earlier ones, exactly as one prompt with all of them would."""

import re
import unittest

from program import IMAGE, MODEL, OTHER_IMAGE, ProgramTest, best_token, qvl

GREEDY = ["--temperature", "0", "--max-tokens", "10"]


def turn(text, images=""):
    return f"<|im_start|>user\n{images}{text}<|im_end|>\n<|im_start|>assistant\n"


class Chat(ProgramTest):
    def chat(self, lines, *args):
        result = qvl("chat", "--model", MODEL, *GREEDY, *args, input="\n".join(lines).encode())
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout.decode(), result.stderr.decode()

    def greedy_by_logits(self, prompt, images, count):
        """The answer to one prompt, one token at a time, each from the logits of all tokens before it."""
        parts = prompt.split("<|image_pad|>")
        prompt = parts[0]
        for image, part in zip(images, parts[1:], strict=True):
            prompt += "<|image_pad|>" * self.run_json(*GREEDY, "--image", image, "Q")["usage"]["image_tokens"] + part
        ids = self.tokenize(prompt)
        media = [argument for image in images for argument in ("--image", image)]
        answer = []
        for _ in range(count):
            answer.append(best_token(self.logits(*media, "--tokens", ",".join(map(str, ids + answer)))))
        return self.good("detokenize", "--model", MODEL, ",".join(map(str, answer))).decode()

    def test_the_first_turn_is_the_same_as_run(self):
        expected = self.good("run", "--model", MODEL, *GREEDY, "--image", IMAGE, "What?").decode()
        self.assertEqual(self.chat([f"/image {IMAGE}", "What?", "/quit", "never asked"])[0], expected)
        self.assertEqual(self.chat(["What?"], "--image", IMAGE)[0], expected)

    def test_a_later_turn_equals_one_prompt_with_all_turns(self):
        pad = "<|vision_start|><|image_pad|><|vision_end|>"
        first = self.good("run", "--model", MODEL, *GREEDY, "--image", IMAGE, "What?").decode()[:-1]
        prompt = turn("What?", pad) + f"{first}<|im_end|>\n" + turn("And this?", pad)
        expected = self.greedy_by_logits(prompt, [IMAGE, OTHER_IMAGE], 10)
        text, errors = self.chat([f"/image {IMAGE}", "What?", f"/image {OTHER_IMAGE}", "And this?"])
        self.assertEqual(errors, "")
        self.assertEqual(text, first + "\n" + expected)

    def test_only_new_tokens_are_computed(self):
        _, errors = self.chat([f"/image {IMAGE}", "What?", "And?"], "--timings")
        computed = [int(n) for n in re.findall(r"prefill [0-9.]+ s \((\d+) tokens\)", errors)]
        self.assertEqual(len(computed), 2)
        image_tokens = self.run_json(*GREEDY, "--image", IMAGE, "What?")["usage"]["image_tokens"]
        self.assertGreater(computed[0], image_tokens)
        # The answer, its end, the new turn; an answer of odd bytes may be spelled in other tokens when read again.
        self.assertLess(computed[1], 10 * 3 + len(self.tokenize("<|im_end|>\n" + turn("And?"))) + 1)

    def test_a_line_that_is_too_long_is_dropped(self):
        text, errors = self.chat(["x" * (1 << 20) + "y", "What?"])
        self.assertEqual(text, self.good("run", "--model", MODEL, *GREEDY, "What?").decode())
        self.assertEqual(errors, "qvl: a line of more than the 1048576 bytes allowed; it is dropped\n")

    def test_an_error_ends_its_turn_alone(self):
        text, errors = self.chat(["/image no-such-picture.png", "What?", "What?"])
        self.assertEqual(text, self.good("run", "--model", MODEL, *GREEDY, "What?").decode())
        self.assertEqual(errors.count("\n"), 1)
        self.assertIn("no-such-picture.png", errors)

    def test_an_error_between_turns_leaves_the_conversation_as_it_was(self):
        clean, _ = self.chat([f"/image {IMAGE}", "What?", "And?"])
        troubled, errors = self.chat([f"/image {IMAGE}", "What?", f"/image {__file__}", "Broken", "And?"])
        self.assertEqual(troubled, clean)
        self.assertIn("conversation_test.py", errors)

    def test_commands(self):
        text, errors = self.chat(["/help", "/bogus x", "", "/quit", "What?"])
        self.assertEqual(text, "")
        self.assertEqual(len(errors.splitlines()), 2)
        self.assertIn("/quit ends", errors)
        self.assertIn("unknown command /bogus", errors)


if __name__ == "__main__":
    unittest.main()
