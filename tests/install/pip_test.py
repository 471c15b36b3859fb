"""The Python package as `pip install .` makes it, and a real object of transformers under it. Both want what tests do not have: an index of
packages, and torch. So each is asked for by a variable that names a Python:

    QVL_PIP_PYTHON=python3 QVL_SOURCE_DIR=$PWD python3 -B tests/install/pip_test.py             a virtual environment is made with it
    QVL_TRANSFORMERS_PYTHON=PYTHON QVL_SOURCE_DIR=$PWD python3 -B tests/install/pip_test.py     has qvl, torch, transformers (5.10 or newer), Pillow

PYTHON may be a command with words before the interpreter; it is run in a folder with all it is given.
"""
import os
import pathlib
import shlex
import shutil
import subprocess
import tempfile
import unittest

SOURCE = pathlib.Path(os.environ["QVL_SOURCE_DIR"])


def python_of(variable, what):
    """The words of the command that the variable names; skips where there is none."""
    name = os.environ.get(variable)
    if not name:
        raise unittest.SkipTest(f"{variable} is not set: {what}")
    return shlex.split(name)


class Folder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def run_in_folder(self, *command):
        """Away from the source tree, so that nothing of it is imported."""
        clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # `env` may set it
        done = subprocess.run([str(word) for word in command], cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              env=clean)
        self.assertEqual(done.returncode, 0, done.stdout[-2000:] + done.stderr[-4000:])
        return done.stdout


class Pip(Folder):
    def test_a_fresh_environment_has_all_that_the_package_needs(self):
        python = python_of("QVL_PIP_PYTHON", "it names a Python that makes a virtual environment and reaches an index of packages")
        self.run_in_folder(*python, "-m", "venv", "venv")
        fresh = self.folder / "venv" / "bin" / "python"
        self.run_in_folder(fresh, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", SOURCE)
        where = self.run_in_folder(fresh, "-c", "import numpy, qvl; print(qvl.__version__, qvl.__file__)").split()
        self.assertIn(f'version = "{where[0]}"', (SOURCE / "pyproject.toml").read_text())
        self.assertTrue(where[1].startswith(str(self.folder)), where[1])
        self.assertIn("heart", self.run_in_folder(fresh, SOURCE / "examples" / "python" / "usage.py"))


class Transformers(Folder):
    def test_an_object_answers_as_it_does_by_itself(self):
        python = python_of("QVL_TRANSFORMERS_PYTHON", "it names a Python with qvl, torch, transformers (5.10 or newer) and Pillow")
        shutil.copytree(SOURCE / "models" / "shapes", self.folder / "shapes")
        for path in ("tools/conformance/python_transformers.py", "examples/python/wrap_transformers.py", "examples/blue-heart.png"):
            shutil.copy(SOURCE / path, self.folder)
        told = self.run_in_folder(*python, "-B", "python_transformers.py", "shapes", "--picture", "blue-heart.png")
        self.assertIn("logits ok, tokens ok, untouched ok, torch ok", told)
        words = self.run_in_folder(*python, "-B", "wrap_transformers.py", "shapes", "blue-heart.png").splitlines()
        lines = [line.split("\t") for line in words if "\t" in line]  # transformers prints what it does not like
        self.assertEqual([line[0] for line in lines], ["transformers", "qvl", "qvl"])
        answers = [line[1] for line in lines]
        self.assertEqual(set(answers), {answers[0]})
        self.assertIn("heart", answers[0])


if __name__ == "__main__":
    unittest.main()
