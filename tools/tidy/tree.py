"""The files of the repository as the rules see them, and what a rule reports. Knows no rule."""
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

NOT_OURS = {".git", ".cache", ".vscode", ".idea", "__pycache__"}
CPP = {".cpp", ".h"}
LARGEST_TEXT_BYTES = 1 << 20


@dataclass(frozen=True, order=True)
class Finding:
    path: str
    line: int
    rule: str
    what: str

    def __str__(self):
        return f"{self.path}:{self.line}: {self.rule}: {self.what}"


@dataclass(frozen=True)
class SourceFile:
    """A text file. `path` is relative to the repository root, with slashes."""
    path: str
    text: str

    @property
    def lines(self):
        return self.text.split("\n")

    @property
    def parts(self):
        return PurePosixPath(self.path).parts

    @property
    def suffix(self):
        return PurePosixPath(self.path).suffix

    @property
    def is_cpp(self):
        return self.suffix in CPP

    @property
    def is_header(self):
        return self.suffix == ".h"

    @property
    def is_test(self):
        return self.path.endswith(("_test.cpp", "_test.py")) or self.parts[0] == "tests"

    @property
    def module(self):
        """The folder of src/ the file lies in, or None."""
        return self.parts[1] if self.parts[0] == "src" and len(self.parts) > 2 else None


def is_build_folder(name):
    return name == "build" or name.startswith("build-")


def paths(root):
    """Every file that belongs to the project, relative to `root`, in a fixed order."""
    for folder, folders, names in os.walk(root):
        top = Path(folder) == Path(root)
        folders[:] = sorted(f for f in folders if f not in NOT_OURS and not (top and is_build_folder(f)))
        for name in sorted(names):
            yield (Path(folder) / name).relative_to(root).as_posix()


def read_text(root, path):
    """A SourceFile, or None for what is no text: pictures, weights, files that are too large to be written by hand."""
    full = Path(root) / path
    if not full.is_file() or full.stat().st_size > LARGEST_TEXT_BYTES:
        return None
    data = full.read_bytes()
    if b"\0" in data:
        return None
    try:
        return SourceFile(path, data.decode("utf-8"))
    except UnicodeDecodeError:
        return None
