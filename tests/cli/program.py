"""Running qvl from tests: the program, a small random checkpoint, sample media, and readers for what it writes."""

import array
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

PROGRAM = os.environ["QVL_PROGRAM"]
SOURCE = pathlib.Path(os.environ["QVL_SOURCE_DIR"])
MODEL = SOURCE / "tests/golden/tiny"
SAMPLES = SOURCE / "tests/golden/samples"
MEDIA = SOURCE / "tests/data/media"
IMAGE = SAMPLES / "a.png"
OTHER_IMAGE = SAMPLES / "b.png"
VIDEO = SAMPLES / "first.mp4"
SECONDS = 120  # a test that takes longer hangs
# What one run keeps for later ones is no business of the next test, nor of the user's folder.
CACHES = tempfile.TemporaryDirectory(prefix="qvl-caches-")
os.environ["XDG_CACHE_HOME"] = CACHES.name


def qvl(*args, **options):
    """Runs the program to its end; stdout and stderr are bytes."""
    options.setdefault("timeout", SECONDS)
    options.setdefault("stdin", None if "input" in options else subprocess.DEVNULL)
    if "input" in options:
        options.pop("stdin")
    options.setdefault("stdout", subprocess.PIPE)
    options.setdefault("env", {**os.environ, "XDG_CACHE_HOME": tempfile.mkdtemp(dir=CACHES.name)})
    return subprocess.run([PROGRAM, *map(str, args)], stderr=subprocess.PIPE, **options)


def complaints(errors):
    """Standard error without the lines of progress that a slow machine shows."""
    return b"".join(line for line in errors.splitlines(keepends=True) if not line.endswith(b" ...\n"))


def read_npy(path):
    """Shape and values of a float32 array file."""
    data = pathlib.Path(path).read_bytes()
    assert data[:8] == b"\x93NUMPY\x01\x00", data[:8]
    end = 10 + int.from_bytes(data[8:10], "little")
    assert end % 64 == 0 and data[end - 1:end] == b"\n"
    header = eval(data[10:end], {"__builtins__": {}}, {})  # a Python literal, by definition of the format
    assert header["descr"] == "<f4" and header["fortran_order"] is False
    values = array.array("f", data[end:])
    assert len(values) == header["shape"][0] * header["shape"][1]
    return header["shape"], values


def large_vocabulary(model, tokens=1_500_000):
    """Gives a copy of the checkpoint a vocabulary whose head takes more than 64 MiB packed: zeros, no disk space."""
    path = model / "model.safetensors"
    data = path.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    header.pop("__metadata__", None)
    size = 0
    for name, tensor in header.items():
        begin, finish = tensor["data_offsets"]
        tensor["at"] = end + begin, end + finish
        bytes_each = (finish - begin) // tensor["shape"][0]
        if name in ("lm_head.weight", "model.language_model.embed_tokens.weight"):
            tensor["shape"][0] = tokens
        tensor["data_offsets"] = [size, size + bytes_each * tensor["shape"][0]]
        size += bytes_each * tensor["shape"][0]
    places = [tensor.pop("at") for tensor in header.values()]
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for (begin, finish), tensor in zip(places, header.values()):
            file.seek(8 + len(text) + tensor["data_offsets"][0])
            file.write(data[begin:finish])
        file.truncate(8 + len(text) + size)
    config = json.loads((model / "config.json").read_text())
    config["text_config"]["vocab_size"] = tokens
    (model / "config.json").write_text(json.dumps(config))
    return model


def best_token(path):
    """The token with the largest logit at the last position."""
    (rows, vocabulary), values = read_npy(path)
    last = values[(rows - 1) * vocabulary:]
    return max(range(vocabulary), key=lambda i: (last[i], -i))


class ProgramTest(unittest.TestCase):
    """A temporary folder for each test, and runs that must go well."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def good(self, *args, **options):
        """Standard output of a run without errors."""
        result = qvl(*args, **options)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def run_json(self, *args, **options):
        output = self.good("run", "--model", MODEL, "--json", *args, **options)
        self.assertEqual(output.count(b"\n"), 1)
        return json.loads(output)

    def tokenize(self, text):
        return json.loads(self.good("tokenize", "--model", MODEL, "--raw", text))

    def logits(self, *args):
        """The file of logits of a prompt."""
        path = self.folder / f"logits{len(list(self.folder.iterdir()))}.npy"
        self.good("logits", "--model", MODEL, *args, "--output", path)
        return path

    def refused(self, code, fragment, *args, **options):
        """The run ends with `code` and one line on standard error that contains `fragment`."""
        result = qvl(*args, **options)
        message = result.stderr.decode("utf-8", "backslashreplace")
        self.assertEqual(result.returncode, code, message)
        self.assertTrue(message.startswith("qvl: ") and message.endswith("\n") and message.count("\n") == 1, message)
        self.assertIn(fragment, message)
        return result

    def changed_model(self, **files):
        """A copy of the checkpoint with JSON files changed by functions: config=lambda c: ..."""
        copy = self.folder / f"model{len(list(self.folder.iterdir()))}"
        shutil.copytree(MODEL, copy)
        for name, change in files.items():
            path = copy / f"{name}.json"
            value = json.loads(path.read_text())
            change(value)
            path.write_text(json.dumps(value))
        return copy
