"""The reference side: Hugging Face transformers in float32, on the questions of samples.py.

    reference.py SAMPLES OUT CHECKPOINT      writes OUT/<case>.npy (logits, float32 [positions, vocab]) and
                                             OUT/answers.json (ids, 32 greedy tokens, their margins)

Needs torch, torchvision, transformers >= 5.10 and Pillow. Other scripts import `Reference`.
"""
import argparse
import json
import pathlib

import numpy as np
import torch
from PIL import Image
from transformers import AutoProcessor, GenerationConfig, Qwen3VLForConditionalGeneration

GREEDY_TOKENS = 32


class Reference:
    """One checkpoint in float32, whatever type its file has."""

    def __init__(self, checkpoint):
        self.model = Qwen3VLForConditionalGeneration.from_pretrained(checkpoint, dtype=torch.float32).eval()
        self.processor = AutoProcessor.from_pretrained(checkpoint)
        stop = json.loads((pathlib.Path(checkpoint) / "generation_config.json").read_text())["eos_token_id"]
        self.stop = stop if isinstance(stop, list) else [stop]

    def inputs(self, case, samples):
        """What the processor makes of a case: ids, patches, grids."""
        images = [Image.open(samples / name) for name in case.get("images", [])]
        videos = [np.load(samples / video["frames"]) for video in case.get("videos", [])]
        metadata = [dict(total_num_frames=len(frames), fps=float(video["fps"]), width=frames.shape[2],
                         height=frames.shape[1], duration=len(frames) / video["fps"])
                    for video, frames in zip(case.get("videos", []), videos)]
        # One user turn of the published chat template; a text-only checkpoint's template would not take media.
        text = ("<|im_start|>user\n" + "<|vision_start|><|image_pad|><|vision_end|>" * len(images) +
                "<|vision_start|><|video_pad|><|vision_end|>" * len(videos) +
                f"{case['prompt']}<|im_end|>\n<|im_start|>assistant\n")
        media = dict(images=images or None, videos=[torch.from_numpy(v).permute(0, 3, 1, 2) for v in videos] or None)
        if videos:
            media |= dict(video_metadata=metadata, do_sample_frames=True)
        inputs = self.processor(text=[text], return_tensors="pt", **media)
        inputs.pop("video_metadata", None)
        return inputs

    @torch.inference_mode()
    def forward(self, inputs):
        """Logits of every position. float32 [positions, vocab]"""
        self.model.model.rope_deltas = None  # kept from the request before otherwise
        return self.model(**inputs, use_cache=False).logits[0]

    @torch.inference_mode()
    def greedy(self, inputs, count=GREEDY_TOKENS):
        """Greedy tokens up to and with the one that ends the answer, and how far each was ahead of the next best."""
        self.model.model.rope_deltas = None
        config = GenerationConfig(do_sample=False, max_new_tokens=count, eos_token_id=self.stop,
                                  pad_token_id=self.stop[-1], output_logits=True, return_dict_in_generate=True)
        out = self.model.generate(**inputs, generation_config=config)
        tokens = out.sequences[0, inputs["input_ids"].shape[1]:].tolist()
        best = [row[0].topk(2).values for row in out.logits]
        return tokens, [float(a - b) for a, b in best]


def dump(checkpoint, samples, out):
    reference, answers = Reference(checkpoint), {}
    out.mkdir(parents=True, exist_ok=True)
    for name, case in json.loads((samples / "cases.json").read_text()).items():
        inputs = reference.inputs(case, samples)
        logits = reference.forward(inputs)
        np.save(out / f"{name}.npy", logits.numpy())
        tokens, margins = reference.greedy(inputs)
        answers[name] = dict(ids=inputs["input_ids"][0].tolist(), greedy=tokens, margins=margins, stop=reference.stop)
        print(f"{checkpoint} {name}: {len(logits)} positions, |logits| <= {logits.abs().max():.1f}, "
              f"smallest greedy margin {min(margins):.3g}", flush=True)
    (out / "answers.json").write_text(json.dumps(answers))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("samples", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("checkpoint", type=pathlib.Path)
    args = parser.parse_args()
    dump(args.checkpoint, args.samples, args.out)


if __name__ == "__main__":
    main()
