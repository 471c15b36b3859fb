"""The Python package against transformers, in one process: an object of transformers and the pipeline over its weights.

    python_transformers.py CHECKPOINT... [--picture PICTURE]...

For each checkpoint, in float32: logits of a batch of prompts with pictures, padded to the left, within 1e-3 of the object's own
forward (of largest logits above 10, within 1e-4 of those); the same greedy tokens as its generate(), up to ties; and the
object's weights afterwards as before. Exit status 1 where one of them differs.

Needs qvl, torch, transformers (5.10 or newer) and Pillow in one Python.
"""
import argparse
import hashlib
import sys

import torch
from PIL import Image
from transformers import AutoProcessor, Qwen3VLForConditionalGeneration

import qvl

NEW_TOKENS = 24
QUESTIONS = ["Describe this picture.", "What is this?"]


def batch_of(processor, pictures):
    """What the processor makes of a question about each picture, and of one without."""
    head, foot = "<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n"
    texts = [f"{head}<|vision_start|><|image_pad|><|vision_end|>{QUESTIONS[n % len(QUESTIONS)]}{foot}"
             for n in range(len(pictures))] + [f"{head}Name a colour.{foot}"]
    processor.tokenizer.padding_side = "left"
    if processor.tokenizer.pad_token_id is None:
        processor.tokenizer.pad_token = "<|endoftext|>"
    return processor(text=texts, images=pictures, padding=True, return_tensors="pt")


def digest(model):
    """Of all weights."""
    total = hashlib.sha256()
    for tensor in model.state_dict().values():
        total.update(tensor.detach().contiguous().view(torch.uint8).numpy())
    return total.hexdigest()


@torch.inference_mode()
def reference_of(model, inputs):
    """Logits of the object's forward, and the sequences of its greedy generate()."""
    model.model.rope_deltas = None
    logits = model(**inputs, use_cache=False).logits.float()
    model.model.rope_deltas = None
    return logits, model.generate(**inputs, max_new_tokens=NEW_TOKENS, do_sample=False)


def same_tokens(found, expected, prompts):
    """Whether both continue all prompts alike, as far as the shorter goes; what stands behind an end token is padding."""
    columns = min(found.shape[1], expected.shape[1])
    return columns > prompts and torch.equal(found[:, :columns], expected[:, :columns])


def compare(checkpoint, pictures):
    """Prints one line; True where all agrees."""
    model = Qwen3VLForConditionalGeneration.from_pretrained(checkpoint, dtype=torch.float32).eval()
    processor = AutoProcessor.from_pretrained(checkpoint)
    inputs = batch_of(processor, pictures)
    before = digest(model)
    logits, tokens = reference_of(model, inputs)
    with qvl.apply_system_level_optimizations(model, processor=processor) as pipeline:
        found = pipeline.run_inference(dict(inputs))
        continued = pipeline.run_inference(dict(inputs), max_new_tokens=NEW_TOKENS)
    there = inputs["attention_mask"].bool()
    difference = (found[there] - logits[there]).abs().max().item()
    allowed = 1e-3 * max(1.0, logits[there].abs().max().item() / 10)
    checks = {"logits": difference <= allowed,
              "tokens": same_tokens(continued, tokens, inputs["input_ids"].shape[1]),
              "untouched": digest(model) == before, "torch": isinstance(found, torch.Tensor)}
    print(f"{checkpoint}: logits {list(found.shape)} differ by at most {difference:.2e} (allowed {allowed:.2e}, largest "
          f"{logits[there].abs().max().item():.1f}); " + ", ".join(f"{name} {'ok' if good else 'DIFFER'}" for name, good in checks.items()))
    return all(checks.values())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", nargs="+", metavar="CHECKPOINT")
    parser.add_argument("--picture", action="append", default=[], help="in place of two drawn ones")
    options = parser.parse_args()
    pictures = [Image.open(path).convert("RGB") for path in options.picture] or [
        Image.linear_gradient("L").resize((160, 128)).convert("RGB"), Image.radial_gradient("L").resize((96, 224)).convert("RGB")]
    results = [compare(checkpoint, pictures) for checkpoint in options.checkpoints]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
