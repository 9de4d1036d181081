"""A training run as one HTML page that needs no other file: `OUT/report.html`.

| section | from |
|---|---|
| curves | every `log.jsonl` in OUT and its folders, as inline SVG |
| samples | `samples.png`; validation images through the generators of `teacher/` and of the run itself |
| tiles | `tiles/X.png`, `tiles/Y.png`, `tiles/domains.json` |
| pseudo labels | `pseudo/manifest.csv` with reasons, `pseudo/images`, `pseudo/labels` |
| comparison | the configuration's `NAME.json` of an experiment: arms, and what each part brought |
| scores | `scores.csv` and `table.json`, worst image first |

What a run does not have is left out, so the page can be written while a training goes on.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from hemalum.errors import UsageError
from hemalum.files import commit_text
from hemalum.nuclei.instances import instances
from hemalum.scoring import pages
from hemalum.scoring.contact_sheet import draw, worst_window
from hemalum.scoring.pages import escaped, figure, heading, link, table
from hemalum_training.config.config import Config
from hemalum_training.data.labelled import LabelledImage
from hemalum_training.report.curves import curves
from hemalum_training.store import read_lines, read_rows

SAMPLES = 6      # images a generator is shown on
SIDE = 320       # px at 0.25 µm/px shown of each
GALLERY = 12     # tiles of each reason
WORST = 8
STYLE = "svg{width:660px;height:auto;vertical-align:top}figcaption{max-width:22em}"


def write_report(config: Config, data: Path, out: Path, log=print) -> Path:
    """Write OUT/report.html.

    Raises:
        UsageError: OUT holds nothing of a training.
    """
    out = Path(out)
    sections = {
        "Losses and validation": _curves(out),
        "Samples": _samples(config, data, out),
        "Tiles": _tiles(out),
        "Pseudo labels": _pseudo(out),
        "Comparison": _comparison(config, out),
        "Scores": _scores(config, data, out),
    }
    sections = {title: body for title, body in sections.items() if body}
    if not sections:
        raise UsageError(f"{out} holds nothing of a training yet; run `hemalum train all` or one of its steps first.")
    licences = [f"{name} ({entry.licence})" for name, entry in {**config.sets, **config.unlabelled}.items()]
    parts = [
        heading(f"Training {config.name}", level=1),
        f"<p>Learned from: {escaped(', '.join(licences))}. Seed {config.seed}. For research use only.</p>",
        f"<p>{' · '.join(link(title) for title in sections)}</p>",
    ]
    for title, body in sections.items():
        parts += [heading(title), body]
    path = out / "report.html"
    commit_text(path, pages.page(f"Training {config.name}", *parts, style=STYLE))
    log(f"report: {path}")
    return path


def _curves(out: Path) -> str:
    parts = []
    for path in sorted(out.rglob("log.jsonl")):
        lines = read_lines(path)
        if lines:
            parts.append(curves(lines, _title_of(path, out)))
    return "".join(parts)


def _title_of(path: Path, out: Path) -> str:
    """What the folder of this file holds."""
    folder = path.parent.relative_to(out).as_posix()
    return "student" if folder == "." else folder


def _samples(config: Config, data: Path, out: Path) -> str:
    parts = []
    for path in sorted(out.rglob("samples.png")):
        parts.append(figure(Image.open(path), f"{_title_of(path, out)}: tiles, below them in the target stain"))
    weights = {"teacher": out / "teacher" / "weights.pt", "student": out / "weights.pt"}
    weights = {name: path for name, path in weights.items() if path.is_file()}
    images = _validation(config, data)[:SAMPLES] if weights else []
    for name, path in weights.items():
        if images:
            parts += [heading(name, level=3), "<p>Validation images; reference nuclei green, found ones yellow; "
                      "at the bottom the normalized tile.</p>", *_of_generator(path, images)]
    return "".join(parts)


def _of_generator(weights: Path, images: list[LabelledImage]) -> list[str]:
    """Each image, its outlines and its normalized tile, one above the other."""
    from hemalum_training.networks.deployed import load_generator
    from hemalum_training.scoring.predict import at_mpp_of, fitted_parameters, predict

    generator, parameters, figures = load_generator(weights), fitted_parameters(weights), []
    for image in images:
        pixels, reference = image.pixels[:SIDE, :SIDE], image.labels[:SIDE, :SIDE]
        height, width = reference.shape
        normalizes = generator.normalization is not None
        prediction = predict(generator, at_mpp_of(generator, pixels), normalized=normalizes)
        labels = prediction.labels(parameters)[:height, :width]
        rows = [pixels, np.array(draw(reference, labels, pixels, side=max(height, width)))]
        if normalizes:
            tile = Image.fromarray(prediction.normalized).resize((width, height), Image.Resampling.BICUBIC)
            rows.append(np.array(tile))
        column = np.vstack([row[:height, :width] for row in rows])
        figures.append(figure(Image.fromarray(column), image.name))
    return figures


def _validation(config: Config, data: Path) -> list[LabelledImage]:
    """Validation images of the sets, one set after the other in turns."""
    from hemalum_training.scoring.packages import labelled_parts

    queues = [list(part) for part in labelled_parts(config, data).values()]
    images = []
    while any(queues):
        images += [queue.pop(0) for queue in queues if queue]
    return images


def _tiles(out: Path) -> str:
    if not (out / "tiles" / "domains.json").is_file():
        return ""
    rule = json.loads((out / "tiles" / "domains.json").read_text(encoding="utf-8"))["rule"]
    counts = Counter(row["domain"] for row in read_rows(out / "tiles" / "manifest.csv"))
    parts = [f"<p>Domain Y is {escaped(rule)}.</p>"]
    for name in sorted(counts):
        parts.append(figure(Image.open(out / "tiles" / f"{name}.png"), f"domain {name}, {counts[name]} tiles"))
    return "".join(parts)


def _pseudo(out: Path) -> str:
    rows = read_rows(out / "pseudo" / "manifest.csv")
    if not rows:
        return ""
    by_reason: dict[str, list[dict]] = {}
    for row in rows:
        by_reason.setdefault(row["reason"] or "kept", []).append(row)
    most_first = sorted(by_reason, key=lambda reason: -len(by_reason[reason]))
    parts = [table(["what", "tiles"], [[reason, len(by_reason[reason])] for reason in most_first])]
    for reason in sorted(most_first, key=lambda reason: reason != "kept"):
        tiles = by_reason[reason]
        title = f"<summary>{escaped(reason)}: {len(tiles)} tiles</summary>"
        evenly = np.linspace(0, len(tiles) - 1, min(GALLERY, len(tiles))).round().astype(int)
        figures = _outlined(out, [tiles[i] for i in evenly])
        parts.append(f"<details{' open' if reason == 'kept' else ''}>{title}{''.join(figures)}</details>")
    return "".join(parts)


def _outlined(out: Path, rows: list[dict]) -> list[str]:
    """Tiles with the outlines of their pseudo labels, those that still have some."""
    from hemalum_training.pseudo.labels import outlined

    figures = []
    for row in rows:
        if (out / "pseudo" / "labels" / f"{row['tile']}.png").is_file():
            tile = Image.fromarray(outlined(out / "pseudo", row["tile"])).resize((256, 256))
            figures.append(figure(tile, f"{row['tile']} · score {row['score']}"))
    return figures


def _comparison(config: Config, out: Path) -> str:
    path = out / f"{config.name}.json"
    if not path.is_file():
        return ""
    record = json.loads(path.read_text(encoding="utf-8"))
    columns = list(next(iter(record["means"].values())))
    means, differences = [], []
    for arm, row in record["means"].items():
        means.append([arm, *(row[column] for column in columns)])
    for name, row in record["differences"].items():
        seeds = " ".join(f"{value:+.4f}" for value in row["seeds"])
        differences.append([name, row["mean"], row["low"], row["high"], seeds])
    return (
        table(["arm", *columns], means)
        + "<p>Differences: means over seeds and images, 95 % interval over images.</p>"
        + table(["difference", "mean", "low", "high", "each seed"], differences)
    )


def _scores(config: Config, data: Path, out: Path) -> str:
    parts = _scores_of_package(config, data, out)
    if (out / "table.json").is_file():
        for arm, columns in json.loads((out / "table.json").read_text(encoding="utf-8")).items():
            images, rows = columns.pop("images"), []
            for i in np.argsort(columns["AJI"]):
                rows.append([images[i], *(values[i] for values in columns.values())])
            parts += [heading(f"{arm}, worst first", level=3), table(["image", *columns], rows)]
    return "".join(parts)


def _scores_of_package(config: Config, data: Path, out: Path) -> list[str]:
    scores = read_rows(out / "scores.csv")
    if not scores:
        return []
    precision = scores[0]["precision"]
    measures = [name for name in scores[0] if name not in ("precision", "image")]
    worst_first = [row for row in scores if row["precision"] == precision]
    worst_first.sort(key=lambda row: float(row["aji"]))
    rows = []
    for row in worst_first:
        rows.append([row["image"], *(float(row[measure]) for measure in measures)])
    return [
        heading(f"The package, {precision}, worst first", level=3),
        *_worst(config, data, out, [row["image"] for row in worst_first[:WORST]]),
        table(["image", *measures], rows),
    ]


def _worst(config: Config, data: Path, out: Path, names: list[str]) -> list[str]:
    """The worst window of each of these images, with outlines."""
    from hemalum_training.package.make import package_model
    from hemalum_training.scoring.packages import instance_parameters, labelled_parts, maps_of, score_maps

    model = package_model(out)
    parameters = instance_parameters(model.card.thresholds)
    images = {}
    for part in labelled_parts(config, data).values():
        images |= {image.name: image for image in part}
    scored = maps_of(model, [images[name] for name in names if name in images], "fp32")
    figures = []
    for s, scores in zip(scored, score_maps(scored, parameters), strict=True):
        labels = instances(*s.maps.astype(np.float32), parameters)
        x, y, width, height = worst_window(s.image.labels, labels)
        window = np.s_[y:y + height, x:x + width]
        picture = draw(s.image.labels[window], labels[window], s.image.pixels[window])
        figures.append(figure(picture, f"{s.image.name}  AJI {scores.aji:.3f}"))
    return figures
