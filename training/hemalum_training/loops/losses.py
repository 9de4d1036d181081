"""Losses of the method: segmentation, least-squares GAN (Mao et al.

2017), cycle and identity (Zhu et al. 2017), METHOD S2.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F


def segmentation_loss(logits: torch.Tensor, targets: torch.Tensor, dice: float = 0.5,
                      distance: float = 2.0) -> torch.Tensor:
    """Binary cross-entropy (the patent's) + soft Dice on the foreground, smooth L1 on the distance if there is one.

    The intersection of Dice is min(p, q), which is p·q where the label q is 0 or 1 and, unlike it, is best at p = q
    where a teacher's probability is the label (Wang et al. 2023, arXiv 2303.16296).

    Args:
        logits: N×1×H×W or N×2×H×W.
        targets: N×2×H×W: foreground and distance 0…1; N×4×H×W: and 1 where each of them counts, 0 where it does not;
            N×3×H×W: the same for both.
        dice, distance: weights of the two added terms (ours; 0 leaves the patent's loss).
    """
    foreground = targets[:, 0]
    known, sure = (targets[:, 2], targets[:, -1]) if targets.shape[1] > 2 else 2 * [torch.ones_like(foreground)]

    def mean(loss: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
        return (loss * where).sum() / where.sum().clamp(min=1)

    loss = mean(F.binary_cross_entropy_with_logits(logits[:, 0], foreground, reduction="none"), known)
    if dice:
        p, foreground = logits[:, 0].sigmoid() * known, foreground * known
        loss = loss + dice * (1 - (2 * torch.minimum(p, foreground).sum() + 1) / (p.sum() + foreground.sum() + 1))
    if distance and logits.shape[1] > 1:
        loss = loss + distance * mean(F.smooth_l1_loss(logits[:, 1], targets[:, 1], beta=0.1, reduction="none"), sure)
    return loss


def shift_loss(logits: torch.Tensor, places) -> torch.Tensor:
    """How much the maps of a batch's second half differ from those of the first where both show the same tissue.

    Args:
        logits: N×c×H×W.
        places: int N×2, where each begins in the tissue of its pair, row and column in map px
            (`augment.sample_shifted`).

    >>> wide = torch.randn(1, 2, 8, 9)
    >>> float(shift_loss(torch.cat([wide[..., :6, 1:7], wide[..., 2:8, 3:9]]), [(0, 1), (2, 3)]))
    0.0
    """
    half, (height, width) = len(logits) // 2, logits.shape[2:]
    differences = []
    for first, second, (y, x), (v, u) in zip(logits[:half], logits[half:], places[:half], places[half:], strict=True):
        top, left = max(y, v), max(x, u)
        bottom, right = min(y, v) + height, min(x, u) + width
        a = first[:, top - y:bottom - y, left - x:right - x]
        b = second[:, top - v:bottom - v, left - u:right - u]
        differences.append(F.mse_loss(a[0].sigmoid(), b[0].sigmoid()))
        if len(a) > 1:
            differences.append(F.mse_loss(a[1], b[1]))
    return torch.stack(differences).sum() / half


def gan_generator(on_fake: torch.Tensor) -> torch.Tensor:
    """L(G_X2Y) = ½ E_x[(D_Y(G_X2Y(x)) − 1)²].

    >>> float(gan_generator(torch.tensor([0.0, 0.5])))
    0.3125
    """
    return 0.5 * (on_fake - 1).square().mean()


def gan_discriminator(on_real: torch.Tensor, on_fake: torch.Tensor) -> torch.Tensor:
    """L(D_Y) = ½ E_y[(1 − D_Y(y))²] + ½ E_x[D_Y(G_X2Y(x))²]."""
    return 0.5 * (1 - on_real).square().mean() + 0.5 * on_fake.square().mean()


def cycle_loss(x: torch.Tensor, x_back: torch.Tensor, y: torch.Tensor, y_back: torch.Tensor) -> torch.Tensor:
    """E_x‖G_Y2X(G_X2Y(x)) − x‖₁ + E_y‖G_X2Y(G_Y2X(y)) − y‖₁, each the mean over pixels and channels."""
    return F.l1_loss(x_back, x) + F.l1_loss(y_back, y)


def fit_targets(targets: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """Targets at twice a tile's resolution brought to the logits' by area; what is known stays 0 or 1."""
    factor = targets.shape[-1] // logits.shape[-1]
    if factor == 1:
        return targets
    small = F.avg_pool2d(targets, factor)
    small[:, 2:] = (small[:, 2:] >= 0.5).to(small.dtype)
    return small


def consistency_loss(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Mean squared difference of two segmentations' probabilities (claim 6); the first one is the target."""
    return F.mse_loss(second[:, :1].sigmoid(), first[:, :1].sigmoid().detach())
