"""The page about a job: one HTML file with everything in it, slides that differ from the others first."""

from __future__ import annotations

import html
from pathlib import Path

import numpy as np

from hemalum.batch.status import state, status
from hemalum.batch.summary import EDGES
from hemalum.measure import AREA, HAEMATOXYLIN

STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:2em auto;max-width:1100px;padding:0 1em;color:#222;background:#fff}
h1{font-size:1.5em}h2{font-size:1.2em;margin-top:2em}
table{border-collapse:collapse}td,th{padding:.25em .7em;text-align:right;border-bottom:1px solid #ddd}
td:first-child,th:first-child{text-align:left}
section{border:1px solid #ddd;border-radius:6px;padding:.8em 1em;margin:1em 0}
section.odd{border-color:#c60;border-width:2px}
section img{max-width:48%;margin-right:1%;border:1px solid #eee}svg{margin-right:2em}
.bad{color:#b00}.odd strong{color:#a50}small{color:#666}
"""
LABELS = {AREA: "nucleus area, µm²", HAEMATOXYLIN: "haematoxylin, mean OD"}
OUTLIER = 3.5  # robust z from which a slide counts as differing (Iglewicz and Hoaglin)


def outliers(values: list[float | None]) -> np.ndarray:
    """Robust z of each value: distance to the median in scaled median deviations; 0 for None and where there is no spread.

    >>> outliers([1.0, 1.1, 0.9, 1.0, 5.0, None]).round(1).tolist()
    [0.0, 0.7, -0.7, 0.0, 27.0, 0.0]
    """
    column = np.array([np.nan if value is None else value for value in values], float)
    if np.isfinite(column).sum() < 4:                           # too few to say what is usual
        return np.zeros(len(column))
    middle = np.nanmedian(column)
    spread = np.nanmedian(np.abs(column - middle))
    return np.nan_to_num(0.6745 * (column - middle) / spread) if spread else np.zeros(len(column))


def page(folder: str | Path) -> str:
    """The report of a job as HTML without a single outside reference.

    Raises:
        UsageError, VersionMismatch: no job in `folder`.
    """
    folder = Path(folder)
    job = status(folder)
    slides = [(slide, state(folder, slide["stem"])) for slide in job["slides"]]
    done = [(slide, known) for slide, known in slides if "histograms" in known]
    measures = {
        "nuclei per mm² of tissue": [known["density_per_mm2"] for _, known in done],
        **{LABELS[name]: [known["means"].get(name) for _, known in done] for name in LABELS},
    }
    z = {name: outliers(values) for name, values in measures.items()}
    strongest = np.max(np.abs(list(z.values())), axis=0) if done else np.zeros(0)
    order = np.argsort(-strongest, kind="stable")
    failures = [(slide, known) for slide, known in slides if slide["status"] in ("set aside", "failed") or slide["failed_tiles"]]
    body = [
        f"<h1>Job {html.escape(folder.resolve().name)}</h1>",
        f"<p>{job['state']} · {job['counts']['done']} of {len(slides)} slides done · {job['nuclei']:,} nuclei · model "
        f"{html.escape(job['model']['id'])} <small>{job['model']['sha256'][:12]}</small> · Hemalum {html.escape(job['hemalum'])} · begun "
        f"{html.escape(job['created'])}. For research use only.</p>",
        _failures(failures),
        _table([done[i] for i in order], strongest[order]),
        *(_slide(*done[i], {name: float(column[i]) for name, column in z.items()}) for i in order),
    ]
    head = f'<meta charset="utf-8"><title>Job {html.escape(folder.resolve().name)}</title><style>{STYLE}</style>'
    return f'<!doctype html><html lang="en">{head}{"".join(body)}</html>'


def _failures(failures) -> str:
    if not failures:
        return "<p>No failures.</p>"
    rows = []
    for slide, known in failures:
        tiles = [f"tile {tile}: {why}" for tile, why in known.get("failed_tiles", {}).items()]
        reasons = [known["reason"]] if known.get("reason") else tiles
        rows.append(f"<li><b>{html.escape(slide['stem'])}</b> ({slide['status']}): {html.escape('; '.join(reasons[:5]))}</li>")
    return f'<h2 class="bad">Failures</h2><ul class="bad">{"".join(rows)}</ul>'


def _table(done, strongest) -> str:
    if not done:
        return ""
    stages = sorted({stage for _, known in done for stage in known["seconds"]} - {"total"})
    head = ["slide", "nuclei", "tissue mm²", "nuclei/mm²", *stages, "total s"]
    rows = []
    for (slide, known), z in zip(done, strongest, strict=True):
        cells = [known["nuclei"], f"{known['tissue_mm2']:.2f}", known["density_per_mm2"]]
        cells += [f"{known['seconds'].get(stage, 0):.1f}" for stage in (*stages, "total")]
        name = html.escape(slide["stem"]) + (" ⚠" if z > OUTLIER else "")
        rows.append("<tr>" + "".join(f"<td>{'' if cell is None else cell}</td>" for cell in (name, *cells)) + "</tr>")
    heads = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    title = "<h2>Slides <small>those that differ most first; seconds per stage, summed over workers</small></h2>"
    return f"{title}<table><tr>{heads}</tr>{''.join(rows)}</table>"


def _slide(slide, known, z: dict[str, float]) -> str:
    odd = [f"{name}: {value:+.1f} median deviations" for name, value in z.items() if abs(value) > OUTLIER]
    both = zip(("thumbnail", "nuclei"), known["pictures"], strict=True)
    pictures = "".join(f'<img alt="{alt}" src="data:image/jpeg;base64,{data}">' for alt, data in both)
    charts = "".join(_histogram(LABELS[name], counts, EDGES[name]) for name, counts in known["histograms"].items())
    notices = f"<small>{html.escape('; '.join(known['notices']))}</small>" if known["notices"] else ""
    warning = f"<p><strong>Differs: {html.escape('; '.join(odd))}</strong></p>" if odd else ""
    return (
        f'<section{" class=odd" if odd else ""}><h2>{html.escape(slide["stem"])}</h2>{warning}'
        f"<p>{known['nuclei']:,} nuclei on {known['tissue_mm2']:.3f} mm² of tissue → "
        f"{', '.join(map(html.escape, known['outputs']))}</p>{pictures}<div>{charts}</div>{notices}</section>"
    )


def _histogram(label: str, counts: list[int], edges: np.ndarray) -> str:
    """A bar chart as inline SVG; the last bar holds all that is larger."""
    width, height, top = 320, 90, max(1, *counts)
    step = width / len(counts)
    bars = "".join(
        f'<rect x="{i * step:.1f}" y="{height - n / top * height:.1f}" width="{step - 1:.1f}" height="{n / top * height:.1f}" fill="#68a"/>'
        for i, n in enumerate(counts)
    )
    below = height + 14
    return (
        f'<svg width="{width}" height="{height + 34}" role="img" aria-label="{label}">{bars}'
        f'<line x1="0" y1="{height}" x2="{width}" y2="{height}" stroke="#888"/><text x="0" y="{below}" font-size="11">{edges[0]:g}</text>'
        f'<text x="{width}" y="{below}" font-size="11" text-anchor="end">{edges[-1]:g}</text>'
        f'<text x="{width / 2}" y="{height + 30}" font-size="12" text-anchor="middle">{label}</text></svg>'
    )


__all__ = ["outliers", "page"]
