"""The first question about a picture, and another one after a restart of the program, which finds what the first has left.

    second_question.py --qvl QVL --model MODEL [--side 1024] [--rounds 3] [--keep FOLDER]

Makes a picture of SIDE x SIDE pixels and a cache folder of its own, in which the first start packs the weights. Each round begins
with no features kept, and asks three times with `qvl run --json`, each time in a new process: the first question, another one, and
that one again with all caches off. It prints where the time to the first token went, and whether the last two answers agree.
"""
import argparse
import json
import pathlib
import shutil
import statistics
import struct
import subprocess
import tempfile
import zlib

QUESTIONS = ("What is in the picture?", "Which colours are there?")


def write_picture(path, side):
    """A PNG that has something everywhere."""
    rows = b"".join(b"\0" + bytes(v for x in range(side) for v in ((x * y) >> 4 & 255, x & 255, y & 255))
                    for y in range(side))
    chunk = lambda kind, data: (struct.pack(">I", len(data)) + kind + data
                                + struct.pack(">I", zlib.crc32(kind + data)))
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 1))
                     + chunk(b"IEND", b""))


def ask(args, folder, picture, question, *more):
    command = [args.qvl, "run", "--model", args.model, "--cache", folder, "--image", picture, "--temperature", "0",
               "--max-tokens", "8", "--json", *more, question]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def line(name, answer):
    timings, usage = answer["timings"], answer["usage"]
    return (f"{name}: first token {timings['time_to_first_token_s']:.2f} s, load {timings['load_s']:.2f}, "
            f"preprocess {timings['preprocess_s']:.2f}, vision {timings['vision_s']:.2f}, prefill {timings['prefill_s']:.2f} "
            f"({usage['prompt_tokens'] - usage['cached_tokens']} of {usage['prompt_tokens']} tokens), "
            f"features {answer['media'][0]['features']}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--qvl", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", help="a folder for packed weights and features, which is not removed")
    args = parser.parse_args()
    folder = pathlib.Path(args.keep or tempfile.mkdtemp(prefix="qvl-second-"))
    folder.mkdir(parents=True, exist_ok=True)
    picture = folder / "picture.png"
    write_picture(picture, args.side)
    try:
        ratios = []
        ask(args, folder, picture, QUESTIONS[0], "--disable-pass", "disk_feature_cache")  # packs the weights
        for _ in range(args.rounds):
            shutil.rmtree(folder / "features", ignore_errors=True)
            first = ask(args, folder, picture, QUESTIONS[0])
            restarted = ask(args, folder, picture, QUESTIONS[1])
            plain = ask(args, folder, picture, QUESTIONS[1], "--disable-pass", "feature_cache",
                        "--disable-pass", "prefix_cache", "--disable-pass", "disk_feature_cache")
            for name, answer in (("first", first), ("after a restart", restarted), ("without caches", plain)):
                print(line(name, answer), flush=True)
            print("same answer:", restarted["tokens"] == plain["tokens"])
            ratios.append(restarted["timings"]["time_to_first_token_s"] / first["timings"]["time_to_first_token_s"])
        print(f"after a restart {statistics.median(ratios):.3f} of the first time")
    finally:
        if not args.keep:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
