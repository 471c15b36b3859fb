"""Writes a copy of a checkpoint whose vision tower has outlier channels, 100 times larger than the rest.

    outliers.py CHECKPOINT OUT [--divide]

In every vision block one channel of each layer norm (weight and bias), one output of fc1 and one channel of the
residual stream (through the bias of the patch embedding) grows a hundredfold. With --divide the weights that read
the norm's channel shrink by as much: the network computes the same, in numbers that are hard on 8 bits.
Needs numpy; one file of safetensors in BF16 or F32.
"""
import argparse
import json
import pathlib
import shutil

import numpy

FACTOR = 100.0


def read(array, dtype):
    if dtype == "BF16":
        return (array.view("<u2").astype("<u4") << 16).view("<f4")
    return array.view("<f4")


def write(values, dtype):
    if dtype == "BF16":
        bits = numpy.ascontiguousarray(values, "<f4").view("<u4")
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2").tobytes()
    return numpy.ascontiguousarray(values, "<f4").tobytes()


class File:
    def __init__(self, path):
        self.data = numpy.memmap(path, dtype="uint8", mode="r+")
        size = int.from_bytes(self.data[:8].tobytes(), "little")
        self.header = json.loads(self.data[8:8 + size].tobytes())
        self.base = 8 + size

    def change(self, name, function):
        entry = self.header[name]
        begin, end = (self.base + offset for offset in entry["data_offsets"])
        values = read(numpy.array(self.data[begin:end]), entry["dtype"]).reshape(entry["shape"]).copy()
        function(values)
        self.data[begin:end] = numpy.frombuffer(write(values, entry["dtype"]), "uint8")


def scale(index, factor):
    def apply(values):
        values[index] *= factor
    return apply


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--divide", action="store_true")
    args = parser.parse_args()
    shutil.copytree(args.checkpoint, args.out)
    file = File(args.out / "model.safetensors")
    config = json.loads((args.out / "config.json").read_text())["vision_config"]
    width, inner = config["hidden_size"], config["intermediate_size"]
    file.change("model.visual.patch_embed.proj.bias", lambda bias: bias.__setitem__(width // 3, FACTOR))
    for i in range(config["depth"]):
        block, channel = f"model.visual.blocks.{i}.", (37 * i + 5) % width
        for norm, reader in (("norm1", "attn.qkv"), ("norm2", "mlp.linear_fc1")):
            file.change(f"{block}{norm}.weight", scale(channel, FACTOR))
            file.change(f"{block}{norm}.bias", scale(channel, FACTOR))
            if args.divide:
                file.change(f"{block}{reader}.weight", scale((slice(None), channel), 1 / FACTOR))
        row = (53 * i + 7) % inner
        file.change(f"{block}mlp.linear_fc1.weight", scale(row, FACTOR))
        if args.divide:
            file.change(f"{block}mlp.linear_fc2.weight", scale((slice(None), row), 1 / FACTOR))


if __name__ == "__main__":
    main()
