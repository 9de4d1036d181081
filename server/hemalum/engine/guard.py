"""Whether an engine finds the same nuclei in the model's stored tile as the stored maps do.

Maps that look alike may still hold other nuclei: a foreground with Dice 0.9705 gave 5 % more of them.  So the nuclei
themselves are compared, by number and one to one.

>>> maps = np.zeros((2, 64, 64), np.float32)
>>> maps[:, 20:40, 20:40] = 1
>>> from hemalum.models import find
>>> card = find("nuclei").card
>>> same_nuclei(maps, maps, card), str(same_nuclei(maps, 0 * maps, card))
(NucleiAgreement(found=1, stored=1, matched=1), '1 nuclei instead of 0')
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hemalum.models import Card

IOU = 0.7
# int8 with exact sums gives 0.98 of the stored nuclei one to one and 1.3 % fewer of them; sums that saturate give 0.95
# and 5 % more.  What no tile of a few dozen nuclei can tell apart is let pass.
MATCHED, COUNT, FEW = 0.965, 0.03, 2


class NucleiAgreement(NamedTuple):
    """Nuclei found in a tile, nuclei of the stored maps, and pairs of the two that match one to one at IoU 0.7."""

    found: int
    stored: int
    matched: int

    @property
    def close(self) -> bool:
        """Whether a user would get the same nuclei: see the limits above."""
        alone = self.found + self.stored - 2 * self.matched
        return abs(self.found - self.stored) <= max(FEW, COUNT * self.stored) and alone <= max(
            2 * FEW, (1 - MATCHED) * (self.found + self.stored)
        )

    def __str__(self) -> str:
        if not self.matched:
            return f"{self.found} nuclei instead of {self.stored}"
        return f"{self.found} nuclei instead of {self.stored}, of which {self.matched} match"


def same_nuclei(maps: np.ndarray, stored: np.ndarray, card: Card) -> NucleiAgreement:
    """Compare the nuclei in `2×H×W` maps with those in the stored ones, with the thresholds of the card."""
    found, due = _labels(maps, card), _labels(stored, card)
    rows, columns = int(found.max()) + 1, int(due.max()) + 1
    both = np.bincount((found.astype(np.int64) * columns + due).ravel(), minlength=rows * columns)
    shared = both.reshape(rows, columns)
    union = shared.sum(1, keepdims=True) + shared.sum(0, keepdims=True) - shared
    pairs = shared[1:, 1:] > IOU * union[1:, 1:]  # above 0.5 a nucleus has one partner at most
    return NucleiAgreement(rows - 1, columns - 1, int(pairs.sum()))


def _labels(maps: np.ndarray, card: Card) -> np.ndarray:
    from hemalum.nuclei.instances import InstanceParameters, instances

    um = card.mpp / card.output_scale
    parameters = InstanceParameters(
        foreground=card.thresholds["foreground"],
        marker=card.thresholds["marker"],
        sigma=card.thresholds["sigma"],
        min_area=card.thresholds["min_area_um2"] / um**2,
        largest=card.largest_nucleus_um / um,
        part=card.thresholds.get("part_um2", 0.0) / um**2,
    )
    foreground, distance = np.ascontiguousarray(maps, np.float32)
    return instances(foreground, distance, parameters)
