"""The scripts of examples/python do what they say, on the small model that ships."""
import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SOURCE = Path(os.environ["QVL_SOURCE_DIR"])
SCRIPTS = SOURCE / "examples" / "python"
MODEL = SOURCE / "models" / "shapes"
HEART = SOURCE / "examples" / "blue-heart.png"


def run(script, *arguments):
    return subprocess.run([sys.executable, "-B", SCRIPTS / script, *arguments], capture_output=True, text=True)


class ExamplesTest(unittest.TestCase):
    def test_usage_answers_and_tells_what_it_took(self):
        done = run("usage.py")
        self.assertEqual((done.stdout, done.returncode), ("A blue heart on a black background.\n", 0), done.stderr)
        self.assertRegex(done.stderr, r"^1 inference, \d+\.\d{3} s, \d+\.\d tokens a second, memory \d+ %\n$")

    def test_caption_folder_captions_every_picture(self):
        done = run("caption_folder.py", SOURCE / "examples")
        captions = dict(line.split("\t") for line in done.stdout.splitlines())
        samples = json.loads((SOURCE / "examples" / "expected.json").read_text(encoding="utf-8"))
        expected = {name: sample["description"] for name, sample in samples.items() if not name.endswith(".mp4")}
        self.assertGreater(len(expected), 10)
        self.assertEqual(captions, expected)
        self.assertEqual((done.stderr.split(" pictures")[0], done.returncode), (str(len(expected)), 0))

    def test_caption_folder_goes_on_where_a_picture_is_broken(self):
        with tempfile.TemporaryDirectory() as folder:
            broken = Path(folder) / "a.png"
            broken.write_bytes(b"no picture")
            (Path(folder) / "b.png").write_bytes(HEART.read_bytes())
            done = run("caption_folder.py", folder)
        self.assertEqual((done.stdout, done.returncode), ("b.png\tA blue heart on a black background.\n", 1))
        self.assertTrue(done.stderr.startswith(f"{broken}: "), done.stderr)

    def test_wrong_paths_are_one_line_and_status_2(self):
        gone = "/nowhere/at all"
        for script, arguments, line in (
                ("usage.py", [gone], f"usage.py: {gone}: cannot open: No such file or directory"),
                ("usage.py", [MODEL, gone], f"usage.py: {gone}: cannot open: No such file or directory"),
                ("caption_folder.py", [gone], "usage: caption_folder.py FOLDER [MODEL], where FOLDER has pictures"),
                ("caption_folder.py", [SOURCE / "examples", gone], f"caption_folder.py: {gone}: cannot open: No such file or directory"),
                ("wrap_transformers.py", [MODEL], "wrap_transformers.py: found 1 arguments, expected CHECKPOINT PICTURE"),
                ("wrap_transformers.py", [gone, HEART],
                 f"wrap_transformers.py: {gone}: found no config.json in it, expected the folder of a checkpoint"),
                ("wrap_transformers.py", [MODEL, gone], f"wrap_transformers.py: {gone}: found no file, expected a picture")):
            with self.subTest(script, arguments=arguments):
                done = run(script, *arguments)
                self.assertEqual((done.stdout, done.stderr, done.returncode), ("", line + "\n", 2))


if __name__ == "__main__":
    unittest.main()
