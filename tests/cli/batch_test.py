"""qvl run --batch: answers in order, errors on their lines, and a batch that goes on where it was ended."""

import json
import os
import select
import shutil
import signal
import subprocess
import unittest

from program import IMAGE, MODEL, OTHER_IMAGE, PROGRAM, SECONDS, VIDEO, ProgramTest, complaints, qvl

GREEDY = ["--temperature", 0, "--max-tokens", 3]
LIMIT = 1 << 20


def lines_of(data):
    assert data == b"" or data.endswith(b"\n"), data
    return [json.loads(line) for line in data.splitlines()]


class Batch(ProgramTest):
    def write(self, *requests, name="batch.jsonl"):
        """A batch of objects, or of raw bytes."""
        path = self.folder / name
        path.write_bytes(b"".join(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n"
                                  for line in requests))
        return path

    def batch(self, path, *args, code=0, **options):
        result = qvl("run", "--model", MODEL, *GREEDY, "--batch", path, *args, **options)
        self.assertEqual(result.returncode, code, result.stderr)
        return result

    def answers(self, path, *args, **options):
        return lines_of(self.batch(path, *args, **options).stdout)

    def errors(self, *requests, code=2):
        """The messages of lines that fail, None of those that do not."""
        answers = self.answers(self.write(*requests), "--quiet", code=code)
        return [answer["error"]["message"] if "error" in answer else None for answer in answers]

    # What is answered.

    def test_answers_come_in_the_order_of_the_lines_and_are_those_of_single_runs(self):
        requests = [{"id": "one", "prompt": "Hello", "images": [str(IMAGE)]},
                    {"prompt": "word " * 200},
                    {"id": 3, "prompt": "Hello", "max_tokens": 1},
                    {"prompt": "Hello", "max_new_tokens": 2, "system": "Be brief.", "client": 9, "class": "interactive"},
                    {"prompt": "Hello", "videos": [str(VIDEO)], "video_prompt": "nested"},
                    {"prompt": "Hello", "temperature": 2.5, "top_k": 50, "top_p": 0.9, "seed": 18446744073709551615,
                     "repetition_penalty": 1.1, "presence_penalty": 0.5, "stop": ["never seen"]},
                    {"prompt": "", "images": [str(IMAGE), str(OTHER_IMAGE)], "system": None, "seed": None}]
        singles = [["Hello", "--image", IMAGE], ["word " * 200], ["Hello", "--max-tokens", 1],
                   ["Hello", "--max-tokens", 2, "--system", "Be brief."],
                   ["Hello", "--video", VIDEO, "--video-prompt", "nested"],
                   ["Hello", "--temperature", 2.5, "--top-k", 50, "--top-p", 0.9, "--seed", 18446744073709551615,
                    "--repetition-penalty", 1.1, "--presence-penalty", 0.5, "--stop", "never seen"],
                   ["", "--image", IMAGE, "--image", OTHER_IMAGE]]
        answers = self.answers(self.write(*requests))
        self.assertEqual([answer["line"] for answer in answers], list(range(1, 8)))
        self.assertEqual([answer.get("id") for answer in answers], ["one", None, 3, None, None, None, None])
        for answer, single in zip(answers, singles):
            defaults = [word for i in range(0, len(GREEDY), 2) if GREEDY[i] not in single for word in GREEDY[i:i + 2]]
            alone = self.run_json(*defaults, *single)
            for key in ("text", "tokens", "finish_reason", "usage"):
                self.assertEqual(answer[key], alone[key], (key, single))

    def test_many_more_lines_than_are_under_way_at_a_time(self):
        requests = [{"id": i, "prompt": f"Count {i % 5}."} for i in range(300)]
        answers = self.answers(self.write(*requests))
        self.assertEqual([answer["id"] for answer in answers], list(range(300)))
        for answer in answers:
            self.assertEqual(answer["tokens"], answers[answer["id"] % 5]["tokens"])

    def test_options_of_the_command_line_are_for_lines_that_do_not_say(self):
        path = self.write({"prompt": "Hello"}, {"prompt": "Hello", "max_tokens": 5})
        answers = self.answers(path, "--system", "Be brief.")
        alone = self.run_json(*GREEDY, "--system", "Be brief.", "Hello")
        self.assertEqual(answers[0]["tokens"], alone["tokens"])
        self.assertEqual([len(answer["tokens"]) for answer in answers], [3, 5])

    def test_relative_files_begin_at_the_folder_of_the_batch(self):
        shutil.copy(IMAGE, self.folder / "near.png")
        path = self.write({"prompt": "Hello", "images": ["near.png"]})
        expected = self.run_json(*GREEDY, "--image", IMAGE, "Hello")["tokens"]
        self.assertEqual(self.answers(path)[0]["tokens"], expected)
        [answer] = self.answers("-", input=path.read_bytes(), cwd=self.folder)
        self.assertEqual(answer["tokens"], expected)

    def test_blank_lines_marks_and_other_ends_of_lines_are_no_part_of_a_batch(self):
        plain = self.answers(self.write({"prompt": "Hello"}, {"prompt": "Bye"}))
        path = self.write(b"\xef\xbb\xbf" + json.dumps({"prompt": "Hello"}).encode() + b"\r\n", b"\r\n", b" \t\n",
                          json.dumps({"prompt": "Bye"}).encode())
        other = self.answers(path)
        self.assertEqual([answer["line"] for answer in other], [1, 4])
        for key in ("hash", "tokens"):
            self.assertEqual([answer[key] for answer in other], [answer[key] for answer in plain])

    def test_an_empty_batch_is_answered_without_the_model(self):
        for data in (b"", b"\n\n", b"\xef\xbb\xbf"):
            result = qvl("run", "--model", "nowhere", "--batch", self.write(data))
            self.assertEqual((result.returncode, result.stdout, result.stderr),
                             (0, b"", b"qvl: 0 requests answered, 0 failed\n"))

    def test_who_writes_the_lines_may_wait_for_each_answer(self):
        with subprocess.Popen([PROGRAM, "run", "--model", str(MODEL), "--max-tokens", "2", "--batch", "-", "--quiet"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            for number in range(1, 4):
                process.stdin.write(b'{"prompt": "Hello"}\n')
                process.stdin.flush()
                self.assertEqual(json.loads(process.stdout.readline())["line"], number)
            process.stdin.close()
            self.assertEqual((process.stdout.read(), process.wait(SECONDS)), (b"", 0))

    # What is refused, a line at a time.

    def test_a_line_that_cannot_be_asked_harms_no_other(self):
        deep = b'{"prompt": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n"
        messages = self.errors(
            {"prompt": "Hello"},
            {"prompt": "Hello", "promt": 1},
            b"{\n", b"[1]\n", b'"' + b"\xc3\xa9" * 40 + b'"\n', b'{"prompt": "a"} x\n', b'{"prompt": "\xff"}\n', b'{"prompt": "a", "top_p": 1e400}\n',
            b'{"prompt": "a", "prompt": "b"}\n', deep,
            {"prompt": 5}, {"prompt": "Hello", "images": "a.png"}, {"prompt": "Hello", "videos": [1]},
            {"prompt": "Hello", "images": ["a\0b"]},
            {"prompt": "Hello", "id": [1]}, {"prompt": "Hello", "class": "urgent"}, {"prompt": "Hello", "class": 1},
            {"prompt": "Hello", "client": "me"}, {"prompt": "Hello", "client": -1}, {"prompt": "Hello", "client": [1, 2]},
            {"prompt": "Hello", "deadline_ms": 1.5}, {"prompt": "Hello", "top_k": 2 ** 63},
            {"prompt": "Hello", "max_tokens": 1.5}, {"prompt": "Hello", "max_tokens": 9223372036854775808},
            {"prompt": "Hello", "max_tokens": 0}, {"prompt": "Hello", "max_new_tokens": 0}, {"prompt": "Hello", "max_new_tokens": "few"},
            {"prompt": "Hello", "max_new_tokens": 2 ** 24 + 1},
            {"prompt": "Hello", "max_tokens": 1, "max_new_tokens": 1}, {"prompt": "Hello", "seed": -1},
            {"prompt": "Hello", "seed": 2 ** 64}, b'{"seed": 18446744073709551617, "prompt": "Hello", "id": {"seed": 1e3}}\n',
            b'{"prompt": "Hello", "seed": 18446744073709551617}\n', {"prompt": "Hello", "seed": 1.5}, {"prompt": "Hello", "seed": 10 ** 70},
            {"prompt": "Hello", "temperature": "hot"}, {"prompt": "Hello", "temperature": -1},
            {"prompt": "Hello", "stop": [1]}, {}, {"prompt": "Hello"})
        keys = ("id, images, videos, prompt, system, class, client, max_image_tokens, deadline_ms, video_prompt, max_tokens, max_new_tokens, "
                "temperature, top_k, top_p, repetition_penalty, presence_penalty, seed, stop")
        of_64_bits, length = f"an integer from 0 to {2 ** 64 - 1}", "an integer from 1 to 16777216"
        self.assertEqual(messages, [
            None,
            f'"promt": unknown key, expected one of {keys}',
            "malformed JSON at byte 2", "found [1], expected a JSON object",
            'found "' + "\u00e9" * 29 + "..., expected a JSON object", "malformed JSON at byte 17",
            "malformed JSON at byte 13", "malformed JSON: a number that is too large",
            "prompt: given twice", "nested deeper than 8",
            "prompt: found 5, expected a text", 'images: found "a.png", expected a list of files',
            "videos: found [1], expected a list of files",
            "images: a NUL character in the name of a file",
            "id: found [1], expected a text or an integer",
            'class: found "urgent", expected one of interactive, normal, background',
            "class: found 1, expected one of interactive, normal, background",
            f'client: found "me", expected {of_64_bits}', f"client: found -1, expected {of_64_bits}",
            f"client: found [1,2], expected {of_64_bits}",
            "deadline_ms: found 1.5, expected an integer of at most 64 bits",
            "top_k: found 9223372036854775808, expected an integer of at most 64 bits",
            f"max_tokens: found 1.5, expected {length}", f"max_tokens: found 9223372036854775808, expected {length}",
            f"max_tokens: found 0, expected {length}", f"max_new_tokens: found 0, expected {length}",
            f'max_new_tokens: found "few", expected {length}', f"max_new_tokens: found 16777217, expected {length}",
            "max_new_tokens: is another name of max_tokens, which is given too",
            f"seed: found -1, expected {of_64_bits}",
            f"seed: found 18446744073709551616, expected {of_64_bits}",
            'id: found {"seed":1000.0}, expected a text or an integer',
            f"seed: found 18446744073709551617, expected {of_64_bits}",
            f"seed: found 1.5, expected {of_64_bits}", f"seed: found 1{'0' * 59}..., expected {of_64_bits}",
            'temperature: found "hot", expected a number',
            "temperature: found -1, expected 0 to 100",
            "stop: found [1], expected a text or a list of texts",
            "prompt: it is empty, expected a text, a picture or a video",
            None])

    def test_an_error_has_its_line_its_code_and_its_kind(self):
        path = self.write({"prompt": "Hello"}, {"id": "x", "prompt": "Hello", "images": ["gone.png"]}, b"nonsense\n")
        result = self.batch(path, code=4)
        answers = lines_of(result.stdout)
        message = f"{self.folder}/gone.png: cannot open: No such file or directory"
        self.assertEqual(answers[1], {"line": 2, "hash": answers[1]["hash"], "id": "x",
                                      "error": {"code": 4, "kind": "media", "message": message}})
        self.assertEqual((answers[2]["line"], answers[2]["error"]["code"], answers[2]["error"]["kind"]), (3, 2, "usage"))
        end = complaints(result.stderr).decode().splitlines()
        self.assertRegex(end[0], r"^qvl: 3 requests answered, 2 failed, \d+\.\d\d answers/s$")
        self.assertEqual(end[1:], [f"qvl: {path}: line 2: {message}"])

    def test_a_line_too_long_is_refused_and_not_kept(self):
        just = json.dumps({"prompt": "Hello", "system": ""}).encode()
        just = just.replace(b'"system": ""', b'"system": "' + b" " * (LIMIT - len(just)) + b'"') + b"\n"
        self.assertEqual(len(just), LIMIT + 1)
        path = self.write(b'{"prompt": "' + b"a" * (100 << 20) + b'"}\n', just.replace(b'"Hello"', b'"Hello2"'),
                          {"prompt": "Hello"})
        answers = self.answers(path, "--quiet", code=5)
        self.assertEqual([answer.get("error", {}).get("message") for answer in answers],
                         [f"a line of more than the {LIMIT} bytes allowed"] * 2 + [None])
        short = self.write(b"x\n", b"x\n", {"prompt": "Hello"}, name="short.jsonl")
        self.assertLess(self.peak_bytes(path) - self.peak_bytes(short), 50 << 20)

    def peak_bytes(self, path):
        process = subprocess.Popen([PROGRAM, "run", "--model", str(MODEL), "--batch", str(path), "--quiet"],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        return usage.ru_maxrss * 1024

    def test_options_that_do_not_go_together(self):
        path = self.write({"prompt": "Hello"})
        for args, message in ((["--batch", path, "Hello"], "PROMPT excludes --batch; see qvl run --help"),
                              (["--batch", path, "--json"], "--json excludes --batch; see qvl run --help"),
                              (["--batch", path, "--image", IMAGE], "--image excludes --batch; see qvl run --help"),
                              (["--quiet", "Hello"], "--quiet requires --batch; see qvl run --help"),
                              (["--output", "x", "Hello"], "--output requires --batch; see qvl run --help"),
                              ([], "PROMPT is required; see qvl run --help"),
                              (["--batch", self.folder / "gone"], "gone: cannot open: No such file or directory"),
                              (["--batch", self.folder], "cannot read: Is a directory")):
            self.refused(2, message, "run", "--model", MODEL, *args)
        self.refused(3, "nowhere: cannot open", "run", "--model", "nowhere", "--batch", path)

    # Files of answers.

    def requests(self, count):
        return [{"id": i, "prompt": f"Hello {i}", "max_tokens": 2} for i in range(count)]

    def test_a_batch_goes_on_where_it_was_cut(self):
        path = self.write(*self.requests(6), {"prompt": "Hello", "images": ["gone.png"]}, *self.requests(2))
        whole = self.folder / "whole.jsonl"
        self.batch(path, "--output", whole, "--quiet", code=4)
        plain = lines_of(whole.read_bytes())
        lines = whole.read_bytes().splitlines(keepends=True)
        for kept, rest in ((0, b""), (3, b""), (3, lines[3][:1]), (3, lines[3][:7]), (3, lines[3][:8]),
                           (3, lines[3][:10]), (0, lines[0][:30]), (7, lines[7][:-1]), (9, b"")):
            out = self.folder / "part.jsonl"
            before = b"".join(lines[:kept])
            out.write_bytes(before + rest)
            result = self.batch(path, "--output", out, code=4)
            self.assertEqual(result.stdout, b"")
            self.assertTrue(out.read_bytes().startswith(before))
            for ours, theirs in zip(lines_of(out.read_bytes()), plain, strict=True):
                for key in ("line", "id", "hash", "tokens", "error"):
                    self.assertEqual(ours.get(key), theirs.get(key))
            were = f", {kept} were before" if kept else ""
            self.assertIn(f"qvl: {9 - kept} request{'' if kept == 8 else 's'} answered{were}, 1 failed",
                          result.stderr.decode())

    def test_what_is_all_answered_needs_no_model(self):
        path, out = self.write(*self.requests(2)), self.folder / "out.jsonl"
        self.batch(path, "--output", out)
        before = out.read_bytes()
        result = qvl("run", "--model", "nowhere", "--batch", path, "--output", out)
        self.assertEqual((result.returncode, result.stderr), (0, b"qvl: 0 requests answered, 2 were before, 0 failed\n"))
        self.assertEqual(out.read_bytes(), before)

    def test_answers_of_another_batch_stay_as_they_are(self):
        path, out = self.write(*self.requests(3)), self.folder / "out.jsonl"
        self.batch(path, "--output", out)
        before = out.read_bytes() + b'{"line'
        out.write_bytes(before)
        changed = self.requests(3)
        changed[1]["prompt"] = "Another"
        hint = "remove the file, or give another --output"
        for batch, message in ((changed, f"{out}: line 2: is no answer to line 2 of {path}; {hint}"),
                               ([b"\n", *self.requests(3)],
                                f"{out}: line 1: is no answer to line 2 of {path}; {hint}"),
                               (self.requests(2), f"{out}: line 3: one answer more than {path} has requests")):
            self.refused(2, message, "run", "--model", MODEL, "--batch", self.write(*batch), "--output", out)
            self.assertEqual(out.read_bytes(), before)
        path = self.write(*self.requests(3))
        for content in (b"hello\n", b"{}\n", b"[]\n", b'{"line": 1}\n'):
            out.write_bytes(content)
            self.refused(2, f"{out}: line 1: is no answer of a batch; {hint}", "run", "--model", MODEL, "--batch", path,
                         "--output", out)
            self.assertEqual(out.read_bytes(), content)

    def test_a_file_that_does_not_end_in_a_newline_loses_nothing_but_an_answer_that_was_cut(self):
        path, out = self.write(*self.requests(2)), self.folder / "out.jsonl"
        self.batch(path, "--output", out)
        first, second = out.read_bytes().splitlines(keepends=True)
        foreign = (b"my notes", b"[", b'{"lines', b'{"line" ', b'{"title":"' + b"x" * (5 << 20) + b'"}', b"\0" * 8,
                   bytes(byte for byte in range(256) if byte != 10) * 99, b" " + second[:30])
        for before, number in ((b"", 1), (first, 2)):
            for rest in foreign:
                out.write_bytes(before + rest)
                self.refused(2, f"{out}: line {number}: is no answer of a batch; remove the file, or give another --output",
                             "run", "--model", MODEL, "--batch", path, "--output", out)
                self.assertTrue(out.read_bytes() == before + rest, rest[:20])
        out.write_bytes(second[:30])
        os.truncate(out, (256 << 20) + 2)  # more than is kept of a line
        self.refused(2, f"{out}: line 1: is no answer of a batch; remove the file, or give another --output",
                     "run", "--model", MODEL, "--batch", path, "--output", out)
        self.assertEqual(out.stat().st_size, (256 << 20) + 2)
        for before in (b"\n \n", b"\n" + first + b"\n\n"):  # blank lines are nobody's
            for rest in (b"", second[:8]):
                out.write_bytes(before + rest)
                self.batch(path, "--output", out)
                self.assertTrue(out.read_bytes().startswith(before))
                self.assertEqual([json.loads(line)["line"] for line in out.read_bytes().splitlines() if line.strip()],
                                 [1, 2])

    def test_an_output_that_cannot_be(self):
        path = self.write(*self.requests(1))
        self.refused(2, f"{path}: is the batch itself, expected another file for the answers", "run", "--model", MODEL,
                     "--batch", path, "--output", path)
        self.refused(6, f"{self.folder}: cannot open: Is a directory", "run", "--model", MODEL, "--batch", path,
                     "--output", self.folder)
        self.refused(6, "/dev/full: cannot write: No space left on device", "run", "--model", MODEL, "--batch", path, "--output", "/dev/full")

    def test_two_batches_do_not_write_one_file(self):
        path, out = self.write(*self.requests(1)), self.folder / "out.jsonl"
        with subprocess.Popen([PROGRAM, "run", "--model", str(MODEL), "--batch", "-", "--output", str(out), "--quiet"],
                              stdin=subprocess.PIPE) as first:
            while not out.exists() and first.poll() is None:
                select.select([], [], [], 0.01)
            self.write_and_wait(first, out)
            self.refused(6, f"{out}: another process is writing it", "run", "--model", MODEL, "--batch", path,
                         "--output", out)
            first.stdin.close()
            self.assertEqual(first.wait(SECONDS), 0)

    def write_and_wait(self, process, out):
        process.stdin.write(b'{"prompt": "Hello", "max_tokens": 1}\n')
        process.stdin.flush()
        while not out.read_bytes() and process.poll() is None:
            select.select([], [], [], 0.01)

    # How it ends.

    def start(self, path, *args):
        return subprocess.Popen([PROGRAM, "run", "--model", str(MODEL), "--batch", str(path), *map(str, args)],
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def end(self, process):
        rest, errors = process.stdout.read(), process.stderr.read()
        code = process.wait(SECONDS)
        process.stdout.close()
        process.stderr.close()
        return code, rest, errors

    def test_an_interrupted_or_killed_batch_loses_no_answer(self):
        path, out = self.write(*({"prompt": f"Hello {i}"} for i in range(100))), self.folder / "out.jsonl"
        args = ["--temperature", 0, "--max-tokens", 400]
        before = b""
        for number in (signal.SIGINT, signal.SIGKILL):
            process = self.start(path, "--output", out, *args)
            enough = before.count(b"\n") + 3
            while process.poll() is None and not (out.exists() and out.read_bytes().count(b"\n") >= enough):
                select.select([], [], [], 0.002)
            process.send_signal(number)
            code, rest, _ = self.end(process)
            data = out.read_bytes()
            self.assertTrue(data.startswith(before))
            before = data[:data.rindex(b"\n") + 1]  # a kill may cut the last line
            done = lines_of(before)
            self.assertEqual([answer["line"] for answer in done], list(range(1, len(done) + 1)))
            self.assertGreaterEqual(len(done), enough)
            if code == 0:
                self.skipTest("the batch was over before this process had its turn")
            self.assertEqual((code, rest), (130 if number == signal.SIGINT else -number, b""))
        result = qvl("run", "--model", MODEL, "--batch", path, "--output", out, "--quiet", *args)
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        self.assertTrue(out.read_bytes().startswith(before))
        whole = lines_of(qvl("run", "--model", MODEL, "--batch", path, "--quiet", *args).stdout)
        self.assertEqual([answer["tokens"] for answer in lines_of(out.read_bytes())],
                         [answer["tokens"] for answer in whole])

    def test_an_interrupt_ends_a_batch_that_waits_for_lines(self):
        with subprocess.Popen([PROGRAM, "run", "--model", str(MODEL), "--max-tokens", "2", "--batch", "-", "--quiet"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            process.stdin.write(b'{"prompt": "Hello"}\n')
            process.stdin.flush()
            self.assertEqual(json.loads(process.stdout.readline())["line"], 1)
            process.send_signal(signal.SIGINT)
            self.assertEqual((process.stdout.read(), process.wait(SECONDS)), (b"", 130))

    def test_a_reader_that_goes_away_ends_it_quietly(self):
        process = self.start(self.write(*self.requests(500)), "--quiet")
        self.assertNotEqual(os.read(process.stdout.fileno(), 1), b"")
        process.stdout.close()
        errors = process.stderr.read()
        process.stderr.close()
        self.assertEqual((process.wait(SECONDS), errors), (0, b""))


if __name__ == "__main__":
    unittest.main()
