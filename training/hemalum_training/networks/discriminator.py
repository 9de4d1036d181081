"""The 70×70 PatchGAN discriminator (Isola et al. 2017, arXiv 1611.07004, appendix 6.1.2), METHOD S2."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm


class PatchDiscriminator(nn.Module):
    """One logit for each overlapping 70×70 patch: does this patch come from the domain?

    4×4 convolutions of `width`, 2, 4 and 8 times `width` channels, strides 2, 2, 2, 1, then one of a single channel.
    Weights start from N(0, 0.02) as in the paper.  It trains generators and never ships, so a normalization by the
    tile's own statistics is allowed here.

    Args:
        width: channels of the first layer (64 in the paper; less for a small experiment).
        normalization: "instance" as in CycleGAN (Zhu et al. 2017), "spectral" (Miyato et al. 2018) or "none".

    Forward: RGB N×3×H×W in [-1, 1], sides ≥ 32 → N×1×h×w with h = H/8 - 2 for multiples of 8.

    Example:
        >>> PatchDiscriminator(width=8)(torch.zeros(1, 3, 256, 256)).shape
        torch.Size([1, 1, 30, 30])
    """

    def __init__(self, width: int = 64, normalization: str = "instance"):
        super().__init__()
        if normalization not in ("instance", "spectral", "none"):
            raise ValueError(f"normalization {normalization!r} is not one of instance, spectral, none")
        channels, strides = [3, width, 2 * width, 4 * width, 8 * width, 1], [2, 2, 2, 1, 1]
        layers: list[nn.Module] = []
        for index, stride in enumerate(strides):
            conv = nn.Conv2d(channels[index], channels[index + 1], 4, stride, padding=1)
            nn.init.normal_(conv.weight, 0, 0.02)
            nn.init.zeros_(conv.bias)
            layers.append(spectral_norm(conv) if normalization == "spectral" else conv)
            if normalization == "instance" and 0 < index < 4:
                layers.append(nn.InstanceNorm2d(channels[index + 1]))
            if index < 4:
                layers.append(nn.LeakyReLU(0.2))
        self.layers = nn.Sequential(*layers)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.layers(image)
