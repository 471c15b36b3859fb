"""Hold the training forward against Hugging Face's own, on random weights: check_fast.py FOLDER."""
import sys

import numpy as np
import torch
from tokenizers import Tokenizer

from batches import Reader, build_text
from draw import make_scene
from model import Fast, make_config, make_model, patchify
from render import model_view


def main():
    tokenizer = Tokenizer.from_file(sys.argv[1] + "/tokenizer.json")
    config = make_config(tokenizer.token_to_id, tokenizer.get_vocab_size())
    model = make_model(config).eval()
    with torch.no_grad():
        for w in model.parameters():
            if w.ndim == 1:
                w.add_(0.1 * torch.randn_like(w))
    rng = np.random.default_rng(3)
    scene = make_scene(rng)
    picture = torch.from_numpy(np.array(model_view(rng, scene)))[None]
    grid = (picture.shape[1] // 16, picture.shape[2] // 16)
    batch = build_text(Reader(tokenizer), rng, [[scene]], (grid[0] // 2, grid[1] // 2), ["describe"], parallel=False)
    fast, x = Fast(model), patchify(picture)
    with torch.no_grad():
        _, merged, extra = fast.vision(x, grid)
        rows = (merged.flatten(0, 1), [e.flatten(0, 1) for e in extra])
        _, hidden = fast.decode(batch.tokens, batch.positions, batch.mask, rows, batch.places)
        ours = fast.logits(hidden)
        twice = x.view(-1, 3, 1, 256).expand(-1, -1, 2, -1).reshape(-1, 1536)
        kinds = (batch.tokens == config.image_token_id).int()
        theirs = model(input_ids=batch.tokens, pixel_values=twice, image_grid_thw=torch.tensor([[1, *grid]]),
                       mm_token_type_ids=kinds).logits
    print(f"{sum(w.numel() for w in model.parameters())} parameters, largest difference "
          f"{(ours - theirs).abs().max():.2e} of {theirs.abs().max():.1f}")


if __name__ == "__main__":
    main()
