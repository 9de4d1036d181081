"""Is a model better than another, on images that neither step of the training saw?

Both models run as they ship: through the server's engine and instance step, with the thresholds of their own cards.
What is compared is the mean of AJI and PQ in fields of 64 µm; the fields are resampled in pairs
(`hemalum.scoring.metrics.bootstrap`), and *better* is said where the whole interval of the difference lies above zero.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from hemalum.models import Model
from hemalum.nuclei.instances import instances
from hemalum.scoring import metrics
from hemalum_training.data.labelled import LabelledImage
from hemalum_training.scoring.packages import instance_parameters, maps_of

FIELD = 256         # px at 0.25 µm/px
LEAST = 5           # fields; an interval of fewer says nothing
MEASURES = ("score", "aji", "pq", "f1", "dice")


@dataclass(frozen=True)
class Verdict:
    """What was found.

    Attributes:
        better: the interval of the difference of `score`, (AJI + PQ) / 2, lies above zero, in `LEAST` fields or more.
        fields, nuclei: compared.
        current, new: means by measure.
        difference: mean, low, high of new − current by measure.
    """

    better: bool
    fields: int
    nuclei: int
    current: dict[str, float]
    new: dict[str, float]
    difference: dict[str, tuple[float, float, float]]

    @property
    def sentence(self) -> str:
        mean, low, high = self.difference["score"]
        if self.fields < LEAST:
            return (f"not better: only {self.fields} fields of 64 µm were kept apart, and {LEAST} are needed; "
                    "annotate more regions")
        word = "better" if self.better else "not better (worse)" if high < 0 else "not better"
        return (f"{word}: mean of AJI and PQ {self.current['score']:.4f} → {self.new['score']:.4f}, "
                f"{mean:+.4f} (95 % {low:+.4f} to {high:+.4f}), "
                f"{self.fields} fields of 64 µm, {self.nuclei} nuclei")


def fields(labels: np.ndarray, side: int = FIELD) -> list[tuple[slice, slice]]:
    """Windows of about `side` px that divide an image evenly.

    >>> [(f[0].stop - f[0].start, f[1].stop - f[1].start) for f in fields(np.zeros((260, 500)))]
    [(260, 250), (260, 250)]
    """
    rows, columns = (_stretches(length, side) for length in labels.shape)
    return list(itertools.product(rows, columns))


def _stretches(length: int, side: int) -> list[slice]:
    edges = np.linspace(0, length, max(1, round(length / side)) + 1).round().astype(int).tolist()
    return [slice(begin, end) for begin, end in itertools.pairwise(edges)]


def field_scores(model: Model, images: list[LabelledImage]) -> list[metrics.Scores]:
    """Scores of every field of every image, in order."""
    parameters = instance_parameters(model.card.thresholds)
    scores = []
    for scored in maps_of(model, images):
        predicted = instances(scored.maps[0].astype(np.float32), scored.maps[1].astype(np.float32), parameters)
        scores += [metrics.score(scored.image.labels[field], predicted[field]) for field in fields(predicted)]
    return scores


def judge(current: Model, new: Model, images: list[LabelledImage]) -> Verdict:
    """Compare two models on labelled images; fields in which nobody has a nucleus are left out.

    Raises:
        ValueError: no image, or no field with a nucleus.
    """
    pairs = []
    for before, after in zip(field_scores(current, images), field_scores(new, images), strict=True):
        if before.n_ref or before.n_pred or after.n_pred:
            pairs.append((before, after))
    # not of the fields, whose borders cut some
    nuclei = sum(int(np.count_nonzero(np.unique(image.labels))) for image in images)
    current_means, new_means, difference = {}, {}, {}
    for measure in MEASURES:
        before = [_value(pair[0], measure) for pair in pairs]
        after = [_value(pair[1], measure) for pair in pairs]
        current_means[measure], new_means[measure] = float(np.mean(before)), float(np.mean(after))
        difference[measure] = tuple(metrics.bootstrap(after, before))
    return Verdict(
        better=difference["score"][1] > 0 and len(pairs) >= LEAST,
        fields=len(pairs),
        nuclei=nuclei,
        current=current_means,
        new=new_means,
        difference=difference,
    )


def _value(scores: metrics.Scores, measure: str) -> float:
    return (scores.aji + scores.pq) / 2 if measure == "score" else getattr(scores, measure)
