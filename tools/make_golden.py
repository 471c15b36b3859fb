"""Make the golden values in tests/golden/ with transformers: make_golden.py [--environment COMMAND] [--renew]

    tests/golden/samples/          pictures, videos and the questions about them
    tests/golden/tiny/             a random checkpoint with every feature of the architecture
    tests/golden/values/NAME/      what transformers computes, for tiny and for models/shapes

Samples and checkpoint are made where they are missing (--renew: made again); the values always. COMMAND goes before
commands that need torch and transformers, and runs them in the current folder: a container's "run", say. Here numpy and
ffmpeg are enough.
"""
import argparse
import json
import pathlib
import shlex
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden"
SHAPES = ROOT / "models" / "shapes"
ROWS = {"tiny": 40, "shapes": 10}
sys.path.insert(0, str(ROOT / "tools" / "conformance"))
import samples  # noqa: E402


def make_samples(work, renew):
    """Samples in the work folder, with the frames of the videos; new ones are kept in tests/golden too."""
    kept = GOLDEN / "samples"
    if renew:
        shutil.rmtree(kept, ignore_errors=True)
    if not kept.exists():
        samples.make_samples(work / "new", layout=samples.SMALL)
        shutil.copytree(work / "new", kept, ignore=shutil.ignore_patterns("*.npy"))
    shutil.copytree(kept, work / "samples")
    samples.write_frames(work / "samples", json.loads((work / "samples" / "cases.json").read_text()))


def make_tiny(work, inside, renew):
    kept = GOLDEN / "tiny"
    if renew:
        shutil.rmtree(kept, ignore_errors=True)
    if not kept.exists():
        inside("random_checkpoint.py", "tiny", "--tokenizer", "shapes")
        shutil.copytree(work / "tiny", kept)
        for file in kept.iterdir():
            file.chmod(0o644)
    else:
        shutil.copytree(kept, work / "tiny")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--environment", type=shlex.split, default=[])
    parser.add_argument("--renew", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        inside = lambda *command: subprocess.run([*args.environment, "python3", *command], cwd=work, check=True)
        for script in ("random_checkpoint.py", "reference.py", "stages.py"):
            shutil.copy(ROOT / "tools" / "conformance" / script, work)
        shutil.copytree(SHAPES, work / "shapes")
        make_samples(work, args.renew)
        make_tiny(work, inside, args.renew)
        for name, rows in ROWS.items():
            if not (work / name / "model.safetensors").exists():
                print(f"{name}: no weights, left out")
                continue
            inside("stages.py", "samples", f"values/{name}", name, "--rows", str(rows))
            shutil.rmtree(GOLDEN / "values" / name, ignore_errors=True)
            shutil.copytree(work / "values" / name, GOLDEN / "values" / name)
    size = sum(file.stat().st_size for file in GOLDEN.rglob("*") if file.is_file())
    print(f"{GOLDEN.relative_to(ROOT)}: {size / 1e6:.1f} MB in all")


if __name__ == "__main__":
    main()
