"""Auxiliary heads and losses: what the features must know about the objects.  They are thrown away at export."""
import torch
import torch.nn.functional as F
from torch import nn

from batches import NOTHING_KIND, block_order, label_grid
from draw import BACKGROUND_NAMES, COLOUR_NAMES, KINDS

PARTS = dict(colour=len(COLOUR_NAMES) + 1, kind=len(KINDS) + 1, digit=10, ground=len(BACKGROUND_NAMES), centre=2,
             place=4)


class Head(nn.Module):
    """One linear layer that reads colour, kind, digit, background, centre-here and place off a feature."""

    def __init__(self, width, norm=False):
        super().__init__()
        self.norm = nn.LayerNorm(width) if norm else nn.Identity()
        self.linear = nn.Linear(width, sum(PARTS.values()))

    def forward(self, x):
        return dict(zip(PARTS, self.linear(self.norm(x)).split(list(PARTS.values()), -1)))


def read_loss(out, whole, real, grounds=None):
    """Loss of one head against labels (see label_grid); the mean over cells, objects weighing more than background."""
    out = {name: x.reshape(-1, x.shape[-1]) for name, x in out.items()}
    whole, real = whole.reshape(-1, 4), real.reshape(-1, 4)
    weight = torch.full((PARTS["kind"],), 1.0)
    weight[-1] = 0.25
    loss = F.cross_entropy(out["colour"], whole[:, 0], weight) + F.cross_entropy(out["kind"], whole[:, 1], weight)
    digits = whole[:, 2] >= 0
    if digits.any():
        loss = loss + 0.7 * F.cross_entropy(out["digit"][digits], whole[digits, 2])
    there = whole[:, 1] != NOTHING_KIND
    loss = loss + 8.0 * F.smooth_l1_loss(out["place"][there], real[there], beta=0.1)
    if grounds is not None:
        cells = out["ground"].shape[0] // len(grounds)
        loss = loss + 0.3 * F.cross_entropy(out["ground"], grounds.repeat_interleave(cells))
        loss = loss + 0.5 * F.cross_entropy(out["centre"], whole[:, 3], torch.tensor([0.4, 1.0]))
    return loss


class Heads(nn.Module):
    """Heads on the last vision block, the merger, the three deepstack mergers, and the names in the text."""

    def __init__(self, vision_width, text_width):
        super().__init__()
        self.patch, self.merged = Head(vision_width, norm=True), Head(text_width)
        self.extra = nn.ModuleList(Head(text_width) for _ in range(3))
        self.name = Head(text_width, norm=True)

    def vision_loss(self, features, scenes, grid):
        """Loss of the vision tower's features, and the share of object patches with the right colour and kind."""
        last, merged, extra = features
        whole, real = (block_order(x) for x in label_grid(scenes, *grid, least=0.15))
        grounds = torch.tensor([BACKGROUND_NAMES.index(s["background"]) for s in scenes])
        out = self.patch(last)
        loss = read_loss(out, whole, real, grounds)
        coarse, places = label_grid(scenes, grid[0] // 2, grid[1] // 2, least=0.06)
        coarse, places = coarse.flatten(1, 2), places.flatten(1, 2)
        loss = loss + read_loss(self.merged(merged), coarse, places, grounds)
        for head, x in zip(self.extra, extra):
            loss = loss + 0.3 * read_loss(head(x), coarse, places, grounds)
        with torch.no_grad():
            there = whole[..., 1] != NOTHING_KIND
            right = (out["colour"].argmax(-1) == whole[..., 0]) & (out["kind"].argmax(-1) == whole[..., 1])
            off = (out["place"] - real).abs()[there][:, :2].mean()
        return loss, right[there].float().mean(), off

    def name_loss(self, hidden, objects):
        """Loss at the words that name objects: the hidden state there must know the thing it names."""
        whole = torch.tensor([[COLOUR_NAMES.index(o["colour"]), KINDS.index(o["kind"]), o["digit"], 0]
                              for o in objects])
        real = torch.tensor([[o["x"], o["y"], o["rx"] * 2, o["ry"] * 2] for o in objects])
        return read_loss(self.name(hidden), whole, real)
