"""qvl beside an installed llama.cpp on the same checkpoint: pictures, prompts, decoding, memory.

    compare_llama.py --qvl QVL --model MODEL --llama-bench COMMAND --llama-mtmd COMMAND --text GGUF --mmproj GGUF
                     --pictures FILE... [--threads N] [--isa NAME] [--rounds 3] [--save FILE.json]

MODEL is the checkpoint that the two files GGUF were made of, or the text GGUF itself with its --mmproj. The COMMANDs are llama.cpp's llama-bench and llama-mtmd-cli,
perhaps with words before them (env, taskset). In each round llama.cpp measures first, then qvl: seconds in the vision tower for each picture, as either program tells them;
tokens a second for a prompt of 512 tokens and for 32 decoded ones; and the most memory either takes for a picture (resident, as the kernel counted it). Prints both, and the
ratio of each round and its median, turned so that above 1 qvl is better. Both run on THREADS threads, by default as many as this process may use;
--isa holds qvl alone to an instruction set. The machine should be idle: read the ratios, not the times.
"""
import argparse
import json
import os
import pathlib
import re
import shlex
import statistics
import subprocess
import sys
import tempfile

PROMPT_TOKENS, DECODED_TOKENS = 512, 32
QUESTION = "Describe this picture."
ENCODED = re.compile(r"(?:encoded|encoding done) in (\d+) ms")  # of each picture, or part of one, in several versions
CONTEXT_TOKENS = 8192
MIB = 1 << 20


def run(command):
    """(standard output, standard error, bytes resident at most). Children that the command waits for count."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        except OSError as error:
            sys.exit(f"{command[0]}: cannot be started: {error.strerror}")
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
    if process.returncode != 0:
        sys.exit(f"{shlex.join(map(str, command))}: ended with {process.returncode}\n{texts[1][-1500:]}")
    return texts[0], texts[1], usage.ru_maxrss * 1024  # Linux counts in KiB


def parsed(text, command):
    try:
        return json.loads(text)
    except ValueError:
        sys.exit(f"{command}: found {text[:60]!r}, expected JSON")


def llama_rates(args):
    out, _, _ = run([*shlex.split(args.llama_bench), "-m", args.text, "-t", args.threads, "-p", PROMPT_TOKENS, "-n", DECODED_TOKENS, "-r", 1,
                     "-o", "json"])
    rates = {"prefill" if row["n_prompt"] else "decode": row["avg_ts"] for row in parsed(out, args.llama_bench)}
    if set(rates) != {"prefill", "decode"}:
        sys.exit(f"{args.llama_bench}: found results of {', '.join(sorted(rates)) or 'nothing'}, expected prefill and decode")
    return rates


def llama_picture(args, picture):
    """(seconds in the vision tower, bytes)"""
    out, err, peak = run([*shlex.split(args.llama_mtmd), "-m", args.text, "--mmproj", args.mmproj, "--image", picture, "-p", QUESTION, "-n", 4,
                          "-t", args.threads, "--temp", 0, "-c", CONTEXT_TOKENS])
    parts = ENCODED.findall(out + err)
    if not parts:
        sys.exit(f"{args.llama_mtmd}: it does not tell how long {picture} took: expected '... encoded in N ms'")
    return sum(map(int, parts)) / 1000, peak


def qvl_command(args, name, *options):
    isa = ["--isa", args.isa] if args.isa else []
    mmproj = ["--mmproj", args.mmproj] if args.model.endswith(".gguf") else []
    return [args.qvl, name, "--model", args.model, *mmproj, "--threads", args.threads, *isa, "--json", *options]


def qvl_rates(args):
    out, _, _ = run(qvl_command(args, "bench", "--image-sizes", 64, "--prompt-tokens", PROMPT_TOKENS, "--decode-tokens", DECODED_TOKENS,
                                "--streams", 1))
    found = parsed(out, args.qvl)
    return {"prefill": found[f"prefill_{PROMPT_TOKENS}_tok_s"], "decode": found["decode_tok_s"]}


def qvl_picture(args, picture):
    # What is kept of pictures would be found by the next round.
    out, _, peak = run(qvl_command(args, "run", "--image", picture, "--max-tokens", 4, "--temperature", 0, "--disable-pass",
                                   "disk_feature_cache", QUESTION))
    return parsed(out, args.qvl)["timings"]["vision_s"], peak


def measure(args, rates, picture_of):
    """{what: value} of one program; seconds, tokens a second, bytes."""
    found = {f"{name}, tok/s": value for name, value in rates(args).items()}
    peaks = []
    for picture in args.pictures:
        seconds, peak = picture_of(args, picture)
        found[f"encode {pathlib.Path(picture).name}, s"] = seconds
        peaks.append(peak)
    return found | {"memory, MiB": max(peaks) / MIB}


def ratio(what, theirs, ours):
    """Above 1: qvl is better."""
    return ours / theirs if what.endswith("tok/s") else theirs / ours


def report(rounds):
    """Lines, one for each figure that both programs have."""
    lines = []
    for what in rounds[0]["llama.cpp"]:
        theirs, ours = ([found[program][what] for found in rounds] for program in ("llama.cpp", "qvl"))
        ratios = [ratio(what, *pair) for pair in zip(theirs, ours)]
        lines.append(f"{what}: llama.cpp {statistics.median(theirs):.4g}, qvl {statistics.median(ours):.4g}, ratio {statistics.median(ratios):.2f} "
                     f"({', '.join(f'{value:.2f}' for value in ratios)})")
    return lines


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name in ("qvl", "model", "llama-bench", "llama-mtmd", "text", "mmproj"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--pictures", required=True, nargs="+")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--isa")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--save", type=pathlib.Path)
    args = parser.parse_args()
    for path in (args.text, args.mmproj, *args.pictures):
        if not pathlib.Path(path).is_file():
            parser.error(f"{path}: no such file")
    if len({pathlib.Path(picture).name for picture in args.pictures}) < len(args.pictures):
        parser.error("--pictures: two have the same name")
    if args.rounds < 1:
        parser.error("--rounds: at least 1")
    return args


def main():
    args = parse()
    qvl_picture(args, args.pictures[0])  # packs the weights where that is still to be done
    rounds = []
    for number in range(args.rounds):
        rounds.append({"llama.cpp": measure(args, llama_rates, llama_picture), "qvl": measure(args, qvl_rates, qvl_picture)})
        for program, found in rounds[-1].items():
            print(f"round {number + 1}, {program}: " + "; ".join(f"{what} {value:.4g}" for what, value in found.items()), flush=True)
    print("\n".join(report(rounds)))
    if args.save:
        args.save.write_text(json.dumps(rounds, indent=1))


if __name__ == "__main__":
    main()
