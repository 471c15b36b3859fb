"""Muon for the weight matrices, AdamW for the rest, over parameters whose gradients lie in one flat tensor."""
import torch
import torch.distributed as dist


def orthogonalise(batch, steps=5):
    """Newton-Schulz iteration: about the nearest orthogonal matrix to each of [n, rows, columns]."""
    x = batch.bfloat16()
    flip = x.shape[1] > x.shape[2]
    x = x.transpose(1, 2) if flip else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        a = x @ x.transpose(1, 2)
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return (x.transpose(1, 2) if flip else x).float()


class Optimiser:
    """Updates named parameters in place; with several processes each orthogonalises its share of the matrices."""

    def __init__(self, named, decay=0.02):
        self.named, self.decay, self.steps = list(named), decay, 0
        self.flat = torch.zeros(sum(w.numel() for _, w in self.named))
        at = 0
        for _, w in self.named:
            w.grad = self.flat[at:at + w.numel()].view_as(w)
            at += w.numel()
        matrix = lambda name, w: w.ndim == 2 and "embed" not in name and "heads." not in name
        self.matrices = [(n, w) for n, w in self.named if matrix(n, w)]
        self.rest = [(n, w) for n, w in self.named if not matrix(n, w)]
        self.state = {n: [torch.zeros_like(w) for _ in range(1 if matrix(n, w) else 2)] for n, w in self.named}

    def zero(self):
        self.flat.zero_()

    def share_gradients(self, extra):
        """Average the gradients over the processes; returns the mean of `extra` values too."""
        if dist.is_initialized():
            both = torch.cat((self.flat, torch.tensor(extra, dtype=torch.float32)))
            dist.all_reduce(both)
            both /= dist.get_world_size()
            self.flat.copy_(both[:self.flat.numel()])
            return both[self.flat.numel():].tolist()
        return list(extra)

    @torch.no_grad()
    def step(self, rate):
        self.steps += 1
        norm = self.flat.norm()
        if norm > 2.0:
            self.flat.mul_(2.0 / norm)
        self._adam(rate)
        self._muon(rate)
        return norm.item()

    def _adam(self, rate):
        correct1, correct2 = 1 - 0.9 ** self.steps, 1 - 0.98 ** self.steps
        for name, w in self.rest:
            m, v = self.state[name]
            m.lerp_(w.grad, 0.1)
            v.lerp_(w.grad ** 2, 0.02)
            w.addcdiv_(m, (v / correct2).sqrt_().add_(1e-8), value=-rate / correct1)

    def _muon(self, rate):
        groups = {}
        for name, w in self.matrices:
            m = self.state[name][0]
            m.lerp_(w.grad, 0.05)
            direction = torch.lerp(w.grad, m, 0.95)
            parts = 3 if ".qkv." in name else 1                    # q, k and v are matrices of their own
            view = direction.view(parts, w.shape[0] // parts, w.shape[1])
            groups.setdefault(view.shape[1:], []).append((w, view))
        updates, rank, count = [], *((dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1))
        for number, (shape, members) in enumerate(groups.items()):
            joined = torch.cat([view for _, view in members])
            out, size = torch.zeros_like(joined), len(joined)
            first, last = size * rank // count, size * (rank + 1) // count
            if last > first:
                out[first:last] = orthogonalise(joined[first:last])
            updates.append((members, out))
        if count > 1:
            flat = torch.cat([out.flatten() for _, out in updates])
            dist.all_reduce(flat)
            at = 0
            for _, out in updates:
                out.copy_(flat[at:at + out.numel()].view_as(out))
                at += out.numel()
        for members, out in updates:
            scale, at = 0.2 * max(out.shape[1:]) ** 0.5, 0
            for w, view in members:
                w.mul_(1 - rate * self.decay).add_(out[at:at + len(view)].reshape(w.shape), alpha=-rate * scale)
                at += len(view)

    def state_dict(self):
        return dict(state=self.state, steps=self.steps)

    def load_state_dict(self, saved):
        self.steps = saved["steps"]
        for name, values in saved["state"].items():
            if name in self.state:
                for mine, theirs in zip(self.state[name], values):
                    mine.copy_(theirs)
