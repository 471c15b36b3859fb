"""Train the model's own byte-level BPE and write tokenizer.json and tokenizer_config.json.

    tokenizer.py OUT --qwen FOLDER       FOLDER holds Qwen's tokenizer.json and tokenizer_config.json

The pre-tokenizer, the normalizer, the decoder, the 26 control tokens and their flags and the chat template are taken
over from the Qwen3-VL form; only the vocabulary is our own.
"""
import argparse
import json
import pathlib

import numpy as np
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers import Regex, processors

import english
from draw import make_scene
from questions import MAKERS, make_questions, strip_marks

VOCABULARY = 768           # with the control tokens
SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
         r"|\s+(?!\S)|\s+")
CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>",
           "<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>",
           "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"]
PLAIN = ["<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>",
         "<|repo_name|>", "<|file_sep|>", "<tool_response>", "</tool_response>", "<think>", "</think>"]


def corpus(scenes=6000):
    """Generated questions and answers, and general English repeated so that it earns merges too."""
    rng, lines = np.random.default_rng(40_000_000), []
    for _ in range(scenes):
        for _, question, answer in make_questions(rng, make_scene(rng), list(MAKERS)):
            lines += [strip_marks(question)[0], strip_marks(answer)[0]]
    talk = [text for pair in english.TALK for text in pair]
    for item in ("red circle", "blue square", "black number 7"):
        lines += [f"The {item} moves {way}." for way in ("to the left", "to the right", "up", "down")] * 100
        lines += [f"Which way does the {item} move?", "In the first picture.", "In the second picture."] * 100
    lines += ["user", "assistant", "system"] * 500
    return lines + (talk + english.SYSTEM + english.TEXT.replace("\n", " ").split(". ")) * 60


def build(size):
    """A trained tokenizers.Tokenizer with the control tokens after the BPE vocabulary."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLIT), behavior="isolated", invert=False),
        pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    trainer = trainers.BpeTrainer(vocab_size=size - len(CONTROL) - len(PLAIN), show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=[])
    tokenizer.train_from_iterator(corpus(), trainer)
    tokenizer.post_processor = processors.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    return tokenizer


def added_tokens(first):
    entry = lambda i, text, special: dict(id=first + i, content=text, single_word=False, lstrip=False, rstrip=False,
                                          normalized=False, special=special)
    return [entry(i, text, i < len(CONTROL)) for i, text in enumerate(CONTROL + PLAIN)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--qwen", type=pathlib.Path, required=True)
    args = parser.parse_args()
    data = json.loads(build(VOCABULARY).to_str())
    form = json.loads((args.qwen / "tokenizer.json").read_text())
    for key in ("normalizer", "pre_tokenizer", "post_processor", "decoder"):
        if data[key] != form[key]:
            print(f"{key} taken from the Qwen form; ours was {data[key]}")
            data[key] = form[key]
    first = len(data["model"]["vocab"])
    data["added_tokens"] = added_tokens(first)
    data["model"].update({k: v for k, v in form["model"].items() if k not in ("vocab", "merges")})
    if form["model"]["merges"] and isinstance(form["model"]["merges"][0], str):
        data["model"]["merges"] = [m if isinstance(m, str) else " ".join(m) for m in data["model"]["merges"]]
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "tokenizer.json").write_text(json.dumps(data, ensure_ascii=False, indent=1))
    config = json.loads((args.qwen / "tokenizer_config.json").read_text())
    config["added_tokens_decoder"] = {str(t["id"]): {k: v for k, v in t.items() if k != "id"}
                                      for t in data["added_tokens"]}
    config["chat_template"] = pathlib.Path(__file__).with_name("chat_template.jinja").read_text()
    (args.out / "tokenizer_config.json").write_text(json.dumps(config, ensure_ascii=False, indent=1))
    print(f"{first} byte-pair tokens, {first + len(data['added_tokens'])} in all")


if __name__ == "__main__":
    main()
