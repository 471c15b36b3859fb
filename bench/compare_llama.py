"""qvl beside an installed llama.cpp on the same checkpoint: pictures, prompts, decoding, memory.

    compare_llama.py --qvl QVL --model MODEL --llama-bench COMMAND --llama-mtmd COMMAND --text GGUF --mmproj GGUF
                     --pictures FILE... [--threads N] [--isa NAME] [--rounds 3] [--save FILE.json]

MODEL is the checkpoint that the two files GGUF were made of, or the text GGUF itself with its --mmproj. The COMMANDs are llama.cpp's llama-bench and llama-mtmd-cli,
perhaps with words before them (env, taskset). In each round llama.cpp measures first, then qvl: seconds in the vision tower for each picture, as either program tells them;
tokens a second for a prompt of 512 tokens and for 32 decoded ones; and the most memory either takes for a picture (resident, as the kernel counted it). Prints both, and the
ratio of each round and its median, turned so that above 1 qvl is better. Both run on THREADS threads, by default as many as this process may use;
--isa holds qvl alone to an instruction set. The machine should be idle: read the ratios, not the times.
"""
import json
import os
import pathlib
import re
import shlex
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "experiments"))
import command_line  # noqa: E402
from processes import failure, run_script, started  # noqa: E402

PROMPT_TOKENS, DECODED_TOKENS = 512, 32
QUESTION = "Describe this picture."
ENCODED = re.compile(r"(?:encoded|encoding done) in (\d+) ms")  # of each picture, or part of one, in several versions
CONTEXT_TOKENS = 8192
MIB = 1 << 20


def run(command):
    """(standard output, standard error, bytes resident at most). Children that the command waits for count."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            with started(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err) as process:
                _, status, usage = os.wait4(process.pid, 0)
                process.returncode = os.waitstatus_to_exitcode(status)
        except OSError as error:
            sys.exit(f"{command[0]}: cannot be started: {error.strerror}")
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
    if process.returncode != 0:
        sys.exit(failure(command, process.returncode, texts[1]))
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
    parser = command_line.Parser(__doc__)
    parser.add_qvl()
    for name, kind in (("llama-bench", command_line.command), ("llama-mtmd", command_line.command), ("text", command_line.file),
                       ("mmproj", command_line.file)):
        parser.add_argument(f"--{name}", required=True, type=kind)
    parser.add_argument("--pictures", required=True, nargs="+", type=command_line.file)
    parser.add_argument("--threads", type=command_line.integer(1), default=len(os.sched_getaffinity(0)))
    parser.add_argument("--isa")
    parser.add_argument("--rounds", type=command_line.integer(1), default=3)
    parser.add_argument("--save", type=command_line.output)
    args = parser.parse_args()
    if len({pathlib.Path(picture).name for picture in args.pictures}) < len(args.pictures):
        parser.error("--pictures: found two of the same name, expected different ones")
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
    run_script(main)
