"""Losses of the segmentation decoder."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def segmentation_loss(logits: torch.Tensor, targets: torch.Tensor, dice: float = 0.5, distance: float = 2.0) -> torch.Tensor:
    """Binary cross-entropy (the source's) + soft Dice on the foreground, smooth L1 on the distance channel where there is one.

    Args:
        logits: N×1×H×W or N×2×H×W.
        targets: N×2×H×W: foreground 0/1, distance 0…1.
        dice, distance: weights of the two added terms (ours; 0 leaves the source's loss).
    """
    foreground = targets[:, 0]
    loss = F.binary_cross_entropy_with_logits(logits[:, 0], foreground)
    if dice:
        p = logits[:, 0].sigmoid()
        loss = loss + dice * (1 - (2 * (p * foreground).sum() + 1) / (p.sum() + foreground.sum() + 1))
    if distance and logits.shape[1] > 1:
        loss = loss + distance * F.smooth_l1_loss(logits[:, 1], targets[:, 1], beta=0.1)
    return loss
