"""Arguments of the scripts of bench/, checked before anything runs: whatever is wrong is one line on standard error, and exit code 2.

Functions here that take a text are for `type=`: each returns what an argument means, or says what was found and what was expected.
Optional packages are looked for after that, so that --help needs none of them.
"""
import argparse
import importlib
import math
import pathlib
import shlex
import shutil
import subprocess

HOW_TO_GET = {"PIL": "pip install -r bench/requirements.txt", "numpy": "pip install numpy", "torch": "pip install torch",
              "transformers": "pip install transformers", "qvl": "pip install ."}
CHECK_SECONDS = 60  # for a program to say what it is


def refusal(found, expected):
    return argparse.ArgumentTypeError(f"found {found}, expected {expected}")


def path_of(text, expected, fits):
    """A path for which `fits` holds."""
    path = pathlib.Path(text)
    try:
        found = path.exists()
        if found and fits(path):
            return path
    except OSError as error:
        raise refusal(f"{str(text)!r} ({error.strerror})", expected) from None
    raise refusal(f"{str(text)!r}, which is {'something else' if found else 'not there'}", expected)


def file(text):
    path_of(text, "a file", pathlib.Path.is_file)
    return text


def model(text):
    path_of(text, "a checkpoint's folder or .gguf file", lambda path: True)
    return text


def folder(text):
    return path_of(text, "a folder", pathlib.Path.is_dir)


def group(text):
    """Where a control group is made; "" for the topmost folder there is."""
    return text and folder(text)


def cache(text):
    """A folder that is made where it is missing."""
    path_of(pathlib.Path(text).parent, "a folder to put the cache into", pathlib.Path.is_dir)
    if pathlib.Path(text).exists():
        folder(text)
    return text


def output(text):
    """A file to write, which may be there already."""
    path = pathlib.Path(text)
    path_of(path.parent, "a folder to write the file into", pathlib.Path.is_dir)
    if path.is_dir():
        raise refusal(f"{text!r}, which is a folder", "a file to write")
    return path


def program(text):
    """One to start: a path, or a name that PATH has."""
    if shutil.which(text) is None:
        raise refusal(f"{text!r}, which cannot be started", "a program")
    return text


def command(text):
    """A program, and words of a shell after it."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise refusal(f"{text!r} ({error})", "a command") from None
    if not words:
        raise refusal("nothing", "a command")
    program(words[0])
    return text


def numeral(convert, fits, expected):
    """For `type=`: what `convert` makes of a text, where `fits` holds of it."""
    def read(text):
        try:
            value = convert(text)
        except ValueError:
            raise refusal(repr(text), expected) from None
        if not fits(value):
            raise refusal(repr(text), expected)
        return value
    return read


def integer(least, most=math.inf):
    """For `type=`: integers of this range."""
    return numeral(int, lambda value: least <= value <= most,
                   f"an integer of at least {least}" if most == math.inf else f"an integer from {least} to {most}")


def number(above, most=math.inf):
    """For `type=`: finite numbers above a bound."""
    return numeral(float, lambda value: math.isfinite(value) and above < value <= most,
                   f"a number above {above}" + ("" if most == math.inf else f", at most {most}"))


class Parser(argparse.ArgumentParser):
    """`doc` is the script's text, `needs` the names of packages without which it cannot do its work."""

    def __init__(self, doc, needs=()):
        super().__init__(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
        self._needs, self._models = needs, []

    def add_qvl(self):
        """--qvl, the program, and --model, a checkpoint that it can read."""
        self.add_argument("--qvl", required=True, type=program, metavar="PROGRAM")
        self.add_model("--model", required=True)

    def add_model(self, option, **more):
        """Another checkpoint that qvl can read."""
        self._models.append(self.add_argument(option, type=model, **more).dest)

    def add_group(self):
        """--group, with the folder in which a control group is made: "" for the topmost one, None where none is wanted."""
        self.add_argument("--group", nargs="?", const="", type=group, metavar="FOLDER")

    def parse_args(self, arguments=None):
        args = super().parse_args(arguments)
        if getattr(args, "qvl", None):
            self._check_qvl(args)
        for name in self._needs:
            self._check_package(name)
        return args

    def error(self, message):
        self.exit(2, f"{self.prog}: {' '.join(message.removeprefix('argument ').split())}\n")

    def _check_qvl(self, args):
        if not self._said([args.qvl, "--version"]).stdout.startswith("qvl "):
            self.error(f"--qvl: found {args.qvl!r}, which is another program, expected qvl")
        for name in self._models:
            if path := getattr(args, name):
                mmproj = ["--mmproj", args.mmproj] if path.endswith(".gguf") and getattr(args, "mmproj", None) else []
                said = self._said([args.qvl, "inspect", "--model", path, *mmproj])
                if said.returncode != 0:
                    self.error(f"--{name}: {''.join(said.stderr.splitlines()[-1:]).removeprefix('qvl: ') or 'it cannot be read'}")

    def _said(self, words):
        try:
            return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=CHECK_SECONDS)
        except OSError as error:
            self.error(f"--qvl: found {words[0]!r}, which cannot be started ({error.strerror}), expected qvl")
        except subprocess.TimeoutExpired:
            self.error(f"--qvl: found {words[0]!r}, which says nothing for {CHECK_SECONDS} s, expected qvl")

    def _check_package(self, name):
        try:
            importlib.import_module(name)
        except Exception as error:  # whatever a broken one raises
            self.error(f"found no usable package {name} ({error}), expected it in this Python: {HOW_TO_GET[name]}")
