"""--session: a conversation about a picture that goes on in another process, without the picture."""

import json
import re
import resource
import shutil
import signal
import subprocess
import unittest

from program import PROGRAM, SOURCE, ProgramTest, qvl

MODEL = SOURCE / "models/shapes"
PICTURE = SOURCE / "examples/white-square-black-square.png"
DESCRIPTION = ("A white square and a black square above a yellow square and a yellow number 7 on a grey background.")
GREEDY = ["--temperature", "0", "--max-tokens", "64"]


class Sessions(ProgramTest):
    def setUp(self):
        super().setUp()
        self.picture, self.session = self.folder / "picture.png", self.folder / "talk"
        shutil.copy(PICTURE, self.picture)

    def chat(self, lines, *args, code=0, **options):
        command = ["chat", "--model", MODEL, *GREEDY, "--session", self.session, *args]
        result = qvl(*command, input="\n".join(lines).encode(), **options)
        self.assertEqual(result.returncode, code, result.stderr)
        return result.stdout.decode(), result.stderr.decode()

    def ask(self, *args):
        return json.loads(self.good("run", "--model", MODEL, *GREEDY, "--json", "--session", self.session, *args))

    def test_a_picture_told_today_is_known_tomorrow(self):
        unbroken = self.good("chat", "--model", MODEL, *GREEDY, input="\n".join(
            [f"/image {self.picture}", "Describe this picture.", "How many objects are there?",
             "Where can I find the number 7?"]).encode()).decode().splitlines()
        self.assertEqual(unbroken, [DESCRIPTION, "Four.", "At the bottom right."])
        self.assertEqual(self.chat([f"/image {self.picture}", "Describe this picture.", "/quit"]),
                         (DESCRIPTION + "\n", ""))
        self.picture.unlink()
        text, errors = self.chat(["How many objects are there?"], "--timings")
        self.assertEqual(text, "Four.\n")
        # Neither the picture nor the tokens before were computed: 38 of the first prompt, and the answer.
        self.assertRegex(errors, r"vision 0\.0+ s")
        self.assertLess(int(re.search(r"prefill [0-9.]+ s \((\d+) tokens\)", errors)[1]), 20)
        self.assertEqual(self.chat(["Where can I find the number 7?"]), ("At the bottom right.\n", ""))

    def test_run_asks_one_question_of_it(self):
        first = self.ask("--image", self.picture, "Describe this picture.")
        self.picture.unlink()
        second = self.ask("How many objects are there?")
        self.assertEqual((first["text"], second["text"]), (DESCRIPTION, "Four."))
        self.assertEqual(second["usage"]["image_tokens"], first["usage"]["image_tokens"])
        self.assertGreater(second["usage"]["cached_tokens"], first["usage"]["prompt_tokens"])
        self.assertEqual((second["timings"]["vision_s"], second["media"]), (0, []))

    def test_who_is_killed_loses_the_running_turn_alone(self):
        process = subprocess.Popen(
            [PROGRAM, "chat", "--model", MODEL, *GREEDY, "--session", self.session, "--image", self.picture],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        with process:
            before = None
            process.stdin.write(b"Describe this picture.\n/help\n")
            process.stdin.flush()
            # The help comes after the turn is saved.
            self.assertIn(b"/quit ends", process.stderr.readline())
            before = self.session.read_bytes()
            process.send_signal(signal.SIGKILL)
        self.assertEqual(self.session.read_bytes(), before)
        self.assertEqual(self.chat(["How many objects are there?"])[0], "Four.\n")

    def test_a_place_that_cannot_be_written_shows_before_anything_is_computed(self):
        for command in (["chat"], ["run", "What?"]):
            result = self.refused(6, "cannot write: No such file or directory", *command, "--model", MODEL,
                                  "--session", self.folder / "none/talk", input=b"What?")
            self.assertEqual(result.stdout, b"")

    def test_a_full_disk_leaves_the_session_before(self):
        self.chat(["Hello"])
        before = self.session.read_bytes()
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        _, errors = self.chat(["And?"], "--cache", "off", code=6, preexec_fn=limit)
        self.assertEqual(errors, f"qvl: {self.session}: cannot write: File too large; the session is not saved\n")
        self.assertEqual(self.session.read_bytes(), before)
        self.assertEqual([path.name for path in self.folder.iterdir() if path.name.startswith("talk")], ["talk"])

    def test_what_does_not_fit_is_refused(self):
        self.chat(["Hello"], "--system", "Be brief.")
        for code, message, *args in [
                (2, f'--system: found "Be long.", expected "Be brief." of the conversation in {self.session}',
                 "--system", "Be long."),
                (2, f"--video-prompt: found nested, expected timestamps of the conversation in {self.session}",
                 "--video-prompt", "nested"),
                (2, f"{self.session}: kv: found 16, expected f32 as the model was loaded", "--kv", "f32")]:
            self.refused(code, message, "run", "--model", MODEL, "--session", self.session, *args, "What?")
        self.chat(["And?"], "--system", "Be brief.")
        self.session.write_bytes(self.session.read_bytes()[:-1])
        self.refused(2, f"{self.session}: damaged: found ", "chat", "--model", MODEL, "--session", self.session)
        self.refused(2, '--session: found "", expected the name of a file', "chat", "--model", MODEL, "--session", "")
        self.refused(2, "--session excludes --batch", "run", "--model", MODEL, "--session", self.session, "--batch",
                     self.picture)


if __name__ == "__main__":
    unittest.main()
