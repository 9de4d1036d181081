"""The additive attention gate of Oktay et al. 2018 (arXiv 1804.03999, equations 1–2), METHOD S2."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class AttentionGate(nn.Module):
    """Weights a skip connection by what the coarser path looks for: `x̂ = x · σ2(ψᵀ σ1(W_x x + W_g g + b_g) + b_ψ)`.

    Args:
        skip_channels: F_l, channels of the skip `x`.
        gating_channels: F_g, channels of the gating signal `g`.
        inner_channels: F_int; half of F_l by default.
        stride: 2 where `g` has half the size of `x`; W_x then spans 2 × 2 and the weights are enlarged, as its authors
            have it.

    Forward: `x` N×F_l×H×W and `g` N×F_g×H×W of one size (or half of it) → N×F_l×H×W.  Every other linear map is a 1×1
    convolution.

    Example:
        >>> AttentionGate(16, 32)(torch.zeros(1, 16, 8, 8), torch.zeros(1, 32, 8, 8)).shape
        torch.Size([1, 16, 8, 8])
    """

    def __init__(self, skip_channels: int, gating_channels: int, inner_channels: int | None = None, stride: int = 1):
        super().__init__()
        inner = inner_channels or max(skip_channels // 2, 4)
        self.stride = stride
        self.w_x = nn.Conv2d(skip_channels, inner, stride, stride, bias=False)
        self.w_g = nn.Conv2d(gating_channels, inner, 1)
        self.psi = nn.Conv2d(inner, 1, 1)

    def forward(self, x: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
        weights = torch.sigmoid(self.psi(torch.relu(self.w_x(x) + self.w_g(g))))
        if self.stride > 1:
            weights = F.interpolate(weights, scale_factor=float(self.stride), mode="nearest")
        return x * weights
