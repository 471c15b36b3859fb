"""The model's configuration, and a fast forward pass for training.

The parameters live in Hugging Face's own Qwen3VLForConditionalGeneration; `Fast` runs them for batches of pictures of
one size, in plain batched tensors, which on two CPU cores is many times faster than the library's loops over pictures.
`check_fast.py` holds the two against each other.
"""
import math

import torch
import torch.nn.functional as F
from torch import nn
from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

VISION = dict(depth=5, hidden_size=128, intermediate_size=352, num_heads=4, num_position_embeddings=144,
              deepstack_visual_indexes=[0, 2, 3], in_channels=3, patch_size=16, temporal_patch_size=2,
              spatial_merge_size=2, hidden_act="gelu_pytorch_tanh")
TEXT = dict(hidden_size=160, intermediate_size=384, num_hidden_layers=5, num_attention_heads=6, num_key_value_heads=2,
            head_dim=32, max_position_embeddings=4096, rms_norm_eps=1e-6, hidden_act="silu")
SECTIONS, THETA = [6, 5, 5], 10000.0


def make_config(token_id, size):
    """The configuration for a tokenizer; `token_id` maps a control token to its id."""
    rope = dict(rope_type="default", rope_theta=THETA, mrope_interleaved=True, mrope_section=SECTIONS)
    text = dict(TEXT, vocab_size=size, rope_parameters=rope, tie_word_embeddings=True,
                bos_token_id=token_id("<|endoftext|>"), eos_token_id=token_id("<|im_end|>"))
    vision = dict(VISION, out_hidden_size=TEXT["hidden_size"])
    ids = {name + "_token_id": token_id(f"<|{name if 'vision' in name else name + '_pad'}|>")
           for name in ("image", "video", "vision_start", "vision_end")}
    return Qwen3VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=True, **ids)


def make_model(config, seed=0):
    """A fresh model: every linear layer starts with variance 1/inputs, those that write to the residual with less."""
    torch.manual_seed(seed)
    model = Qwen3VLForConditionalGeneration(config).float()
    with torch.no_grad():
        for name, w in model.named_parameters():
            if "embed_tokens" in name:
                w.normal_(0, 0.5 / math.sqrt(w.shape[1]))
            elif "pos_embed" in name:
                w.normal_(0, 0.1)
            elif w.ndim > 1:
                last = any(part in name for part in ("attn.proj", "o_proj", "down_proj", "blocks", "fc2")) \
                    and not any(part in name for part in ("qkv", "fc1"))
                w.normal_(0, (0.4 if last else 1.0) / math.sqrt(w[0].numel()))
    return model


def positions_2d(height, width):
    """Patch rows and columns in merge-block order."""
    y = torch.arange(height).view(height // 2, 1, 2, 1).expand(-1, width // 2, -1, 2)
    x = torch.arange(width).view(1, width // 2, 1, 2).expand(height // 2, -1, 2, -1)
    return y.reshape(-1), x.reshape(-1)


def patchify(pictures):
    """uint8 [B, H, W, 3] -> float [B, patches, 768] in merge-block order, channel first, from -1 to 1."""
    b, height, width, _ = pictures.shape
    x = pictures.view(b, height // 32, 2, 16, width // 32, 2, 16, 3).permute(0, 1, 4, 2, 5, 7, 3, 6)
    return x.reshape(b, -1, 768).float() / 127.5 - 1


def rotate(x, cos, sin):
    half = x.shape[-1] // 2
    return x * cos + torch.cat((-x[..., half:], x[..., :half]), -1) * sin


class HalfLinear(torch.autograd.Function):
    """x W^T + b with the products in bfloat16 and everything else in float32: about twice as fast on these cores."""

    @staticmethod
    def forward(ctx, x, weight, bias):
        x16, w16 = x.reshape(-1, x.shape[-1]).bfloat16(), weight.bfloat16()
        ctx.save_for_backward(x16, w16)
        ctx.shape, ctx.biased = x.shape, bias is not None
        out = (x16 @ w16.t()).float()
        if bias is not None:
            out += bias
        return out.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx, g):
        x16, w16 = ctx.saved_tensors
        g = g.reshape(-1, g.shape[-1])
        g16 = g.bfloat16()
        dx = (g16 @ w16).float().view(ctx.shape) if ctx.needs_input_grad[0] else None
        return dx, (g16.t() @ x16).float(), g.sum(0) if ctx.biased else None


def linear(layer, x):
    """Apply a linear layer; in half precision while gradients are wanted."""
    if torch.is_grad_enabled():
        return HalfLinear.apply(x, layer.weight, layer.bias)
    return layer(x)


class Fast:
    """Batched forward over the parameters of a Hugging Face Qwen3-VL model."""

    def __init__(self, model):
        self.visual, self.text, self.config = model.model.visual, model.model.language_model, model.config
        self.cache = {}

    def _vision_tables(self, height, width):
        """Interpolation of the position table and rotary angles for a grid of patches."""
        if (height, width) in self.cache:
            return self.cache[height, width]
        side, dim = int(self.config.vision_config.num_position_embeddings ** 0.5), 32
        y, x = positions_2d(height, width)
        fy, fx = y * (side - 1) / (height - 1), x * (side - 1) / (width - 1)
        matrix = torch.zeros(height * width, side * side)
        for cy, wy in ((fy.floor(), 1 - fy % 1), ((fy.floor() + 1).clamp(max=side - 1), fy % 1)):
            for cx, wx in ((fx.floor(), 1 - fx % 1), ((fx.floor() + 1).clamp(max=side - 1), fx % 1)):
                matrix[torch.arange(height * width), (cy * side + cx).long()] += wy * wx
        dim = self.visual.config.hidden_size // self.visual.config.num_heads
        omega = 10000.0 ** (-torch.arange(dim // 4) / (dim // 4))
        angle = torch.cat((y[:, None] * omega, x[:, None] * omega), 1).repeat(1, 2)
        self.cache[height, width] = matrix, angle.cos(), angle.sin()
        return self.cache[height, width]

    def vision(self, patches, grid):
        """patches [B, N, 768] (or 1536 for two frames) -> last block, merged features, the three deepstack features."""
        v = self.visual
        table, cos, sin = self._vision_tables(*grid)
        kernel = v.patch_embed.proj.weight
        kernel = kernel.sum(2) if patches.shape[-1] == 768 else kernel
        product = HalfLinear.apply if torch.is_grad_enabled() else F.linear
        x = product(patches, kernel.flatten(1), v.patch_embed.proj.bias) + table @ v.pos_embed.weight
        b, n, d = x.shape
        heads, extra = v.config.num_heads, []
        for i, block in enumerate(v.blocks):
            q, k, value = linear(block.attn.qkv, block.norm1(x)).view(b, n, 3, heads, -1).permute(2, 0, 3, 1, 4)
            out = F.scaled_dot_product_attention(rotate(q, cos, sin), rotate(k, cos, sin), value)
            x = x + linear(block.attn.proj, out.transpose(1, 2).reshape(b, n, d))
            h = F.gelu(linear(block.mlp.linear_fc1, block.norm2(x)), approximate="tanh")
            x = x + linear(block.mlp.linear_fc2, h)
            if i in v.config.deepstack_visual_indexes:
                m = v.deepstack_merger_list[len(extra)]
                extra.append(linear(m.linear_fc2, F.gelu(linear(m.linear_fc1, m.norm(x.view(b, n // 4, 4 * d))))))
        m = v.merger
        merged = linear(m.linear_fc2, F.gelu(linear(m.linear_fc1, m.norm(x).view(b, n // 4, 4 * d))))
        return x, merged, extra

    def _rotary(self, positions):
        """positions [B, 3, L] -> cos, sin [B, 1, L, head_dim] of the interleaved three-axis rotary embedding."""
        dim = TEXT["head_dim"]
        omega = THETA ** (-torch.arange(0, dim, 2) / dim)
        axis = torch.tensor([i % 3 if i % 3 and i < 3 * SECTIONS[i % 3] else 0 for i in range(dim // 2)])
        angle = (positions.float()[:, axis] * omega[:, None]).transpose(1, 2).repeat(1, 1, 2)[:, None]
        return angle.cos(), angle.sin()

    def decode(self, tokens, positions, mask, features, places, tap=3):
        """Hidden states after layer `tap` and after the last norm.

        tokens [B, L]; positions [B, 3, L]; mask [B, 1, L, L] bool; features = (merged, extras) flattened to rows in
        order; places = flat indices of those rows in B * L (None without pictures).
        """
        text = self.text
        x = text.embed_tokens(tokens)
        b, length, d = x.shape
        if places is not None:
            x = x.reshape(-1, d).index_copy(0, places, features[0]).view(b, length, d)
        cos, sin = self._rotary(positions)
        tapped, heads = None, (TEXT["num_attention_heads"], TEXT["num_key_value_heads"])
        for i, layer in enumerate(text.layers):
            a = layer.self_attn
            h = self._rms(x, layer.input_layernorm)
            q = self._rms(linear(a.q_proj, h).view(b, length, heads[0], -1), a.q_norm).transpose(1, 2)
            k = self._rms(linear(a.k_proj, h).view(b, length, heads[1], -1), a.k_norm).transpose(1, 2)
            value = linear(a.v_proj, h).view(b, length, heads[1], -1).transpose(1, 2)
            k, value = (z.repeat_interleave(heads[0] // heads[1], 1) for z in (rotate(k, cos, sin), value))
            out = F.scaled_dot_product_attention(rotate(q, cos, sin), k, value, attn_mask=mask)
            x = x + linear(a.o_proj, out.transpose(1, 2).reshape(b, length, -1))
            h, mlp = self._rms(x, layer.post_attention_layernorm), layer.mlp
            x = x + linear(mlp.down_proj, F.silu(linear(mlp.gate_proj, h)) * linear(mlp.up_proj, h))
            if places is not None and i < len(features[1]):
                x = x.reshape(-1, d).index_add(0, places, features[1][i]).view(b, length, d)
            if i + 1 == tap:
                tapped = x
        return tapped, self._rms(x, text.norm)

    @staticmethod
    def _rms(x, norm):
        return F.rms_norm(x, norm.weight.shape, norm.weight, norm.variance_epsilon)

    def logits(self, hidden):
        return F.linear(hidden, self.text.embed_tokens.weight)
