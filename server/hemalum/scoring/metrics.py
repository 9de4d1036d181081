"""How well predicted nuclei agree with reference nuclei: AJI, AJI+, PQ = DQ · SQ, F1, Dice, foreground IoU.

Label images are H × W integers, 0 = background, each other value one nucleus (need not be contiguous or connected).

* AJI (Kumar et al. 2017) as HoVer-Net's `get_fast_aji` computes it: each reference nucleus takes the prediction of
  highest IoU (which several may share); intersections are summed and divided by the summed unions plus the areas of all
  that found no partner.
* AJI+ (Graham et al. 2019): the same with the one-to-one assignment of the highest summed IoU.
* PQ (Kirillov et al. 2019): pairs of IoU > 0.5 are matches, unique by themselves.  DQ is F1 at that IoU, SQ the
  matches' mean IoU.
* Dice and fgIoU compare pixels only.
* Where neither side has a nucleus all are 1, where one side has none all are 0.

>>> reference = np.zeros((4, 8), int); reference[:, :4] = 1
>>> predicted = np.zeros((4, 8), int); predicted[:, 1:5] = 7
>>> scores = score(reference, predicted)
>>> scores.aji, scores.pq, scores.dice, scores.n_ref
(0.6, 0.6, 0.75, 1)
>>> interval = bootstrap([0.5, 0.6, 0.7])
>>> round(interval.mean, 3), interval.low <= interval.mean <= interval.high
(0.6, True)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hemalum.compiled import compiled, root

MATCH = 0.5  # IoU above which a pair is a match; at most one partner can exceed it
NAMES = {
    "AJI": "aji",
    "AJI+": "aji_plus",
    "PQ": "pq",
    "DQ": "dq",
    "SQ": "sq",
    "F1": "f1",
    "Dice": "dice",
    "fgIoU": "fg_iou",
}


@dataclass(frozen=True)
class Scores:
    """Scores of one image, each 0…1, and how many nuclei each side has."""

    aji: float
    aji_plus: float
    pq: float
    dq: float
    sq: float
    f1: float
    dice: float
    fg_iou: float
    n_ref: int
    n_pred: int

    def as_dict(self) -> dict[str, float]:
        """By the names of the literature: AJI, AJI+, PQ, DQ, SQ, F1, Dice, fgIoU, n_ref, n_pred."""
        scores = {name: getattr(self, attribute) for name, attribute in NAMES.items()}
        return {**scores, "n_ref": self.n_ref, "n_pred": self.n_pred}


def score(reference: np.ndarray, predicted: np.ndarray) -> Scores:
    """Compare two label images.  Memory and time grow with pixels and touching pairs, not with nuclei × nuclei.

    Raises:
        ValueError: different shapes, or labels that are not integers.
    """
    reference, predicted = np.asarray(reference), np.asarray(predicted)
    if reference.shape != predicted.shape:
        raise ValueError(f"label images of different shapes, {reference.shape} and {predicted.shape}")
    if not all(np.issubdtype(labels.dtype, np.integer) for labels in (reference, predicted)):
        raise ValueError(f"labels must be integers, not {reference.dtype} and {predicted.dtype}")
    area_ref, area_pred, rows, cols, inter = _pairs(reference, predicted)
    n_ref, n_pred = len(area_ref), len(area_pred)
    total, shared = int(area_ref.sum() + area_pred.sum()), int(inter.sum())
    dice = 2 * shared / total if total else 1.0
    fg_iou = shared / (total - shared) if total else 1.0
    if not n_ref or not n_pred:
        same = float(n_ref == n_pred)
        return Scores(
            aji=same,
            aji_plus=same,
            pq=same,
            dq=same,
            sq=same,
            f1=same,
            dice=dice,
            fg_iou=fg_iou,
            n_ref=n_ref,
            n_pred=n_pred,
        )

    union = area_ref[rows] + area_pred[cols] - inter
    iou = inter / union
    # the first row of each reference nucleus after sorting is its best pair; of equal ones that of the lowest label
    order = np.lexsort((cols, -iou, rows))
    best = order[np.r_[True, np.diff(rows[order]) != 0]] if len(order) else order
    assigned = _assignment(rows, cols, iou)
    matches = iou[iou > MATCH]
    dq = 2 * len(matches) / (n_ref + n_pred)
    sq = float(matches.mean()) if len(matches) else 0.0

    def jaccard(pairs) -> float:
        """Summed intersections of the pairs over their summed unions and the areas of all nuclei in none of them."""
        alone = np.delete(area_ref, np.unique(rows[pairs])).sum() + np.delete(area_pred, np.unique(cols[pairs])).sum()
        return float(inter[pairs].sum() / (union[pairs].sum() + alone))

    return Scores(
        aji=jaccard(best),
        aji_plus=jaccard(assigned),
        pq=dq * sq,
        dq=dq,
        sq=sq,
        f1=dq,
        dice=dice,
        fg_iou=fg_iou,
        n_ref=n_ref,
        n_pred=n_pred,
    )


def _pairs(reference, predicted):
    """Areas of both sides' nuclei by label; and row, column and shared pixels of each pair that shares any."""
    ref, pred = reference.ravel(), predicted.ravel()
    # sorting runs of equal pixels instead of pixels is ten times faster: nuclei are many pixels wide
    starts = np.flatnonzero(np.r_[ref.size > 0, (ref[1:] != ref[:-1]) | (pred[1:] != pred[:-1])])
    length = np.diff(starts, append=ref.size)
    (labels_ref, ref), (labels_pred, pred) = (np.unique(labels[starts], return_inverse=True) for labels in (ref, pred))
    both = ref.ravel().astype(np.int64) * len(labels_pred) + pred.ravel()
    joint, where = np.unique(both, return_inverse=True)
    count = np.bincount(where.ravel(), length, len(joint)).astype(np.int64)
    row, col = np.divmod(joint, max(1, len(labels_pred)))
    nuclei_ref, nuclei_pred = labels_ref != 0, labels_pred != 0
    area_ref = np.bincount(row, count, len(labels_ref)).astype(np.int64)[nuclei_ref]
    area_pred = np.bincount(col, count, len(labels_pred)).astype(np.int64)[nuclei_pred]
    shared = nuclei_ref[row] & nuclei_pred[col]
    row, col = (np.cumsum(nuclei_ref) - 1)[row[shared]], (np.cumsum(nuclei_pred) - 1)[col[shared]]
    return area_ref, area_pred, row, col, count[shared]


def _assignment(rows, cols, iou) -> np.ndarray:
    """Pairs (indices into `rows`) of the one-to-one assignment with the highest summed IoU.

    Pairs that share no nucleus do not influence each other, so each connected group of nuclei is solved alone: groups
        have a few
    nuclei where the whole image has thousands.
    """
    if not len(rows):
        return np.zeros(0, np.int64)
    group = _groups(rows, cols, int(rows.max()) + 1, int(cols.max()) + 1)
    order = np.argsort(group, kind="stable")
    assigned = []
    for members in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        if len(members) == 1:
            assigned.append(members)
            continue
        (group_rows, r), (group_cols, c) = (np.unique(side[members], return_inverse=True) for side in (rows, cols))
        pair = np.full((len(group_rows), len(group_cols)), -1, np.int64)
        pair[r, c] = members
        gain = np.zeros(pair.shape)
        gain[r, c] = iou[members]
        if gain.shape[0] > gain.shape[1]:
            gain, pair = gain.T, pair.T
        partner = _hungarian(np.ascontiguousarray(-gain))
        pairs = pair[np.arange(len(partner)), partner]
        assigned.append(pairs[pairs >= 0])
    return np.concatenate(assigned)


@compiled
def _groups(rows, cols, n_rows, n_cols):
    """Number of the connected group of each pair."""
    parent = np.arange(n_rows + n_cols)
    for i in range(len(rows)):
        a, b = root(parent, rows[i]), root(parent, cols[i] + n_rows)
        parent[max(a, b)] = min(a, b)
    group = np.empty(len(rows), np.int64)
    for i in range(len(rows)):
        group[i] = root(parent, rows[i])
    return group


@compiled
def _hungarian(cost):
    """Column of each row (n ≤ m) in the assignment of least cost, by shortest augmenting paths.

    Jonker and Volgenant 1987, doi 10.1007/BF02278710.  SciPy has it, too, but nothing else at run time needs SciPy.
    """
    n, m = cost.shape
    price_row, price_col = np.zeros(n + 1), np.zeros(m + 1)
    owner, came_from = np.zeros(m + 1, np.int64), np.zeros(m + 1, np.int64)  # 1-based; 0 is nobody
    for row in range(1, n + 1):
        owner[0] = row
        nearest = np.full(m + 1, np.inf)
        visited = np.zeros(m + 1, np.bool_)
        col = 0
        while owner[col] != 0:
            visited[col] = True
            current, step, following = owner[col], np.inf, 0
            for j in range(1, m + 1):
                if not visited[j]:
                    reduced = cost[current - 1, j - 1] - price_row[current] - price_col[j]
                    if reduced < nearest[j]:
                        nearest[j], came_from[j] = reduced, col
                    if nearest[j] < step:
                        step, following = nearest[j], j
            for j in range(m + 1):
                if visited[j]:
                    price_row[owner[j]] += step
                    price_col[j] -= step
                else:
                    nearest[j] -= step
            col = following
        while col != 0:
            owner[col] = owner[came_from[col]]
            col = came_from[col]
    partner = np.empty(n, np.int64)
    for j in range(1, m + 1):
        if owner[j] != 0:
            partner[owner[j] - 1] = j - 1
    return partner


class Interval(NamedTuple):
    """A mean and the ends of its confidence interval."""

    mean: float
    low: float
    high: float


def bootstrap(
    values: Sequence[float] | np.ndarray,
    other: Sequence[float] | np.ndarray | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap of a mean over images (Efron 1979); with `other`, of the mean paired difference.

    The images are resampled, not the nuclei: nuclei of one image are not independent.  The same values and seed give
    the same interval; a single image gives an interval without width, which says nothing.

    Args:
        values: of each image.
        other: what is subtracted, image by image.

    Raises:
        ValueError: no values, or a pair of different lengths.
    """
    sample = np.asarray(values, np.float64)
    if other is not None:
        subtracted = np.asarray(other, np.float64)
        if subtracted.shape != sample.shape:
            raise ValueError(f"{len(sample)} and {len(subtracted)} values cannot be paired")
        sample = sample - subtracted
    if not sample.size:
        raise ValueError("an interval needs at least one value")
    rng = np.random.default_rng(seed)
    means = np.sort([sample[rng.integers(0, len(sample), len(sample))].mean() for _ in range(resamples)])
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(sample.mean()), float(low), float(high))
