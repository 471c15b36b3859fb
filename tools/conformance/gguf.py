"""Hold `qvl logits` on GGUF files against `qvl logits` on the safetensors they stand for.

    gguf.py WORK CHECKPOINT --qvl BINARY [--types TYPE...] [--environment COMMAND]

CHECKPOINT is a float32 folder inside WORK, its widths multiples of 256 for types other than f32, bf16, f16 and q8_0: the
form "blocks" of random_checkpoint.py. llama.cpp's own tools convert it to every type that qvl reads, and the gguf package
decodes each file into a folder of safetensors again. Both hold the same weights, so the logits must agree to 1e-3 at
every position: a bound without any allowance for the rounding of the type. How far that rounding moves the logits from
those of CHECKPOINT is printed beside it. COMMAND goes before commands that need llama.cpp and the gguf package, run in
the folder WORK.
"""
import argparse
import pathlib
import shlex
import shutil
import subprocess
import sys

import numpy as np

import samples
from logits import HERE, LIMIT, Qvl, difference

CONVERTER = "/usr/share/doc/llama.cpp-tools/scripts/convert_hf_to_gguf.py"
# Type of the text file, type of the vision file. Those in capitals are made by llama-quantize from F32.
TYPES = [("f32", "f32"), ("bf16", "bf16"), ("f16", "f16"), ("q8_0", "q8_0"), ("Q4_0", "q8_0"), ("Q4_K_M", "f16"),
         ("Q5_K_M", "f16"), ("Q6_K", "f16")]


class Files:
    """The GGUF files of one checkpoint, made on demand."""

    def __init__(self, work, checkpoint, environment):
        self.work, self.checkpoint, self.environment = work, checkpoint.relative_to(work), environment
        self.folder = work / "gguf" / checkpoint.name
        self.folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(HERE / "gguf_dequantise.py", work)

    def inside(self, *command):
        run = subprocess.run([*self.environment, *map(str, command)], cwd=self.work, text=True, capture_output=True)
        if run.returncode:
            raise SystemExit(f"{shlex.join(map(str, command))}: {run.stderr[-2000:]}")
        return run.stdout

    def converted(self, kind, *options):
        path = self.folder / f"{'vision' if options else 'text'}-{kind}.gguf"
        if not path.exists():
            self.inside("python3", CONVERTER, self.checkpoint, "--outfile", path.relative_to(self.work), "--outtype",
                        kind, *options)
        return path

    def text(self, kind):
        if kind.islower():
            return self.converted(kind)
        path, source = self.folder / f"text-{kind}.gguf", self.converted("f32")
        if not path.exists():
            self.inside("llama-quantize", source.relative_to(self.work), path.relative_to(self.work), kind, "1")
        return path

    def decoded(self, text, vision):
        """A folder with the same weights in float32, and what was in the files."""
        out = self.folder / f"{text.stem}+{vision.stem}"
        if not (out / "about.txt").exists():
            about = self.inside("python3", "gguf_dequantise.py", self.checkpoint,
                                *(p.relative_to(self.work) for p in (out, text, vision)))
            (out / "about.txt").write_text(about)
        return out, (out / "about.txt").read_text().strip()


class QvlGguf(Qvl):
    """The program under test, on a pair of GGUF files."""

    def __init__(self, binary, text, vision, place):
        super().__init__(binary, text, place)
        self.model += ["--mmproj", str(vision)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("work", type=pathlib.Path)
    parser.add_argument("checkpoint", type=pathlib.Path)
    parser.add_argument("--qvl", required=True)
    parser.add_argument("--types", nargs="+", default=[text for text, _ in TYPES])
    parser.add_argument("--environment", type=shlex.split, default=[])
    args = parser.parse_args()
    files = Files(args.work.resolve(), args.checkpoint.resolve(), args.environment)
    cases = samples.make_samples(files.folder / "samples", layout=samples.SMALL)
    exact = Qvl(args.qvl, args.checkpoint, files.folder)
    failures = 0
    for text_type, vision_type in (pair for pair in TYPES if pair[0] in args.types):
        text, vision = files.text(text_type), files.converted(vision_type, "--mmproj")
        decoded, about = files.decoded(text, vision)
        print(about)
        for name in ("text", "pictures", "mixed"):
            found = QvlGguf(args.qvl, text, vision, files.folder).logits(cases[name], 512)
            apart = difference(found, Qvl(args.qvl, decoded, files.folder).logits(cases[name], 512), name)
            original = exact.logits(cases[name], 512)
            good = apart <= LIMIT
            failures += not good
            print(f"  {name:9} {len(found):4} positions: from its decoded weights {apart:.2e}, from the original "
                  f"weights {difference(found, original, name):.2e} (logits up to {np.abs(original).max():.1f})"
                  f"{'' if good else '   FAILED'}", flush=True)
    sys.exit(f"{failures} comparisons failed" if failures else 0)


if __name__ == "__main__":
    main()
