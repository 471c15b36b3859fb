"""An object of transformers, made faster without being changed: its own generate(), then a pipeline over its weights.

    python examples/python/wrap_transformers.py CHECKPOINT PICTURE      (needs torch, transformers and Pillow)
"""
import sys
import time
from pathlib import Path


def stop(message):
    print(f"wrap_transformers.py: {message}", file=sys.stderr)
    sys.exit(2)


if len(sys.argv) != 3:
    stop(f"found {len(sys.argv) - 1} arguments, expected CHECKPOINT PICTURE")
checkpoint, picture = sys.argv[1:]
if not Path(checkpoint, "config.json").is_file():
    stop(f"{checkpoint}: found no config.json in it, expected the folder of a checkpoint")
if not Path(picture).is_file():
    stop(f"{picture}: found no file, expected a picture")

try:
    from PIL import Image
    from transformers import AutoProcessor, Qwen3VLForConditionalGeneration

    import qvl
except ImportError as error:
    stop(f"{error}; needs torch, transformers and Pillow")

try:
    pixels = Image.open(picture).convert("RGB")
except OSError as error:
    stop(f"{picture}: {error}")
try:
    model = Qwen3VLForConditionalGeneration.from_pretrained(checkpoint, dtype="auto").eval()
    processor = AutoProcessor.from_pretrained(checkpoint)
except (OSError, ValueError) as error:
    stop(f"{checkpoint}: {str(error).splitlines()[0]}")
text = "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>Describe this picture.<|im_end|>\n<|im_start|>assistant\n"
inputs = processor(text=[text], images=[pixels], return_tensors="pt")


def answer(generate):
    begin = time.perf_counter()
    ids = generate()
    words = processor.decode(ids[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True)
    return f"{words}\t{time.perf_counter() - begin:.2f} s"


print("transformers\t" + answer(lambda: model.generate(**inputs, max_new_tokens=64, do_sample=False)))

# As exact as the object; with weights="q4", vision_weights="q8", kv="int16" faster still.
try:
    with qvl.apply_system_level_optimizations(model, processor=processor) as pipeline:
        print("qvl\t" + answer(lambda: pipeline.run_inference(dict(inputs), max_new_tokens=64)))
        print("qvl\t" + pipeline.run_inference(prompt="Describe this picture.", images=[picture], temperature=0).text)
except qvl.Error as error:
    stop(error)
