"""How long one picture, a question and 64 tokens of answer take: qvl, qvl's plain baseline, and transformers.

    answer_time.py --qvl QVL --model MODEL --image PICTURE [--environment "ENV"] [--model-there PATH]
                   [--isa NAME] [--threads N] [--rounds N] [--baseline]

Loading is left out on all sides. The programs run in turn, ROUNDS times; medians and their ratios are printed.
--baseline adds one run of level 0: one thread, scalar kernels, float32. ENV is the command before one that needs
transformers (float32, the same number of threads), which finds the checkpoint under --model-there.
"""
import json
import os
import pathlib
import shlex
import statistics
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "experiments"))
import command_line  # noqa: E402
from processes import failure, run_script  # noqa: E402

TOKENS = 64
NOTHING_KEPT = ["--disable-pass", "disk_feature_cache"]  # the picture is to be looked at in each round
QUESTION = "What is in this picture? Describe every object and its place."
LEVEL_0 = ["--isa", "scalar", "--threads", "1", "--weights", "f32", "--vision-weights", "f32", "--kv", "f32"]
REFERENCE = """
import json, sys, time, torch
from PIL import Image
from transformers import Qwen3VLForConditionalGeneration
model_path, threads, side, text, tokens = sys.argv[1], *map(int, sys.argv[2:6])
torch.set_num_threads(threads)
model = Qwen3VLForConditionalGeneration.from_pretrained(model_path, dtype=torch.float32).eval()
config = model.config
grid = side // config.vision_config.patch_size
ids = [config.vision_start_token_id] + [config.image_token_id] * (grid * grid // 4) + [config.vision_end_token_id]
ids = torch.tensor([ids + list(range(1000, 1000 + text))])
types = (ids == config.image_token_id).int()
pixels = torch.randn(grid * grid, 3 * 2 * config.vision_config.patch_size ** 2)
options = dict(input_ids=ids, pixel_values=pixels, image_grid_thw=torch.tensor([[1, grid, grid]]),
               attention_mask=torch.ones_like(ids), do_sample=False, min_new_tokens=tokens, max_new_tokens=tokens)
start = time.time()
with torch.inference_mode():
    try:
        out = model.generate(**options, mm_token_type_ids=types)
    except (TypeError, ValueError):  # older versions find the picture themselves
        start = time.time()
        out = model.generate(**options)
assert out.shape[1] == ids.shape[1] + tokens, out.shape
print(json.dumps({"seconds": time.time() - start}))
"""


def last_object(command):
    result = subprocess.run(command, text=True, capture_output=True)
    lines = [line for line in result.stdout.splitlines() if line.startswith("{")]
    if result.returncode or not lines:
        sys.exit(failure(command, result.returncode, result.stderr))
    return json.loads(lines[-1])


def qvl_run(arguments, options):
    answer = last_object([arguments.qvl, "run", "--model", arguments.model, "--image", arguments.image, "--json",
                          "--temperature", "0", "--max-tokens", str(TOKENS), *NOTHING_KEPT, *options, QUESTION])
    found = answer["usage"]["completion_tokens"]
    if found < TOKENS:
        sys.exit(f"the answer ended after {found} tokens, expected {TOKENS}: another picture or question is needed")
    times = answer["timings"]
    return times["preprocess_s"] + times["vision_s"] + times["prefill_s"] + times["decode_s"], answer["usage"]


def main():
    parser = command_line.Parser(__doc__)
    parser.add_qvl()
    parser.add_argument("--image", required=True, type=command_line.file)
    parser.add_argument("--environment", type=command_line.command)
    parser.add_argument("--model-there")
    parser.add_argument("--isa")
    parser.add_argument("--threads", type=command_line.integer(1), default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=command_line.integer(1), default=2)
    parser.add_argument("--baseline", action="store_true")
    arguments = parser.parse_args()
    options = ["--threads", str(arguments.threads)] + (["--isa", arguments.isa] if arguments.isa else [])
    qvl_run(arguments, options)  # packs the weights where that is still to be done
    ours, reference = [], []
    for _ in range(arguments.rounds):
        seconds, usage = qvl_run(arguments, options)
        ours.append(seconds)
        if arguments.model_there:
            side = int((usage["image_tokens"] * 4) ** 0.5) * 16
            text = usage["prompt_tokens"] - usage["image_tokens"] - 2
            command = shlex.split(arguments.environment or "") + ["python3", "-c", REFERENCE, arguments.model_there,
                                                            str(arguments.threads), str(side), str(text), str(TOKENS)]
            reference.append(last_object(command)["seconds"])
    mine = statistics.median(ours)
    print(f"qvl                     {mine:8.2f} s   ({', '.join(f'{s:.2f}' for s in ours)})")
    if reference:
        median = statistics.median(reference)
        print(f"transformers, float32   {median:8.2f} s   ratio {median / mine:.2f}   ({', '.join(f'{s:.2f}' for s in reference)})")
    if arguments.baseline:
        seconds, _ = qvl_run(arguments, LEVEL_0)
        print(f"level 0                 {seconds:8.2f} s   ratio {seconds / mine:.2f}")


if __name__ == "__main__":
    run_script(main)
