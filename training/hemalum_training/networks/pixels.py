"""Pixels as networks see them: uint8 RGB ↔ float in [-1, 1]."""

from __future__ import annotations

import numpy as np
import torch


def to_input(pixels: np.ndarray, device: str = "cpu") -> torch.Tensor:
    """uint8 N×H×W×3 → float N×3×H×W in [-1, 1], channels last."""
    return torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def to_bytes(images: torch.Tensor) -> torch.Tensor:
    """Float in [-1, 1] → uint8, as an image file would hold them."""
    return ((images.detach().float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def to_float(images: torch.Tensor) -> torch.Tensor:
    """uint8 → float in [-1, 1]."""
    return images.float() / 127.5 - 1
