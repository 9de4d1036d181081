"""Colours carried from one cloud to another without pairs: a sliced optimal transport.

Iterative distribution transfer (Pitié, Kokaram & Dahyot 2007, doi 10.1016/j.cviu.2006.11.011).
It is what a learned normalization has to be compared with: it knows the same unpaired images and needs no network.

>>> x = np.random.default_rng(0).normal(0, 1, (4000, 3))
>>> bool(np.abs(transported(x, 2 * x[::-1] + 1, seed=0).mean(0) - 1).max() < 0.1)
True
"""

from __future__ import annotations

import numpy as np

ROUNDS = 30


def transported(points: np.ndarray, goal: np.ndarray, seed: int, rounds: int = ROUNDS) -> np.ndarray:
    """`points` moved until they are distributed as `goal`: along random orthogonal axes, quantile for quantile.

    Args:
        points: float n×3.  goal: float m×3.

    Returns:
        float64 n×3.
    """
    rng = np.random.default_rng(seed)
    moved, share = points.astype(np.float64), (np.arange(len(points)) + 0.5) / len(points)
    for _ in range(rounds):
        axes = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        along, goal_along = moved @ axes, goal @ axes
        for axis in range(3):
            along[np.argsort(along[:, axis], kind="stable"), axis] = np.quantile(goal_along[:, axis], share)
        moved = along @ axes.T
    return moved
