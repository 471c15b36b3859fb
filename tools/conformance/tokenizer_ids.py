#!/usr/bin/env python3
"""Compares qvl's tokenizer with the reference library on seeded strings.

  tokenizer_ids.py make --tokenizer FOLDER --out FOLDER [--count 10000] [--seed 1]
      writes strings.jsonl, plain.jsonl (the same without added tokens in them) and the reference's ids of both:
      strings.ids.jsonl, plain.ids.jsonl. Needs the package `tokenizers`.
  tokenizer_ids.py compare --strings FILE --reference FILE --found FILE
      compares two files of ids line by line; prints the first differences and their number; exit status 1 if any.

qvl's ids: qvl tokenize --model FOLDER --raw --lines strings.jsonl > found.jsonl. The reference recognises added
tokens wherever they are spelled, so --raw (added tokens are parsed) goes with strings.jsonl.
"""

import argparse
import json
import pathlib
import random
import sys
import unicodedata

WORDS = ("the quick brown fox isn't DON'T we'll they'Re I'm can't o'clock 'S 'VE x'd hello World Straße naïve façade "
         "Привет мир Ελληνικά עברית العربية हिन्दी ไทย 한국어 日本語 中文字符 tiếng Việt Cửa ½ ⅷ ² ١٢٣ ௧ 𝟘 ſ 'ſ l'ſ").split(" ")
CODE = ["for (int i = 0; i < n; ++i) {\n\t\tsum += a[i];\n\t}\n", "def f(x):\n    return x**2  # square\n\n\n",
        "SELECT * FROM t WHERE a >= 10 AND b != 'x';", "<div class=\"a\">&amp;</div>\r\n", "#include <vector>\r\n\r\n",
        "x = {\"k\": [1, 2.5e-3, null]}", "0x7fff_ffff >>> 3", "/* … */ // ---- \n", "git commit -m 'it''s'\n", "$HOME/.cache/*\\n"]
SPACES = [" ", "  ", "    ", "\t", "\n", "\n\n", "\r\n", "\r", " \n", "\n ", "\u00a0", "\u3000", "\u2028", "\u2009", "\u0085",
          "\u000b", "\u000c", "\u1680", "\u202f", "\u205f", "\u200b", "\ufeff", "\u180e", "\u001c", "\u001f"]
EMOJI = ["👨‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "🇩🇪", "❤️", "🤷🏻‍♂️", "1️⃣", "🫠", "☃"]
PUNCTUATION = list("!?.,;:-_()[]{}<>|/\\\"'`~@#$%^&*+=") + ["…", "—", "«", "。", "、", "!!!!!!", "...", "<|", "|>"]
# Sequences whose normal form differs from themselves, or whose marks stand out of order.
UNNORMALIZED = ["e\u0301", "a\u0323\u0302", "a\u0302\u0323", "\u1100\u1161\u11a8", "\u1112\u1161\u11ab", "\u212b", "\u2126",
                "\u0344", "\u0958", "\ufb1d", "\u2f800", "\uf900", "o\u0328\u0304", "q\u0307\u0323", "\u0b47\u0b56",
                "\u1e9b\u0323", "\u0f71\u0f72\u0f74", "\uac00\u11a8", "\u0cc6\u0cc2\u0cd5", "\U0001d15e"]
MARKS = [chr(c) for c in range(0x300, 0x370)]


def random_character(rng):
    """Any assigned character but surrogates and private use; planes are weighted towards the first."""
    while True:
        limit = rng.choice([0x80, 0x250, 0x3000, 0x10000, 0x20000, 0x30000])
        c = chr(rng.randrange(limit))
        if unicodedata.category(c) not in ("Cs", "Cn", "Co"):
            return c


def piece(rng, added):
    kind = rng.randrange(12)
    if kind == 0:
        return "".join(random_character(rng) for _ in range(rng.randint(1, 12)))
    if kind == 1:
        return rng.choice(CODE)
    if kind == 2:
        return "".join(chr(rng.randrange(0x4e00, 0xa000)) for _ in range(rng.randint(1, 10)))
    if kind == 3:
        return rng.choice(EMOJI)
    if kind == 4:
        return "".join(rng.choice(SPACES) for _ in range(rng.randint(1, 6)))
    if kind == 5:
        return "".join(rng.choice("0123456789") for _ in range(rng.randint(1, 9)))
    if kind == 6:
        return rng.choice("abXY") + "'" + rng.choice(["s", "T", "re", "VE", "m", "LL", "d", "x", "ſ", "lx", "R", ""])
    if kind == 7:
        text = "".join(rng.choice(UNNORMALIZED) for _ in range(rng.randint(1, 4)))
        return text + "".join(rng.choice(MARKS) for _ in range(rng.randint(0, 5)))
    if kind == 8 and added:
        token = rng.choice(added)
        return token if rng.random() < 0.8 else token[:-1]
    if kind == 9:
        return "".join(rng.choice(PUNCTUATION) for _ in range(rng.randint(1, 5)))
    return rng.choice(["", " "]) + rng.choice(WORDS)


def make_string(rng, added):
    return "".join(piece(rng, added) for _ in range(rng.randint(1, 20)))


def write_lines(path, items):
    with open(path, "w", encoding="utf-8") as out:
        for item in items:
            out.write(json.dumps(item) + "\n")


def make(arguments):
    import tokenizers
    tokenizer = tokenizers.Tokenizer.from_file(str(pathlib.Path(arguments.tokenizer) / "tokenizer.json"))
    added = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
    rng = random.Random(arguments.seed)
    out = pathlib.Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    for name, spelled in (("strings", added), ("plain", [])):
        strings = [make_string(rng, spelled) for _ in range(arguments.count)]
        write_lines(out / f"{name}.jsonl", strings)
        write_lines(out / f"{name}.ids.jsonl", (tokenizer.encode(s, add_special_tokens=False).ids for s in strings))


def compare(arguments):
    def lines(path):
        return pathlib.Path(path).read_text(encoding="utf-8").splitlines()
    strings, reference, found = lines(arguments.strings), lines(arguments.reference), lines(arguments.found)
    if not len(strings) == len(reference) == len(found):
        sys.exit(f"{len(strings)} strings, {len(reference)} reference lines, {len(found)} found lines: expected equal numbers")
    different = [i for i in range(len(strings)) if json.loads(reference[i]) != json.loads(found[i])]
    for i in different[:10]:
        print(f"line {i + 1}: {strings[i][:200]}\n  reference {reference[i][:200]}\n  found     {found[i][:200]}")
    print(f"{len(different)} of {len(strings)} strings differ")
    return 1 if different else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    maker = commands.add_parser("make")
    maker.add_argument("--tokenizer", required=True)
    maker.add_argument("--out", required=True)
    maker.add_argument("--count", type=int, default=10000)
    maker.add_argument("--seed", type=int, default=1)
    maker.set_defaults(run=make)
    comparer = commands.add_parser("compare")
    for name in ("--strings", "--reference", "--found"):
        comparer.add_argument(name, required=True)
    comparer.set_defaults(run=compare)
    arguments = parser.parse_args()
    return arguments.run(arguments)


if __name__ == "__main__":
    sys.exit(main())
