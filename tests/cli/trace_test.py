"""--trace of run, chat, eval and bench: what it writes is the Trace Event Format, by the checker of bench/experiments."""

import json
import pathlib
import sys
import unittest

from program import IMAGE, MODEL, SOURCE, ProgramTest

sys.path.insert(0, str(SOURCE / "bench/experiments"))
from check_trace import faults  # noqa: E402


class Traces(ProgramTest):
    def test_are_in_the_trace_event_format(self):
        path = self.folder / "trace.json"
        self.good("run", "--model", MODEL, "--image", IMAGE, "--max-tokens", 3, "--trace", path, "Hello")
        trace = json.loads(path.read_text())
        self.assertEqual(list(faults(trace)), [])
        names = {event["name"] for event in trace["traceEvents"] if event["ph"] == "X"}
        self.assertLessEqual({"vision", "prefill", "decode"}, names)

    def test_a_place_that_holds_none_is_told_before_anything_is_loaded(self):
        (self.folder / "taken").mkdir()
        (self.folder / "file").write_text("earlier")
        batch = self.folder / "batch.jsonl"
        batch.write_text('{"prompt": "Hello"}\n')
        rows = [("none/trace.json", "No such file or directory"), ("file/trace.json", "Not a directory"),
                ("taken", "found a folder, expected a file or nothing")]
        commands = [["Hello"], ["--plan", "Hello"], ["--batch", batch, "--output", self.folder / "answers.jsonl"]]
        for name, cause in rows:
            for command in commands:
                result = self.refused(6, name, "run", "--model", self.folder / "no-model", "--trace", self.folder / name,
                                      *command)
                self.assertEqual(result.stderr.decode(), f"qvl: {self.folder / name}: cannot write: {cause}\n")
        self.assertEqual(sorted(path.name for path in self.folder.iterdir()), ["batch.jsonl", "file", "taken"])

    def test_never_take_the_place_of_another_file_of_the_command(self):
        (self.folder / "picture.png").write_bytes(pathlib.Path(IMAGE).read_bytes())
        questions, batch = self.folder / "questions.jsonl", self.folder / "batch.jsonl"
        questions.write_text("{}")
        batch.write_text('{"prompt": "Hello"}\n')
        (self.folder / "link").symlink_to(questions)
        rows = [("picture.png", ["run", "--image", self.folder / "picture.png", "Hello"]),
                ("session", ["run", "--session", self.folder / "session", "Hello"]),
                ("answers", ["run", "--batch", batch, "--output", self.folder / "answers"]),
                ("batch.jsonl", ["run", "--batch", self.folder / "." / "batch.jsonl"]),
                ("link", ["eval", "--questions", questions]), ("session", ["chat", "--session", self.folder / "session"])]
        for name, command in rows:
            trace = self.folder / name
            result = self.refused(2, name, *command, "--model", self.folder / "no-model", "--trace", trace)
            self.assertEqual(result.stderr.decode(), f"qvl: --trace: found {trace}, which another option names too; "
                                                     "expected another file\n")
        self.assertEqual(questions.read_text(), "{}")

    def asking(self):
        """What asks the tiny checkpoint something, by the command that does."""
        questions = self.folder / "questions.jsonl"
        questions.write_text(json.dumps({"kind": "k", "question": "Hello", "images": [str(IMAGE)], "answer": "?"}))
        return {"chat": (["--max-tokens", 3], f"/image {IMAGE}\nHello\n".encode()),
                "eval": (["--max-tokens", 3, "--questions", questions], b""),
                "bench": (["--image-sizes", 64, "--prompt-tokens", 8, "--decode-tokens", 3, "--streams", 1, "--repeat", 1],
                          b"")}

    def test_of_other_commands_are_in_the_same_format_and_have_a_zone_for_each_stage(self):
        for command, (args, text) in self.asking().items():
            path = self.folder / f"{command}.json"
            self.good(command, "--model", MODEL, *args, "--trace", path, input=text)
            trace = json.loads(path.read_text())
            self.assertEqual(list(faults(trace)), [])
            names = {event["name"] for event in trace["traceEvents"] if event["ph"] == "X"}
            self.assertLessEqual({"vision", "prefill", "decode"}, names, command)

    def test_of_other_commands_are_refused_before_anything_is_loaded_as_well(self):
        for command, (args, text) in self.asking().items():
            result = self.refused(6, "none", command, "--model", self.folder / "no-model", *args, "--trace",
                                  self.folder / "none/trace.json", input=text)
            self.assertEqual(result.stderr.decode(),
                             f"qvl: {self.folder / 'none/trace.json'}: cannot write: No such file or directory\n")

    def test_a_run_that_fails_leaves_the_earlier_trace_and_no_other(self):
        for before, after in (([], []), (["trace.json"], ["trace.json"])):
            for name in before:
                (self.folder / name).write_text("earlier")
            self.refused(3, "no-model", "run", "--model", self.folder / "no-model", "--trace",
                         self.folder / "trace.json", "Hello")
            self.assertEqual([path.name for path in self.folder.iterdir()], after)
        self.assertEqual((self.folder / "trace.json").read_text(), "earlier")

    def test_the_checker_finds_what_is_wrong(self):
        good = {"name": "a", "ph": "X", "pid": 1, "tid": 1, "ts": 1, "dur": 5}

        def found(*events):
            return list(faults({"traceEvents": list(events)}))

        self.assertEqual(found(good, {**good, "ts": 2, "dur": 3}, {**good, "ts": 6}), [])
        self.assertEqual(list(faults([])), ["expected an object with an array traceEvents"])
        for change, fault in (({"name": 1}, "name is 1, expected str"), ({"ts": -1}, "ts is -1, expected microseconds"),
                              ({"dur": "5"}, "dur is '5', expected microseconds"),
                              ({"tid": True}, "tid is True, expected int"),
                              ({"args": []}, "args is no object"),
                              ({"ph": "C", "args": {"a": "1"}}, "a counter with {'a': '1'}, expected numbers"),
                              ({"ph": "i", "s": "x"}, "scope is 'x', expected g, p or t"),
                              ({"ph": "M"}, "metadata 'a' with None"),
                              ({"ph": "?"}, "phase '?', which this checker does not know")):
            self.assertEqual(found({**good, **change}), [f"event 0: {fault}"])
        self.assertEqual(found(good, {**good, "name": "b", "ts": 3}), ["thread (1, 1): b at 3 ends after a around it"])


if __name__ == "__main__":
    unittest.main()
