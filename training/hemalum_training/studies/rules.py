"""Does a rule's score tell how good a pseudo label is?  Rules against the truth, on tiles that the teacher never saw.

Tiles of 256 px at 0.5 µm/px are cut from labelled images, labelled by the teacher as unlabelled ones are, and scored
against their labels.  For each rule: Spearman's rank correlation of its score with the tile's AJI, density partialled
out (of the labels, so that no rule can earn by preferring sparse or dense tiles), over the tiles that have nuclei;
tiles without are counted apart.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from hemalum.errors import UsageError
from hemalum.grid.resample import box_mean
from hemalum.scoring import metrics
from hemalum_training.config.config import Config
from hemalum_training.config.data import Pseudo
from hemalum_training.data.labelled import LabelledImage
from hemalum_training.pseudo.rules import AGREEMENT, MEAN_SOFTMAX, RULES, TileScores
from hemalum_training.pseudo.teacher import Teacher, from_weights, label_tile, load_teacher
from hemalum_training.scoring.packages import labelled_parts
from hemalum_training.store import write_json
from hemalum_training.studies.cross_fit import train_folds

RESAMPLES = 1000


def partial_spearman(score: np.ndarray, truth: np.ndarray, density: np.ndarray) -> float:
    """Correlation of the ranks of `score` and `truth` after the ranks of `density` are regressed out of both.

    >>> density = np.arange(100.0); rng = np.random.default_rng(0)
    >>> noise, other = rng.normal(size=(2, 100))
    >>> bool(abs(partial_spearman(density + noise, density + other, density)) < 0.3)
    True
    >>> partial_spearman(noise, noise, density) > 0.99
    True
    """
    ranks = [rankdata(v) - (len(score) + 1) / 2 for v in (score, truth, density)]
    third = ranks[2] / (np.linalg.norm(ranks[2]) or 1)
    a, b = (r - (r @ third) * third for r in ranks[:2])
    length = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / length) if length > 1e-9 else 0.0


def tiles_of(image: LabelledImage, side: int = 256) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """An image in equal tiles as near to `side` as they can be.

    Each with its name, uint8 pixels at 0.5 µm/px and int32 labels at 0.25 µm/px.
    """
    starts, sizes = [], []
    for length in image.labels.shape:
        count = max(1, round(length / (2 * side)))
        sizes.append(length // count // 2 * 2)
        starts.append([i * sizes[-1] for i in range(count)])
    (tall, wide), tiles = sizes, []
    for y in starts[0]:
        for x in starts[1]:
            window = np.s_[y:y + tall, x:x + wide]
            pixels = box_mean(np.ascontiguousarray(image.pixels[window]), 2)
            tiles.append((f"{image.name}-{x // 2}-{y // 2}", pixels, image.labels[window]))
    return tiles


def measure(teacher: Teacher, images: list[LabelledImage], table: Pseudo, side: int = 256,
            seed: int = 0) -> list[dict]:
    """A row a tile: its name, AJI, the density of its labels and what the rules see."""
    rows = []
    for image in images:
        for name, pixels, labels in tiles_of(image, side):
            predicted, scores, _ = label_tile(teacher, pixels, table, seed)
            row = {
                "tile": name,
                "aji": metrics.score(labels, predicted).aji,
                "true_density": float((labels > 0).mean()),
            }
            rows.append(row | vars(scores))
    return rows


def compare(rows: list[dict], seed: int = 0) -> dict:
    """Partial rank correlations with bootstrap intervals over images, for each rule and each part of the better one.

    Raises:
        UsageError: fewer than 10 tiles have nuclei.
    """
    with_nuclei = [row for row in rows if row["true_density"] > 0]
    if len(with_nuclei) < 10:
        raise UsageError(f"only {len(with_nuclei)} tiles with nuclei were held out, and 10 are needed; "
                         "keep more images for validation, or cross-fit with --folds and more labelled images.")
    values = {}
    for rule in RULES:
        values[rule] = np.array([_scores(row).of(rule) for row in with_nuclei])
    for part in ("confidence", "agreement"):
        values[f"{part} alone"] = np.array([row[part] for row in with_nuclei])
    truth = np.array([row["aji"] for row in with_nuclei])
    density = np.array([row["true_density"] for row in with_nuclei])
    images = np.array([row["tile"].rsplit("-", 2)[0] for row in with_nuclei])
    draws = _draws_of_images(images, seed)
    rules, resampled = {}, {}
    for name, score in values.items():
        resampled[name] = np.array([partial_spearman(score[d], truth[d], density[d]) for d in draws])
        rules[name] = {
            "partial_spearman": round(partial_spearman(score, truth, density), 3),
            "interval": _interval(resampled[name]),
            "spearman": round(partial_spearman(score, truth, np.zeros(len(score))), 3),
        }
    difference = resampled[AGREEMENT] - resampled[MEAN_SOFTMAX]
    return {
        "tiles": len(with_nuclei),
        "images": len(np.unique(images)),
        "tiles_without_nuclei": len(rows) - len(with_nuclei),
        "nuclei_found_in_those": sum(row["nuclei"] for row in rows if row["true_density"] == 0),
        "mean_aji": round(float(truth.mean()), 3),
        "rules": rules,
        "agreement_minus_mean_softmax": {
            "mean": round(float(difference.mean()), 3),
            "interval": _interval(difference),
        },
    }


def _draws_of_images(images: np.ndarray, seed: int) -> list[np.ndarray]:
    """Places of the tiles of images that are drawn with replacement, `RESAMPLES` times."""
    members = [np.flatnonzero(images == image) for image in np.unique(images)]
    rng = np.random.default_rng(seed)
    draws = []
    for _ in range(RESAMPLES):
        drawn = rng.integers(0, len(members), len(members))
        draws.append(np.concatenate([members[i] for i in drawn]))
    return draws


def _interval(values: np.ndarray) -> list[float]:
    return [round(float(value), 3) for value in np.percentile(values, [2.5, 97.5])]


def compare_rules(config: Config, data: Path, out: Path, *, init: str | None = None, device: str = "cpu", log=print,
                  folds: int = 0) -> dict:
    """Compare the rules and write OUT/rules.json.

    Args:
        init: the teacher, where OUT/teacher is not trained; it labels the validation and zero-shot images.
        folds: cross-fit instead: train so many teachers (`cross_fit`), each of which labels the training images that it
            left out.

    Raises:
        UsageError: no teacher, or too few images.
    """
    table, out, rows = config.pseudo or Pseudo(), Path(out), []
    if folds:
        trained = train_folds(config, data, out, folds, device, log)
        teachers = [(from_weights(weights, device), images) for weights, images in trained]
    else:
        teacher = load_teacher(out, init, device)
        teachers = [(teacher, images) for images in labelled_parts(config, data).values()]
    for teacher, images in teachers:
        rows += measure(teacher, images, table, config.tiles.tile, config.seed)
        log(f"{len(rows)} tiles labelled, the last by {teacher.name}")
    result = compare(rows, config.seed)
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "rules.json", {**result, "rows": rows})
    for name, row in result["rules"].items():
        log(f"{name:26} partial rank correlation {row['partial_spearman']:.3f} {row['interval']}  "
            f"plain {row['spearman']:.3f}")
    difference = result["agreement_minus_mean_softmax"]
    log(f"agreement − mean_softmax {difference['mean']:.3f} {difference['interval']}, "
        f"{result['tiles']} tiles of {result['images']} images, "
        f"{result['tiles_without_nuclei']} without nuclei apart")
    return result


def _scores(row: dict) -> TileScores:
    return TileScores(**{name: row[name] for name in TileScores.__dataclass_fields__})
