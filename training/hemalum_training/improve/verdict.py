"""Is a model better than another, on images that neither step of the training saw?

Both models run as they ship: through the server's engine and instance step, with the thresholds of their own cards.  What is compared
is the mean of AJI and PQ in fields of 64 µm; the fields are resampled in pairs (`hemalum.scoring.metrics.bootstrap`), and *better* is said
where the whole interval of the difference lies above zero.
"""

from __future__ import annotations

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
            return f"not better: only {self.fields} fields of 64 µm were kept apart, and {LEAST} are needed; annotate more regions"
        word = "better" if self.better else "not better (worse)" if high < 0 else "not better"
        return (f"{word}: mean of AJI and PQ {self.current['score']:.4f} → {self.new['score']:.4f}, {mean:+.4f} (95 % {low:+.4f} to {high:+.4f}), "
                f"{self.fields} fields of 64 µm, {self.nuclei} nuclei")


def fields(labels: np.ndarray, side: int = FIELD) -> list[tuple[slice, slice]]:
    """Windows of about `side` px that divide an image evenly.

    >>> [(f[0].stop - f[0].start, f[1].stop - f[1].start) for f in fields(np.zeros((260, 500)))]
    [(260, 250), (260, 250)]
    """
    rows, columns = (np.linspace(0, n, max(1, round(n / side)) + 1).round().astype(int).tolist() for n in labels.shape)
    return [(slice(t, b), slice(x, r)) for t, b in zip(rows, rows[1:], strict=False) for x, r in zip(columns, columns[1:], strict=False)]


def field_scores(model: Model, images: list[LabelledImage]) -> list[metrics.Scores]:
    """Scores of every field of every image, in order."""
    parameters = instance_parameters(model.card.thresholds)
    found = []
    for scored in maps_of(model, images):
        predicted = instances(scored.maps[0].astype(np.float32), scored.maps[1].astype(np.float32), parameters)
        found += [metrics.score(scored.image.labels[field], predicted[field]) for field in fields(predicted)]
    return found


def judge(current: Model, new: Model, images: list[LabelledImage]) -> Verdict:
    """Compare two models on labelled images; fields in which nobody has a nucleus are left out.

    Raises:
        ValueError: no image, or no field with a nucleus.
    """
    pairs = [(a, b) for a, b in zip(*(field_scores(model, images) for model in (current, new)), strict=True) if a.n_ref or a.n_pred or b.n_pred]
    nuclei = sum(int(np.count_nonzero(np.unique(image.labels))) for image in images)   # not of the fields, whose borders cut some
    sides = [{m: [_value(pair[side], m) for pair in pairs] for m in MEASURES} for side in (0, 1)]
    difference = {m: tuple(metrics.bootstrap(sides[1][m], sides[0][m])) for m in MEASURES}
    means = [{m: float(np.mean(values)) for m, values in side.items()} for side in sides]
    return Verdict(difference["score"][1] > 0 and len(pairs) >= LEAST, len(pairs), nuclei, *means, difference)


def _value(scores: metrics.Scores, measure: str) -> float:
    return (scores.aji + scores.pq) / 2 if measure == "score" else getattr(scores, measure)
