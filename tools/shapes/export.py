"""Write the model folder: export.py CHECKPOINT FOLDER [--last].

FOLDER already holds the tokenizer.  The averaged weights are written (with --last, the last ones), rounded to BF16.
Without a checkpoint ("-") fresh random weights are written.
"""
import argparse
import json
import pathlib

import torch
from tokenizers import Tokenizer

from draw import MAX_PIXELS, MIN_PIXELS
from model import make_config, make_model

PIXELS = dict(patch_size=16, temporal_patch_size=2, merge_size=2, image_mean=[0.5] * 3, image_std=[0.5] * 3,
              do_resize=True, do_rescale=True, do_normalize=True, do_convert_rgb=True, rescale_factor=1 / 255,
              resample=3, processor_class="Qwen3VLProcessor")
VIDEO_LIMITS = dict(shortest_edge=16384 * 4, longest_edge=30720 * 8)     # pixels of all frames together


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkpoint")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--last", action="store_true")
    args = parser.parse_args()
    tokenizer = Tokenizer.from_file(str(args.folder / "tokenizer.json"))
    token = tokenizer.token_to_id
    model = make_model(make_config(token, tokenizer.get_vocab_size()))
    if args.checkpoint != "-":
        saved = torch.load(args.checkpoint)
        weights = saved["weights" if args.last else "average"]
        with torch.no_grad():
            for name, w in model.named_parameters():
                w.copy_(weights[name])
        print("step", saved["step"])
    model.to(torch.bfloat16)
    model.config.dtype = torch.bfloat16
    model.save_pretrained(args.folder)
    write_json(args.folder / "generation_config.json",
               dict(bos_token_id=token("<|endoftext|>"), pad_token_id=token("<|endoftext|>"), do_sample=False,
                    eos_token_id=[token("<|im_end|>"), token("<|endoftext|>")], max_new_tokens=64))
    size = dict(shortest_edge=MIN_PIXELS, longest_edge=MAX_PIXELS)
    write_json(args.folder / "preprocessor_config.json",
               dict(PIXELS, size=size, image_processor_type="Qwen2VLImageProcessorFast"))
    write_json(args.folder / "video_preprocessor_config.json",
               dict(PIXELS, size=VIDEO_LIMITS, video_processor_type="Qwen3VLVideoProcessor", fps=2, min_frames=4,
                    max_frames=8, do_sample_frames=True))
    template = pathlib.Path(__file__).with_name("chat_template.jinja").read_text()
    write_json(args.folder / "chat_template.json", dict(chat_template=template))
    for file in args.folder.iterdir():
        file.chmod(0o644)
    print(sum(f.stat().st_size for f in args.folder.iterdir()), "bytes in", args.folder)


if __name__ == "__main__":
    main()
