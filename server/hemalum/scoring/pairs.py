"""Pairs of label images, as files, and the report on them: what `hemalum evaluate` prints and writes.

>>> stem_of(Path("tile.png")), stem_of(Path("tile.labels.tif"))
('tile', 'tile')
>>> scored = {**dict.fromkeys(NAMES, 0.6), "n_ref": 3, "n_pred": 4}
>>> report = summary({"a": scored, "b": scored | {"AJI": 0.4}}, {}, [])
>>> round(report["means"]["AJI"][0], 3), list(report["images"])
(0.5, ['b', 'a'])
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from hemalum import __version__
from hemalum.errors import HemalumError, UnreadableImage, UsageError
from hemalum.scoring.metrics import NAMES, bootstrap, score

SUFFIXES = (".png", ".tif", ".tiff", ".npy")
SEVERAL = 0.1  # of the labels in several pieces: more than anything covers
MANY = 5  # pieces of the largest label
SPECK = 4  # px: smaller pieces are left by cutting and by smoothing


def stem_of(path: Path) -> str:
    """The name that pairs a file."""
    return path.stem.removesuffix(".labels")


def by_stem(folder: Path) -> dict[str, Path]:
    """Label images of a folder by stem, sorted; `x.labels.png` wins over `x.png`, which is then the picture beside it.

    Raises:
        UsageError: no folder, none in it, or two of one stem.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder; give the folder that holds the label images")
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
    named = {stem_of(p) for p in files if p.stem.endswith(".labels")}
    labels: dict[str, Path] = {}
    for path in files:
        stem = stem_of(path)
        if stem in named and not path.stem.endswith(".labels"):
            continue
        if stem in labels:
            raise UsageError(f"{labels[stem].name} and {path.name} in {folder} have one stem; keep one of them")
        labels[stem] = path
    if not labels:
        raise UsageError(
            f"{folder} holds no label image ({', '.join(SUFFIXES)}); write some with `hemalum segment --format labels`"
        )
    return dict(sorted(labels.items()))


def read_labels(path: Path) -> np.ndarray:
    """H × W label image; `UnreadableImage` where the file is damaged, has colours or is not of whole numbers."""
    try:
        if path.suffix.lower() == ".npy":
            labels = np.load(path, allow_pickle=False)
        elif path.suffix.lower() == ".png":
            from PIL import Image

            Image.MAX_IMAGE_PIXELS = None  # a label image of a whole slide is no attack
            with Image.open(path) as image:
                labels = np.array(image)
        else:
            import tifffile

            labels = tifffile.imread(path)
    except Exception:  # each of the three libraries has its own exceptions for a damaged file
        raise UnreadableImage(f"{path} cannot be read as a label image; write it again") from None
    if labels.dtype == bool:
        labels = labels.astype(np.uint8)
    if labels.ndim != 2 or not labels.size or not np.issubdtype(labels.dtype, np.integer):
        raise UnreadableImage(
            f"{path} is no label image but {labels.dtype} of shape {labels.shape}; give one whole number a pixel"
        )
    return labels


def wrapped(labels: np.ndarray, name: str) -> str:
    """A sentence where labels seem to have run over the largest number of their type, else "".

    Labels of nuclei lie in one piece each, but for few that something covers; numbers that begin again at 0 or stay at
    the largest give many pieces one label.

    >>> wrapped(np.arange(1, 401).reshape(20, 20).repeat(6, 0).repeat(6, 1).astype(np.uint8), "a.png")[:69]
    'a.png is 8-bit and 144 of its 255 labels lie in several pieces: were '
    """
    most = np.iinfo(labels.dtype).max
    if labels.dtype.itemsize > 2 or labels.max() < most:
        return ""
    pieces = _pieces(labels.astype(np.uint16))
    several, count = np.count_nonzero(pieces > 1), np.count_nonzero(pieces)
    if several < SEVERAL * count and pieces[most] < MANY:
        return ""
    bits = 8 * labels.dtype.itemsize
    return (
        f"{name} is {bits}-bit and {several} of its {count} labels lie in several pieces: were there more than {most} "
        f"nuclei? write it with {2 * bits} bits"
    )


def _pieces(labels: np.ndarray) -> np.ndarray:
    """Into how many parts of some px each label falls, by label; uint16 h×w."""
    import cv2

    alone = (labels > 0).astype(np.uint8)  # cut where two labels meet, so that parts are of one label
    alone[:, :-1][labels[:, :-1] != labels[:, 1:]] = 0
    alone[:-1][labels[:-1] != labels[1:]] = 0
    count, parts, statistics, _ = cv2.connectedComponentsWithStats(alone, connectivity=4)
    owner = np.zeros(count, np.int64)
    owner[parts.ravel()] = labels.ravel()
    large = statistics[:, cv2.CC_STAT_AREA] >= SPECK
    large[0] = False
    return np.bincount(owner[large], minlength=1 << 16)


def scores(
    references: dict[str, Path],
    predictions: dict[str, Path],
    pred_dir: Path,
    say: Callable[[HemalumError], None],
    notices: list[str] | None = None,
) -> tuple[dict[str, dict], dict[str, str]]:
    """Scores of every pair that has any, and for every other reference the reason, which `say` is told too.

    Args:
        notices: sentences on label images that look wrong are added to it.

    Raises:
        HemalumError: nothing could be scored.
    """
    rows: dict[str, dict] = {}
    errors: list[HemalumError] = []
    missing = [stem for stem in references if stem not in predictions]
    failed = {stem: f"{stem}: no prediction" for stem in missing}
    if missing:
        errors.append(
            UsageError(
                f"{len(missing)} of {len(references)} reference images have no prediction in {pred_dir}, "
                f"the first is {missing[0]}; predict them, or move them to another folder"
            )
        )
    for stem in sorted(references.keys() & predictions.keys()):
        try:
            rows[stem] = _scores_of(references[stem], predictions[stem], [] if notices is None else notices)
        except HemalumError as error:
            errors.append(error)
            failed[stem] = str(error)
    if not rows and len(errors) == 1:
        raise errors[0]
    for problem in errors:
        say(problem)
    if not rows:
        raise UsageError(f"none of the {len(references)} reference images could be scored; the reasons are above")
    return rows, dict(sorted(failed.items()))


def _scores_of(reference_path: Path, predicted_path: Path, notices: list[str]) -> dict[str, float]:
    reference, predicted = read_labels(reference_path), read_labels(predicted_path)
    for labels, path in ((reference, reference_path), (predicted, predicted_path)):
        if said := wrapped(labels, str(path)):
            notices.append(said)
    if reference.shape != predicted.shape:
        (height, width), (other_height, other_width) = reference.shape, predicted.shape
        raise UsageError(
            f"{reference_path.name} has {width}×{height} px and its prediction "
            f"{other_width}×{other_height}; predict at the reference's own size"
        )
    return score(reference, predicted).as_dict()


def summary(rows: dict[str, dict], failed: dict[str, str], notices: list[str]) -> dict:
    """What `--json` prints and evaluate.json holds: protocol, means with intervals, and the images, worst AJI first."""
    means = {}
    for name in NAMES:
        means[name] = list(bootstrap([row[name] for row in rows.values()]))
    return {
        "hemalum": __version__,
        "protocol": (
            "AJI as HoVer-Net's get_fast_aji; AJI+ by the best one-to-one assignment; "
            "PQ, DQ, SQ and F1 at IoU > 0.5; "
            "Dice and fgIoU on pixels; means over images, 95 % percentile bootstrap over images"
        ),
        "means": means,
        "n_ref": sum(row["n_ref"] for row in rows.values()),
        "n_pred": sum(row["n_pred"] for row in rows.values()),
        "failed": failed,
        "notices": notices,
        "images": dict(sorted(rows.items(), key=lambda item: (item[1]["AJI"], item[0]))),
    }


def as_text(report: dict) -> str:
    """A table for people: one line an image, then mean and interval."""
    images = report["images"]
    names = list(report["means"])
    wide = max(len("95 % from"), *map(len, images))

    def line(title: str, values, *counts) -> str:
        cells = [*(f"{value:>8.4f}" for value in values), *(f"{count:>8}" for count in counts)]
        return f"{title:{wide}}" + "".join(cells)

    lines = [f"{'image':{wide}}" + "".join(f"{name:>8}" for name in [*names, "n_ref", "n_pred"])]
    for stem, row in images.items():
        scores_of_image = [row[name] for name in names]
        lines.append(line(stem, scores_of_image, row["n_ref"], row["n_pred"]))
    mean, low, high = zip(*report["means"].values(), strict=True)
    lines += ["", line("mean", mean, report["n_ref"], report["n_pred"]), line("95 % from", low), line("to", high)]
    return "\n".join([*lines, f"{len(images)} images; intervals by bootstrap over images"])
