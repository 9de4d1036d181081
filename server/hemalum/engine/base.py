"""The protocol of an engine, and the stored tile every engine must reproduce before it is used.

An engine turns RGB tiles into maps: `B×H×W×3` uint8 → `B×2×sH×sW` float32 (s = the card's `output_scale`; channel 0 is
foreground probability, channel 1 distance to the border relative to the nucleus's largest).

>>> import numpy as np
>>> maps = np.random.default_rng(1).random((2, 64, 64), dtype=np.float32)
>>> agreement(maps, maps, 0.5).close
True
"""

from __future__ import annotations

import io
from typing import NamedTuple, Protocol

import numpy as np

from hemalum.models import Model


class Engine(Protocol):
    """What the queue needs of a backend.

    Attributes:
        device: for people and records, such as "CPU, ONNX Runtime 1.20, 2 threads".
        precision: "fp32", "fp16" or "int8".
        batch: tiles per call that were measured to pay.
        notices: sentences about a fall-back that was taken.
    """

    device: str
    precision: str
    batch: int
    notices: list[str]

    def maps(self, tiles: np.ndarray) -> np.ndarray:
        """`B×2×sH×sW` float32 of `B×H×W×3` uint8, 1 ≤ B ≤ batch, any H and W; called by one thread at a time."""


class Agreement(NamedTuple):
    """How well maps agree with the stored ones: `mean` and `largest` absolute difference, Dice of the foreground."""

    mean: float
    largest: float
    dice: float

    @property
    def equal(self) -> bool:
        """The same arithmetic up to rounding (stored maps have half precision)."""
        return self.largest <= 0.01

    @property
    def close(self) -> bool:
        """Maps of the same picture; whether they hold the same nuclei is `hemalum.engine.guard`'s question."""
        return self.mean <= 0.015 and self.dice >= 0.97


def agreement(maps: np.ndarray, stored: np.ndarray, foreground: float) -> Agreement:
    """Compare `2×H×W` maps with the stored ones at the foreground threshold of the card."""
    difference = np.abs(maps.astype(np.float32) - stored.astype(np.float32))
    ours, theirs = maps[0] > foreground, stored[0] > foreground
    both = int(ours.sum()) + int(theirs.sum())
    dice = 2 * int((ours & theirs).sum()) / both if both else 1.0
    if not np.isfinite(difference).all():
        return Agreement(float("inf"), float("inf"), 0.0)
    return Agreement(float(difference.mean()), float(difference.max()), dice)


def fitted(tiles: np.ndarray, multiple: int) -> np.ndarray:
    """Tiles whose sides a network can take: `B×H×W×3` uint8, mirrored below and to the right up to a multiple.

    A side is at least twice the multiple.

    >>> fitted(np.zeros((1, 1, 70, 3), np.uint8), 32).shape
    (1, 64, 96, 3)

    Raises:
        ValueError: another shape or dtype.
    """
    if tiles.dtype != np.uint8 or tiles.ndim != 4 or tiles.shape[3] != 3 or 0 in tiles.shape:
        raise ValueError(f"tiles must be uint8 B×H×W×3, not {tiles.dtype} {'×'.join(map(str, tiles.shape))}")
    missing = [max(2 * multiple, -(-side // multiple) * multiple) - side for side in tiles.shape[1:3]]
    if not any(missing):
        return tiles
    return np.pad(tiles, ((0, 0), (0, missing[0]), (0, missing[1]), (0, 0)), mode="symmetric")


def stored_tile(model: Model) -> tuple[np.ndarray, np.ndarray] | None:
    """`pixels` (T×T×3 uint8) and `maps` (2×sT×sT float32) of the model's `check.npz`; `None` if it has none.

    Raises:
        DamagedModel: the file differs from the card's sha256.
    """
    if model.path("check.npz") is None:
        return None
    with np.load(io.BytesIO(model.verified("check.npz"))) as stored:
        return np.ascontiguousarray(stored["pixels"]), stored["maps"].astype(np.float32)
