"""A Transformer over windows that are fixed to the image: the tokens of the last feature map, METHOD S3.

An 8 × 8 window at stride 32 is the method's 256² tile.  Windows are aligned to the image's origin and not shifted;
convolutions carry information between them.  `offset` says where the input begins inside its first window, so that a
tile with a halo is cut into the same windows as the whole slide would be.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    """Pre-norm attention and MLP over the tokens of each window (Vaswani et al. 2017; Dosovitskiy et al. 2021)."""

    def __init__(self, dim: int, heads: int, mlp_ratio: float = 2.0):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.Linear(dim, int(dim * mlp_ratio)), nn.GELU(), nn.Linear(int(dim * mlp_ratio), dim))

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        windows, tokens, dim = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(windows, tokens, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-2, -1) * (dim // self.heads) ** -0.5 + mask
        x = x + self.out((scores.softmax(-1) @ v).transpose(1, 2).reshape(windows, tokens, dim))
        return x + self.mlp(self.norm2(x))


class WindowTransformer(nn.Module):
    """N×C×h×w → N×C×h×w, attention inside windows of `window` × `window` cells.

    Args:
        channels: C of the feature map, also the width of the tokens.
        depth: number of blocks.
        heads: attention heads.
        window: cells along a window's side.

    `offset` (cells, down and right) is the position of the map's first cell inside its window; cells outside the map
    take no part. The last projection starts at zero, so that a fresh transformer passes its input through.

    Example:
        >>> WindowTransformer(32, depth=1, heads=4)(torch.zeros(1, 32, 6, 6), offset=(6, 6)).shape
        torch.Size([1, 32, 6, 6])
    """

    def __init__(self, channels: int, depth: int = 2, heads: int = 4, window: int = 8):
        super().__init__()
        self.window = window
        self.position = nn.Parameter(torch.randn(1, window * window, channels) * 0.02)
        self.blocks = nn.ModuleList(Block(channels, heads) for _ in range(depth))
        for block in self.blocks:
            for layer in (block.out, block.mlp[-1]):
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)

    def _split(self, x: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
        n, c, s = x.shape[0], x.shape[1], self.window
        return x.view(n, c, rows, s, columns, s).permute(0, 2, 4, 3, 5, 1).reshape(n * rows * columns, s * s, c)

    def forward(self, x: torch.Tensor, offset: tuple[int, int] = (0, 0)) -> torch.Tensor:
        n, c, h, w = x.shape
        s, (top, left) = self.window, offset
        # in this form torch.export can follow them symbolically
        rows, columns = (top + h + s - 1) // s, (left + w + s - 1) // s
        padding = (left, columns * s - left - w, top, rows * s - top - h)
        tokens = self._split(F.pad(x, padding), rows, columns)
        inside = self._split(F.pad(torch.ones_like(x[:, :1]), padding), rows, columns).transpose(1, 2).unsqueeze(1)
        mask = (inside - 1) * 1e4
        y = tokens + self.position
        for block in self.blocks:
            y = block(y, mask)
        y = y - self.position
        y = y.view(n, rows, columns, s, s, c).permute(0, 5, 1, 3, 2, 4).reshape(n, c, rows * s, columns * s)
        return y[:, :, top:top + h, left:left + w]
