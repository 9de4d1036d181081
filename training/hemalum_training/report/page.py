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

import html
import json
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from hemalum.errors import UsageError
from hemalum.nuclei.instances import instances
from hemalum.scoring.contact_sheet import draw, worst_window
from hemalum.scoring.pages import picture as embedded
from hemalum_training.config.config import Config
from hemalum_training.data.labelled import LabelledImage
from hemalum_training.report.curves import curves
from hemalum_training.store import read_lines, read_rows, write_text

SAMPLES = 6      # images a generator is shown on
SIDE = 320       # px at 0.25 µm/px shown of each
GALLERY = 12     # tiles of each reason
WORST = 8
STYLE = """body{font:15px sans-serif;margin:2em;max-width:1400px}table{border-collapse:collapse}td,th{padding:2px 10px;text-align:right}
th:first-child{text-align:left}figure{display:inline-block;margin:4px;vertical-align:top}figcaption{font-size:12px;max-width:22em}
svg{width:660px;height:auto;vertical-align:top}details{margin:.5em 0}"""


def write_report(config: Config, data: Path, out: Path, log=print) -> Path:
    """Write OUT/report.html.

    Raises:
        UsageError: OUT holds nothing of a training.
    """
    out = Path(out)
    sections = {"Losses and validation": _curves(out), "Samples": _samples(config, data, out), "Tiles": _tiles(out),
                "Pseudo labels": _pseudo(out), "Comparison": _comparison(config, out), "Scores": _scores(config, data, out)}
    sections = {title: body for title, body in sections.items() if body}
    if not sections:
        raise UsageError(f"{out} holds nothing of a training yet; run `hemalum train all` or one of its steps first.")
    links = " · ".join(f'<a href="#{_anchor(title)}">{title}</a>' for title in sections)
    body = "".join(f'<h2 id="{_anchor(title)}">{title}</h2>{part}' for title, part in sections.items())
    licences = ", ".join(f"{name} ({entry.licence})" for name, entry in {**config.sets, **config.unlabelled}.items())
    page = (f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Training {html.escape(config.name)}</title><style>{STYLE}</style>'
            f"<h1>Training {html.escape(config.name)}</h1><p>Learned from: {html.escape(licences)}. Seed {config.seed}. "
            f"For research use only.</p><p>{links}</p>{body}</html>")
    path = out / "report.html"
    write_text(path, page)
    log(f"report: {path}")
    return path


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")


def _figure(picture: Image.Image | np.ndarray, caption: str) -> str:
    picture = Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture
    return (f"<figure>{embedded(picture, caption)}"
            f"<figcaption>{html.escape(caption)}</figcaption></figure>")


def _table(names: list[str], rows: list[list]) -> str:
    def cell(value) -> str:
        return "–" if value is None else format(value, ".4f") if isinstance(value, float) else html.escape(str(value))

    head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
    body = "".join(f"<tr><th>{cell(first)}</th>{''.join(f'<td>{cell(v)}</td>' for v in rest)}</tr>" for first, *rest in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _curves(out: Path) -> str:
    parts = []
    for path in sorted(out.rglob("log.jsonl")):
        lines = read_lines(path)
        name = path.parent.relative_to(out).as_posix()
        if lines:
            parts.append(curves(lines, config_name(name)))
    return "".join(parts)


def config_name(folder: str) -> str:
    """What a folder of a run holds, for a title."""
    return "student" if folder == "." else folder


def _samples(config: Config, data: Path, out: Path) -> str:
    parts = [_figure(Image.open(path), f"{config_name(path.parent.relative_to(out).as_posix())}: tiles, below them in the target stain")
             for path in sorted(out.rglob("samples.png"))]
    weights = {name: path for name, path in (("teacher", out / "teacher" / "weights.pt"), ("student", out / "weights.pt")) if path.is_file()}
    images = _validation(config, data)[:SAMPLES] if weights else []
    if images:
        from hemalum_training.networks.deployed import load_generator
        from hemalum_training.scoring.predict import at_mpp_of, parameters_of, predict

        for name, path in weights.items():
            generator, pages = load_generator(path), []
            for image in images:
                whole = image.pixels[:SIDE, :SIDE]
                found = predict(generator, at_mpp_of(generator, whole), normalized=generator.normalization is not None)
                labels = found.labels(parameters_of(path))[: whole.shape[0], : whole.shape[1]]
                column = [whole, np.array(draw(image.labels[:SIDE, :SIDE], labels, whole, max(whole.shape[:2])))]
                if found.normalized is not None:
                    column.append(np.array(Image.fromarray(found.normalized).resize(whole.shape[1::-1], Image.Resampling.BICUBIC)))
                height, width = whole.shape[:2]
                pages.append(_figure(np.vstack([c[:height, :width] for c in column]), image.name))
            parts.append(f"<h3>{name}</h3><p>Validation images; reference nuclei green, found ones yellow; at the bottom the normalized tile.</p>"
                         + "".join(pages))
    return "".join(parts)


def _validation(config: Config, data: Path) -> list[LabelledImage]:
    """Validation images of the sets, one set after the other in turns."""
    from hemalum_training.scoring.packages import labelled_parts

    parts = list(labelled_parts(config, data).values())
    return [part[i] for i in range(max(map(len, parts), default=0)) for part in parts if i < len(part)]


def _tiles(out: Path) -> str:
    if not (out / "tiles" / "domains.json").is_file():
        return ""
    rule = json.loads((out / "tiles" / "domains.json").read_text(encoding="utf-8"))["rule"]
    domains = Counter(row["domain"] for row in read_rows(out / "tiles" / "manifest.csv"))
    pages = [_figure(Image.open(out / "tiles" / f"{name}.png"), f"domain {name}, {domains[name]} tiles") for name in sorted(domains)]
    return f"<p>Domain Y is {html.escape(rule)}.</p>" + "".join(pages)


def _pseudo(out: Path) -> str:
    rows = read_rows(out / "pseudo" / "manifest.csv")
    if not rows:
        return ""
    from hemalum_training.pseudo.labels import outlined

    counts = Counter(row["reason"] or "kept" for row in rows)
    parts = [_table(["what", "tiles"], [[reason, count] for reason, count in counts.most_common()])]
    for reason in sorted(counts, key=lambda r: (r != "kept", -counts[r])):
        some = [row for row in rows if (row["reason"] or "kept") == reason]
        some = [some[i] for i in np.linspace(0, len(some) - 1, min(GALLERY, len(some))).round().astype(int)]
        shown = [_figure(Image.fromarray(outlined(out / "pseudo", row["tile"])).resize((256, 256)), f"{row['tile']} · score {row['score']}")
                 for row in some if (out / "pseudo" / "labels" / f"{row['tile']}.png").is_file()]
        title = f"<summary>{html.escape(reason)}: {counts[reason]} tiles</summary>"
        parts.append(f"<details{' open' if reason == 'kept' else ''}>{title}{''.join(shown)}</details>")
    return "".join(parts)


def _comparison(config: Config, out: Path) -> str:
    path = out / f"{config.name}.json"
    if not path.is_file():
        return ""
    record = json.loads(path.read_text(encoding="utf-8"))
    means, differences = record["means"], record["differences"]
    columns = list(next(iter(means.values())))
    rows = [[what, *(row[key] for key in ("mean", "low", "high")), " ".join(f"{v:+.4f}" for v in row["seeds"])] for what, row in differences.items()]
    return (_table(["arm", *columns], [[arm, *(row[c] for c in columns)] for arm, row in means.items()])
            + "<p>Differences: means over seeds and images, 95 % interval over images.</p>"
            + _table(["difference", "mean", "low", "high", "each seed"], rows))


def _scores(config: Config, data: Path, out: Path) -> str:
    parts, rows = [], read_rows(out / "scores.csv")
    if rows:
        precision = rows[0]["precision"]
        names = [k for k in rows[0] if k not in ("precision", "image")]
        mine = sorted((row for row in rows if row["precision"] == precision), key=lambda row: float(row["aji"]))
        parts += [f"<h3>The package, {precision}, worst first</h3>", _worst(config, data, out, [row["image"] for row in mine[:WORST]]),
                  _table(["image", *names], [[row["image"], *(float(row[k]) for k in names)] for row in mine])]
    if (out / "table.json").is_file():
        for arm, row in json.loads((out / "table.json").read_text(encoding="utf-8")).items():
            images, columns = row.pop("images"), row
            order = np.argsort(columns["AJI"])
            parts += [f"<h3>{html.escape(arm)}, worst first</h3>",
                      _table(["image", *columns], [[images[i], *(columns[c][i] for c in columns)] for i in order])]
    return "".join(parts)


def _worst(config: Config, data: Path, out: Path, names: list[str]) -> str:
    from hemalum_training.package.make import package_model
    from hemalum_training.scoring.packages import instance_parameters, labelled_parts, maps_of, score_maps

    model = package_model(out)
    parameters = instance_parameters(model.card.thresholds)
    images = {image.name: image for part in labelled_parts(config, data).values() for image in part}
    scored = maps_of(model, [images[name] for name in names if name in images], "fp32")
    figures = []
    for s, score in zip(scored, score_maps(scored, parameters), strict=True):
        found = instances(*s.maps.astype(np.float32), parameters)
        x, y, width, height = worst_window(s.image.labels, found)
        part = np.s_[y:y + height, x:x + width]
        figures.append(_figure(draw(s.image.labels[part], found[part], s.image.pixels[part]), f"{s.image.name}  AJI {score.aji:.3f}"))
    return "".join(figures)
