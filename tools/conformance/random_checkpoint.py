"""Write a Qwen3-VL checkpoint with random weights: random_checkpoint.py OUT --tokenizer FOLDER [--form FORM] [--seed N]

Every norm and bias is moved away from its neutral value, so that one that is forgotten shows in the logits. Forms:

    small    under a megabyte in BF16, head of its own, no two widths agree that need not, small pictures allowed: for
             values kept with the project
    blocks   float32, every width a multiple of 256: for quantised formats, whose blocks have up to 256 weights

Needs torch and transformers.
"""
import argparse
import json
import pathlib
import shutil

import torch
from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

SMALL = dict(
    text=dict(hidden_size=48, intermediate_size=80, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2,
              head_dim=32),
    vision=dict(depth=5, hidden_size=32, intermediate_size=56, num_heads=2, num_position_embeddings=49,
                deepstack_visual_indexes=[0, 1, 3]),
    sections=[6, 5, 5], dtype=torch.bfloat16, tied=False, image_pixels=[4096, 65536], video_pixels=[4096, 262144])
BLOCKS = dict(
    text=dict(hidden_size=256, intermediate_size=768, num_hidden_layers=4, num_attention_heads=8, num_key_value_heads=4,
              head_dim=64),
    vision=dict(depth=4, hidden_size=256, intermediate_size=512, num_heads=4, num_position_embeddings=100,
                deepstack_visual_indexes=[0, 1, 2]),
    sections=[12, 10, 10], dtype=torch.float32, tied=True, image_pixels=[65536, 16777216],
    video_pixels=[4096, 25165824])
FORMS = {"small": SMALL, "blocks": BLOCKS}


def token_ids(tokenizer):
    """The ids of the control tokens, and how many ids there are."""
    data = json.loads((tokenizer / "tokenizer.json").read_text())
    added = {token["content"]: token["id"] for token in data["added_tokens"]}
    last = max([*added.values(), *data["model"]["vocab"].values()])
    return added, last + 1


def make_config(form, added, vocabulary):
    rope = dict(rope_type="default", rope_theta=5000000.0, mrope_interleaved=True, mrope_section=form["sections"])
    text = dict(form["text"], vocab_size=vocabulary, max_position_embeddings=4096, rms_norm_eps=1e-6,
                rope_parameters=rope, tie_word_embeddings=form["tied"], bos_token_id=added["<|endoftext|>"],
                eos_token_id=added["<|im_end|>"])
    vision = dict(form["vision"], out_hidden_size=text["hidden_size"], in_channels=3, patch_size=16,
                  temporal_patch_size=2, spatial_merge_size=2, hidden_act="gelu_pytorch_tanh")
    ids = dict(image_token_id=added["<|image_pad|>"], video_token_id=added["<|video_pad|>"],
               vision_start_token_id=added["<|vision_start|>"], vision_end_token_id=added["<|vision_end|>"])
    return Qwen3VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=form["tied"], **ids)


def make_model(config, dtype, seed):
    """Linear layers keep the size of their inputs, so that no part drowns in the others; logits of some ten."""
    torch.manual_seed(seed)
    model = Qwen3VLForConditionalGeneration(config).float()
    with torch.no_grad():
        for name, w in model.named_parameters():
            if w.ndim == 1:
                w.add_(0.2 * torch.randn_like(w))
            elif "embed_tokens" in name or "pos_embed" in name:
                w.normal_(0, 0.5)
            else:
                w.normal_(0, (3.0 if "lm_head" in name else 1.0) / w[0].numel() ** 0.5)
    return model.to(dtype)


def write_json(path, **content):
    path.write_text(json.dumps(content, indent=1) + "\n")


def write_preprocessors(out, form):
    patches = dict(patch_size=16, temporal_patch_size=2, merge_size=2, image_mean=[0.5] * 3, image_std=[0.5] * 3,
                   processor_class="Qwen3VLProcessor")
    size = lambda limits: dict(shortest_edge=limits[0], longest_edge=limits[1])
    write_json(out / "preprocessor_config.json", size=size(form["image_pixels"]), **patches,
               image_processor_type="Qwen2VLImageProcessorFast")
    write_json(out / "video_preprocessor_config.json", size=size(form["video_pixels"]), **patches,
               video_processor_type="Qwen3VLVideoProcessor")


def make_checkpoint(out, tokenizer, form, seed):
    added, vocabulary = token_ids(tokenizer)
    if form is BLOCKS:
        vocabulary = -(-vocabulary // 256) * 256
    model = make_model(make_config(form, added, vocabulary), form["dtype"], seed)
    model.save_pretrained(out)
    write_preprocessors(out, form)
    ends = [added["<|im_end|>"], added["<|endoftext|>"]]
    write_json(out / "generation_config.json", bos_token_id=ends[1], pad_token_id=ends[1], do_sample=True,
               eos_token_id=ends, top_p=0.8, top_k=20, temperature=0.7, repetition_penalty=1.0)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tokenizer / name, out / name)
    print(f"{sum(w.numel() for w in model.parameters()) / 1e6:.2f} M parameters in {out}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--tokenizer", type=pathlib.Path, required=True)
    parser.add_argument("--form", choices=FORMS, default="small")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    make_checkpoint(args.out, args.tokenizer, FORMS[args.form], args.seed)


if __name__ == "__main__":
    main()
