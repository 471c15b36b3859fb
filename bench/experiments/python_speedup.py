"""How much faster the pipeline answers than the object of transformers whose weights it uses.

    python_speedup.py CHECKPOINT [--picture PICTURE] [--tokens N] [--runs N] [--threads N] [--dtype bfloat16]
                      [--precision exact|fast|both]

One process: the object is loaded, a pipeline is made over it, and the two answer the same picture and question in turns, greedily
and with at most N tokens each. Prints a line of JSON for each: tokens of the answer, seconds of all runs, their median, and how many
times as fast it is, null where the answers are not equally long. Nothing is kept from one run to the next: the picture is looked at each time. exact: weights as stored, computed in float32; fast: weights in 4 bits, vision in 8, keys and values in 16.

Needs qvl, torch, transformers and Pillow in one Python, and a quiet machine.
"""
import json
import statistics
import time

import command_line
from processes import run_script

# Without them a run would find the picture and the prompt of the one before.
CACHES = ["feature_cache", "prefix_cache", "disk_feature_cache"]
PRECISIONS = {"exact": {}, "fast": {"weights": "q4", "vision_weights": "q8", "kv": "int16"}}


def timed(call):
    begin = time.perf_counter()
    result = call()
    return time.perf_counter() - begin, result


def report(name, runs, reference):
    """runs, reference: seconds and tokens of each answer."""
    seconds, tokens = [run[0] for run in runs], runs[0][1]
    median = statistics.median(seconds)
    times = statistics.median(run[0] for run in reference) / median if tokens == reference[0][1] else None
    print(json.dumps({"what": name, "tokens": tokens, "seconds": [round(each, 3) for each in seconds], "median_s": round(median, 3),
                      "times_as_fast": times and round(times, 2)}), flush=True)


def main():
    parser = command_line.Parser(__doc__, needs=["torch", "PIL", "transformers", "qvl"])
    parser.add_argument("checkpoint", type=command_line.folder)
    parser.add_argument("--picture", type=command_line.file)
    parser.add_argument("--tokens", type=command_line.integer(1), default=32)
    parser.add_argument("--runs", type=command_line.integer(1), default=3)
    parser.add_argument("--threads", type=command_line.integer(1), help="by default as many as torch has")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="bfloat16", help="of the object's weights")
    parser.add_argument("--precision", choices=[*PRECISIONS, "both"], default="both")
    options = parser.parse_args()
    import qvl
    import torch
    from PIL import Image
    from transformers import AutoProcessor, Qwen3VLForConditionalGeneration

    options.threads = options.threads or torch.get_num_threads()
    torch.set_num_threads(options.threads)
    model = Qwen3VLForConditionalGeneration.from_pretrained(options.checkpoint, dtype=getattr(torch, options.dtype)).eval()
    processor = AutoProcessor.from_pretrained(options.checkpoint)
    picture = Image.open(options.picture) if options.picture else Image.linear_gradient("L").resize((512, 512))
    text = ("<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>Describe this picture.<|im_end|>\n"
            "<|im_start|>assistant\n")
    inputs = processor(text=[text], images=[picture.convert("RGB")], return_tensors="pt")

    def theirs():
        model.model.rope_deltas = None
        with torch.inference_mode():
            return model.generate(**inputs, max_new_tokens=options.tokens, do_sample=False)

    chosen = PRECISIONS if options.precision == "both" else {options.precision: PRECISIONS[options.precision]}
    reference, ours = [], {name: [] for name in chosen}
    pipelines = {name: qvl.apply_system_level_optimizations(
        qvl.from_transformers(model, processor=processor, threads=options.threads, disabled_passes=CACHES, **fields))
        for name, fields in chosen.items()}

    def timed_tokens(generate):
        seconds, ids = timed(generate)
        return seconds, ids.shape[1] - inputs["input_ids"].shape[1]

    theirs()  # the first run of either prepares what later ones reuse
    for name, pipeline in pipelines.items():
        pipeline.run_inference(dict(inputs), max_new_tokens=options.tokens)
    for _ in range(options.runs):
        reference.append(timed_tokens(theirs))
        for name, pipeline in pipelines.items():
            ours[name].append(timed_tokens(lambda: pipeline.run_inference(dict(inputs), max_new_tokens=options.tokens)))
    report(f"transformers {options.dtype}", reference, reference)
    for name, pipeline in pipelines.items():
        report(f"qvl {name}", ours[name], reference)
        pipeline.cleanup()


if __name__ == "__main__":
    run_script(main)
