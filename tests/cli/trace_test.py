"""--trace of run, chat, eval and bench: what it writes is the Trace Event Format, by the checker of bench/experiments."""

import json
import os
import pathlib
import subprocess
import sys
import unittest

from program import IMAGE, MODEL, SOURCE, ProgramTest, qvl

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

    def test_of_a_batch_have_a_span_for_each_request(self):
        path, batch = self.folder / "trace.json", self.folder / "batch.jsonl"
        batch.write_text('{"prompt": "Hello"}\n{"prompt": "Good bye"}\n')
        self.good("run", "--model", MODEL, "--batch", batch, "--max-tokens", 3, "--trace", path)
        trace = json.loads(path.read_text())
        self.assertEqual(list(faults(trace)), [])
        spans = [(event["ph"], event["name"]) for event in trace["traceEvents"] if event.get("cat") == "request"]
        self.assertEqual(sorted(spans), [("b", "request 1"), ("b", "request 2"), ("e", "request 1"), ("e", "request 2")])

    def test_that_do_not_hold_all_are_told_unless_nobody_wants_warnings(self):
        path, batch = self.folder / "trace.json", self.folder / "batch.jsonl"
        batch.write_text('{"prompt": "Hello"}\n' * 1500)
        for more in ([], ["--quiet"]):
            result = qvl("run", "--model", MODEL, "--batch", batch, "--max-tokens", 8, "--trace", path, *more)
            self.assertEqual(result.returncode, 0, result.stderr)
            trace = json.loads(path.read_text())
            self.assertEqual(list(faults(trace)), [])
            lost = trace["otherData"]["lost_events"]
            self.assertGreater(lost, 1)
            warning = f"qvl: warning: {path}: {lost} events did not fit: it has the last 8192 of each thread\n"
            told = result.stderr.decode().splitlines(keepends=True)
            self.assertEqual([line for line in told if "warning" in line], [] if more else [warning])

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

    def test_the_checker_knows_spans_of_requests(self):
        def event(phase, time, name="a", **more):
            return {"name": name, "ph": phase, "pid": 1, "tid": 1, "ts": time, "cat": "c", "id": 7, **more}

        def found(*events):
            return list(faults({"traceEvents": list(events)}))

        good = [[event("b", 1), event("e", 2)],
                [event("e", 2), event("b", 1)],  # files have no order
                [event("b", 1), event("b", 1, "inner"), event("n", 1, "mark"), event("e", 2, "inner"), event("e", 2)],
                [event("b", 1), event("e", 2), event("b", 2), event("e", 3)],
                [event("b", 1), event("b", 2, "other", id="8"), event("e", 3), event("e", 4, "other", id="8")],
                [event("b", 1), event("b", 2, "other", cat="d"), event("e", 3), event("e", 4, "other", cat="d")],
                [event("b", 1), event("b", 2, "other", scope="s"), event("e", 3), event("e", 4, "other", scope="s")],
                [event("b", 1, id2={"local": 1}), event("b", 2, "other", id2={"global": 1}), event("e", 3, id2={"local": 1}),
                 event("e", 4, "other", id2={"global": 1})]]
        for events in good:
            self.assertEqual(found(*events), [], events)
        for events, fault in (([event("b", 1)], "c 7: a begins at 1 without an end"),
                              ([event("e", 1)], "c 7: a ends at 1 without a beginning"),
                              ([event("b", 1), event("e", 2, "other")], "c 7: other ends at 2 before a, which began at 1"),
                              ([event("b", 1), event("e", 2), event("e", 3)], "c 7: a ends at 3 without a beginning"),
                              ([event("b", 1, cat=None)], "event 0: cat is None, expected the category of its span"),
                              ([event("n", 1, id=None)], "event 0: id is None, expected the id of its span"),
                              ([event("e", 1, id=True)], "event 0: id is True, expected the id of its span"),
                              ([event("b", 1, id2={"near": 1})], "event 0: id is {'near': 1}, expected the id of its span"),
                              ([event("b", -1)], "event 0: ts is -1, expected microseconds")):
            self.assertEqual(found(*events), [fault])
        self.assertEqual(found(event("b", 1), event("e", 2, id=8)),
                         ["c 7: a begins at 1 without an end", "c 8: a ends at 2 without a beginning"])
        self.assertEqual(found(event("b", 1), event("b", 2, "inner"), event("e", 3), event("e", 4, "inner")),
                         ["c 7: a ends at 3 before inner, which began at 2", "c 7: inner ends at 4 before a, which began at 1"])

    def test_the_checker_ends_without_a_word_where_its_reader_does(self):
        path = self.folder / "trace.json"
        for events in ([], [1] * 100_000):  # told at the end, and before it
            path.write_text(json.dumps({"traceEvents": events}))
            reader, writer = os.pipe()
            os.close(reader)
            with open(writer, "wb") as gone:
                done = subprocess.run([sys.executable, "-B", SOURCE / "bench/experiments/check_trace.py", path], stdout=gone,
                                      stderr=subprocess.PIPE)
            self.assertEqual((done.returncode, done.stderr), (1, b""))


if __name__ == "__main__":
    unittest.main()
