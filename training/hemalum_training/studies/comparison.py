"""Arms of an experiment beside one another: differences paired by image, in whatever order they come."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hemalum.files import commit_text
from hemalum.scoring.metrics import bootstrap
from hemalum_training.scoring.patent_table import COLUMNS, UNCHANGED, Row, as_text
from hemalum_training.store import write_json

COMPARED = ("AJI", "F1 nucleus", "F1 pixel", "SSIM")
WITHOUT = " without "


def comparisons(arms: list[str]) -> list[tuple[str, str]]:
    """Pairs whose difference is reported.

    Pseudo labels against none, student against teacher, rule against rule, an arm against itself without a part.

    >>> comparisons(["teacher", "student", "student+agreement"])
    [('student+agreement', 'student'), ('student+agreement', 'teacher'), ('student', 'teacher')]
    >>> comparisons(["student+agreement", "student+agreement without cycle"])
    [('student+agreement', 'student+agreement without cycle')]
    """
    whole = [arm for arm in arms if WITHOUT not in arm]
    pseudo = [arm for arm in whole if "+" in arm]
    pairs = [(a, "student") for a in pseudo] + [(a, "teacher") for a in [*pseudo, "student"]]
    pairs += [(a, b) for i, a in enumerate(pseudo) for b in pseudo[i + 1:]]
    pairs += [(arm.partition(WITHOUT)[0], arm) for arm in arms if WITHOUT in arm]
    return [(a, b) for a, b in pairs if a in arms and b in arms]


def difference(first: dict[int, dict], second: dict[int, dict], column: str) -> tuple[list[float], list[float]]:
    """first − second in a column: one value an image (mean over seeds), one value a seed (mean over images)."""
    values = np.array([np.array(first[seed][column]) - np.array(second[seed][column]) for seed in first])
    return values.mean(0).tolist(), values.mean(1).tolist()


def write_comparison(scores: dict[str, dict[int, dict]], untouched: Row, *, images: str, steps: int, path: Path,
                     log=print) -> Path:
    """Print and write the comparison to `path`, Markdown, and beside it as JSON.

    Args:
        scores: by arm and seed, columns of one value an image.
        untouched: the row of the images themselves.
        images: what was scored, for the title.
        steps: that every arm was trained for.
    """
    seeds = list(next(iter(scores.values())))
    means = {arm: _means(rows) for arm, rows in scores.items()}
    title = f"{images}; means over seeds {', '.join(map(str, seeds))}; {steps} steps an arm"
    lines = [
        as_text(means | {UNCHANGED: untouched.means()}, title),
        "",
        "Differences: mean over seeds and images, 95 % interval by bootstrap over images (seeds averaged first), "
        "then each seed's mean.",
        "",
    ]
    differences = {}
    for first, second in comparisons(list(scores)):
        for column in COMPARED:
            by_image, by_seed = difference(scores[first], scores[second], column)
            mean, low, high = bootstrap(by_image)
            differences[f"{first} − {second}: {column}"] = {"mean": mean, "low": low, "high": high, "seeds": by_seed}
            each_seed = " ".join(f"{value:+.4f}" for value in by_seed)
            lines.append(f"{first} − {second}  {column:10} {mean:+.4f} ({low:+.4f} … {high:+.4f})   seeds {each_seed}")
    log("\n".join(lines))
    write_json(path.with_suffix(".json"), {"means": means, "differences": differences})
    commit_text(path, "\n".join(lines) + "\n")
    return path


def _means(rows: dict[int, dict]) -> dict[str, float | None]:
    """By column, over the images of all seeds; None where an arm was not measured."""
    means = {}
    for column in COLUMNS:
        values = [row[column] for row in rows.values() if column in row]
        means[column] = float(np.mean(values)) if values else None
    return means
