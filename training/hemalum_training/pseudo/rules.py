"""Which pseudo labels to trust: two rules that score a tile, and the choice of tiles by rule, threshold and quota.

Pure.  *mean_softmax* is the patent's (METHOD S2): the mean over **all** pixels of max(σ(z), 1 − σ(z)).  A tile without
nuclei gets the best score.  *agreement* looks only where a decision was made, at the predicted foreground and a band
around its border, and asks whether the tile mirrored, turned and stained otherwise shows the same nuclei: confidence ×
agreement.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from hemalum.scoring import metrics

MEAN_SOFTMAX, AGREEMENT = RULES = ("mean_softmax", "agreement")
EMPTY = 0.002  # share of foreground below which a tile counts as without nuclei


@dataclass(frozen=True)
class TileScores:
    """What the rules see of a tile.

    Attributes:
        mean_softmax: 0.5…1.  confidence: mean of |2p − 1| over foreground and band, p the mean over all views, 0…1; 0
            without foreground.
        agreement: mean AJI of each view's nuclei against those of the mean maps, 0…1.
        density: share of the tile that is foreground.  nuclei: how many.
    """

    mean_softmax: float
    confidence: float
    agreement: float
    density: float
    nuclei: int

    @property
    def empty(self) -> bool:
        return self.nuclei == 0 or self.density < EMPTY

    def of(self, rule: str) -> float:
        return self.mean_softmax if rule == MEAN_SOFTMAX else self.confidence * self.agreement


def mean_softmax(foreground: np.ndarray) -> float:
    """The patent's score of one pass, float h×w probabilities.

    >>> mean_softmax(np.array([[0.0, 0.5]])), mean_softmax(np.zeros((4, 4)))
    (0.75, 1.0)
    """
    return float(np.maximum(foreground, 1 - foreground).mean())


def decided(foreground: np.ndarray, band: int, threshold: float = 0.5) -> np.ndarray:
    """Predicted foreground and `band` px outside it, bool h×w.

    >>> decided(np.eye(5)[[0, 1, 2, 3, 4]] * [1, 0, 0, 0, 0], 1).sum()
    np.int64(4)
    """
    inside = (foreground > threshold).astype(np.uint8)
    return cv2.dilate(inside, np.ones((2 * band + 1, 2 * band + 1), np.uint8)).astype(bool)


def confidence(foreground: np.ndarray, band: int, threshold: float = 0.5) -> float:
    """Mean of |2p − 1| where something was decided; 0 where nothing is.

    >>> confidence(np.full((4, 4), 0.75), 1)
    0.5
    """
    region = decided(foreground, band, threshold)
    return float(np.abs(2 * foreground[region] - 1).mean()) if region.any() else 0.0


def score_tile(foreground: np.ndarray, views: np.ndarray, labels: np.ndarray, view_labels: list[np.ndarray], band: int,
               threshold: float = 0.5) -> TileScores:
    """Scores of a tile.

    Args:
        foreground: float h×w, one plain pass.  views: float v×h×w, probabilities of all views, turned back.
        labels: int h×w, nuclei of the mean maps.  view_labels: of each view.
        band, threshold: px around the foreground, and the probability where it begins.
    """
    count = len(np.unique(labels)) - bool((labels == 0).any())
    same = [metrics.score(labels, other).aji for other in view_labels] if count else [0.0]
    return TileScores(
        mean_softmax=mean_softmax(foreground),
        confidence=confidence(views.mean(0), band, threshold),
        agreement=float(np.mean(same)),
        density=float((labels > 0).mean()),
        nuclei=count,
    )


def choose(scores: list[TileScores], rule: str, threshold: float, keep: int, bins: int = 1,
           empty_share: float = 0.0) -> list[str]:
    """Why each tile is not kept; "" for those that are.

    By *mean_softmax* the best `keep` tiles above the threshold.  By *agreement* the tiles with nuclei are cut into
    `bins` strata of equally many by density; in turns, the best of each stratum is taken, so neither sparse nor dense
    tiles take over.  Tiles without nuclei, by their mean softmax, make up at most `empty_share` of what is kept.
    """
    value = np.array([s.of(rule) for s in scores])
    reasons = ["" if v > threshold else f"score {v:.3f} is not above {threshold:g}" for v in value]
    if rule == MEAN_SOFTMAX:
        order = sorted((i for i, reason in enumerate(reasons) if not reason), key=lambda i: -value[i])
        for i in order[keep:]:
            reasons[i] = f"{keep} tiles have a better score"
        return reasons
    full = [i for i, s in enumerate(scores) if not s.empty]
    empty = sorted((i for i, s in enumerate(scores) if s.empty), key=lambda i: -scores[i].mean_softmax)
    strata = []
    for stratum in _strata(full, scores, bins):
        strata.append([i for i in stratum if not reasons[i]])
    taken = _in_turns(strata, value, keep)
    spare = int(empty_share * len(taken))
    for i in full:
        if not reasons[i] and i not in taken:
            reasons[i] = "the quota of its density is full"
    for position, i in enumerate(empty):
        fits = position < spare and len(taken) + position < keep
        reasons[i] = "" if fits else "no nuclei, and enough tiles like it are kept"
    return reasons


def _strata(indices: list[int], scores: list[TileScores], bins: int) -> list[list[int]]:
    ordered = sorted(indices, key=lambda i: scores[i].density)
    return [list(part) for part in np.array_split(np.array(ordered, int), bins)]


def _in_turns(strata: list[list[int]], value: np.ndarray, keep: int) -> set[int]:
    queues = [sorted(stratum, key=lambda i: value[i]) for stratum in strata]
    taken: set[int] = set()
    while len(taken) < keep and any(queues):
        for queue in queues:
            if queue and len(taken) < keep:
                taken.add(int(queue.pop()))
    return taken
