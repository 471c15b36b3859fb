"""Answer an evaluation set with Hugging Face transformers and count the exact answers, by kind.

    evaluate_reference.py MODEL SET [--limit 200] [--wrong]

Plain library code: AutoProcessor, the chat template, generate without sampling; the BF16 weights are widened to
float32.  SET comes from make_eval.py (videos: the frames in its .npy files).  --wrong prints every wrong answer.
"""
import argparse
import json
import pathlib
import time

import numpy as np
import torch
from PIL import Image
from transformers import AutoProcessor, Qwen3VLForConditionalGeneration


def answer(model, processor, images, videos, question):
    """The model's answer to one question about some pictures or videos (arrays of frames at 8 a second)."""
    content = [dict(type="image")] * len(images) + [dict(type="video")] * len(videos)
    content.append(dict(type="text", text=question))
    prompt = processor.apply_chat_template([dict(role="user", content=content)], add_generation_prompt=True)
    about = [dict(total_num_frames=len(v), fps=8.0, frames_indices=list(range(len(v))), duration=len(v) / 8)
             for v in videos]
    inputs = processor(text=[prompt], images=images or None, videos=videos or None, return_tensors="pt",
                       **(dict(video_metadata=about) if videos else {}))
    with torch.no_grad():
        out = model.generate(**inputs, do_sample=False, max_new_tokens=64)
    return processor.decode(out[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("set", type=pathlib.Path)
    parser.add_argument("--limit", type=int, default=10 ** 9)
    parser.add_argument("--wrong", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    processor = AutoProcessor.from_pretrained(args.model)
    model = Qwen3VLForConditionalGeneration.from_pretrained(args.model, dtype=torch.float32).eval()
    right, asked, start = {}, {}, time.time()
    for line in (args.set / "questions.jsonl").read_text().splitlines()[:args.limit]:
        item = json.loads(line)
        images = [Image.open(args.set / name).convert("RGB") for name in item["images"]]
        videos = [np.load(args.set / name.replace(".mp4", ".npy")) for name in item["videos"]]
        given = answer(model, processor, images, videos, item["question"])
        kind = item["kind"]
        asked[kind] = asked.get(kind, 0) + 1
        right[kind] = right.get(kind, 0) + (given == item["answer"])
        if args.wrong and given != item["answer"]:
            name = (item["images"] + item["videos"])[0]
            print(f"{name} {kind}: {item['question']} {given!r}, not {item['answer']!r}", flush=True)
    for kind in asked:
        print(f"{kind:12} {right[kind]:4} of {asked[kind]:4}  {100 * right[kind] / asked[kind]:5.1f} %")
    total = sum(asked.values())
    print(f"{'all':12} {sum(right.values()):4} of {total:4}  {100 * sum(right.values()) / total:5.1f} %, "
          f"{time.time() - start:.0f} s")


if __name__ == "__main__":
    main()
