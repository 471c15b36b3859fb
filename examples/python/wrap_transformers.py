"""An object of transformers, made faster without being changed: its own generate(), then a pipeline over its weights.

    python examples/python/wrap_transformers.py CHECKPOINT PICTURE      (needs torch, transformers and Pillow)
"""
import sys
import time

from PIL import Image
from transformers import AutoProcessor, Qwen3VLForConditionalGeneration

import qvl

checkpoint, picture = sys.argv[1:3]
model = Qwen3VLForConditionalGeneration.from_pretrained(checkpoint, dtype="auto").eval()
processor = AutoProcessor.from_pretrained(checkpoint)
text = "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>Describe this picture.<|im_end|>\n<|im_start|>assistant\n"
inputs = processor(text=[text], images=[Image.open(picture).convert("RGB")], return_tensors="pt")


def answer(generate):
    begin = time.perf_counter()
    ids = generate()
    words = processor.decode(ids[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True)
    return f"{words}\t{time.perf_counter() - begin:.2f} s"


print("transformers\t" + answer(lambda: model.generate(**inputs, max_new_tokens=64, do_sample=False)))

# As exact as the object; with weights="q4", vision_weights="q8", kv="int16" faster still.
with qvl.apply_system_level_optimizations(model, processor=processor) as pipeline:
    print("qvl\t" + answer(lambda: pipeline.run_inference(dict(inputs), max_new_tokens=64)))
    print("qvl\t" + pipeline.run_inference(prompt="Describe this picture.", images=[picture], temperature=0).text)
