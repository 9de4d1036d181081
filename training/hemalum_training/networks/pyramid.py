"""A segmentation decoder made for 8 bits on a CPU: few channels where pixels are many, maps straight from stride 2.

From level to level two 1×1 convolutions meet in a sum (Lin et al. 2017, arXiv 1612.03144): a gated skip, and the
coarser path, which is projected before it is enlarged.  What would be a concatenation at the finer level is so computed
where pixels are a quarter.  Nothing is computed at full resolution: a 1×1 head gives all sub-pixels of a cell (Shi et
al. 2016, arXiv 1609.05158).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from hemalum_training.networks.attention_gate import AttentionGate

BACKGROUND = -2.0   # logit that a fresh decoder gives everywhere: about one px in eight is a nucleus's


class Merge(nn.Module):
    """One level up: N×`coarse`×h×w and the skip N×`skip`×2h×2w → N×`width`×2h×2w.

    The gate's weights are computed on the coarse grid.
    """

    def __init__(self, skip: int, coarse: int, width: int, gated: bool):
        super().__init__()
        self.gate = AttentionGate(skip, coarse, stride=2) if gated else None
        self.lateral, self.enlarged = _convolution(skip, width, 1), _convolution(coarse, width, 1)
        self.mix = _convolution(width, width, 3)

    def forward(self, y: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        if self.gate is not None:
            skip = self.gate(skip, y)
        y = self.lateral(skip) + F.interpolate(self.enlarged(y), scale_factor=2.0, mode="nearest")
        return torch.relu(self.mix(torch.relu(y)))


def _convolution(inputs: int, outputs: int, side: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, side, padding=side // 2, bias=False), nn.BatchNorm2d(outputs))


class PyramidDecoder(nn.Module):
    """Logits of `channels` maps at `output_scale` times the image's resolution.

    Args:
        bottleneck: channels at stride 32.
        skips: channels of the encoder's maps at strides 16, 8, 4, 2.
        widths: channels after each of the four steps up.
        gates: attention gates on the skips.

    Forward: bottleneck N×C×h×w, skips as above → N×channels×(32 · output_scale)h×….
    """

    def __init__(self, bottleneck: int, skips: list[int], widths: list[int], gates: bool = True, channels: int = 2,
                 output_scale: int = 2):
        super().__init__()
        self.scale = 2 * output_scale
        self.steps = nn.ModuleList(Merge(skip, coarse, width, gates)
                                   for skip, coarse, width in zip(skips, [bottleneck, *widths], widths, strict=False))
        self.head = nn.Conv2d(widths[-1], channels * self.scale**2, 1)
        # It begins with what is most common, background (Lin et al. 2017, arXiv 1708.02002).  Else that is learned
        # first, by features which are active there and by weights below zero, and inside nuclei, where no feature is
        # active any more, nothing can be told apart.
        nn.init.normal_(self.head.weight, 0, 0.05)
        nn.init.constant_(self.head.bias, 0)
        nn.init.constant_(self.head.bias[:self.scale**2], BACKGROUND)

    def cells(self, y: torch.Tensor, skips: list[torch.Tensor]) -> torch.Tensor:
        """N×channels · scale²×H×W: the sub-pixels of each cell of stride 2, channel by channel, row by row."""
        for step, skip in zip(self.steps, skips, strict=True):
            y = step(y, skip)
        return self.head(y)

    def forward(self, y: torch.Tensor, skips: list[torch.Tensor], image: torch.Tensor | None = None) -> torch.Tensor:
        return F.pixel_shuffle(self.cells(y, skips), self.scale)
