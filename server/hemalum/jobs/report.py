"""The page about a job: one HTML file with everything in it, slides that differ from the others first."""

from __future__ import annotations

import html
from pathlib import Path

import numpy as np

from hemalum.jobs.status import state, status
from hemalum.jobs.summary import EDGES
from hemalum.nuclei.measure import AREA, HAEMATOXYLIN
from hemalum.scoring import pages

STYLE = """
body{font-size:14px;max-width:1100px}section h2{margin:0}
td,th{padding:.25em .55em}tr+tr th{font-weight:normal}
section{border:1px solid #ddd;border-radius:6px;padding:.8em 1em;margin:1em 0}
section.odd{border-color:#c60;border-width:2px}
.row{display:flex;flex-wrap:wrap;gap:1em;align-items:flex-start}
.row img{max-height:340px;max-width:100%;border:1px solid #eee}
.row svg{display:block;margin-bottom:.8em}
.bad{color:#b00}.odd strong{color:#a50}
"""
LABELS = {AREA: "nucleus area, µm²", HAEMATOXYLIN: "haematoxylin, mean OD"}
STATES = {"partly": "done in part"}
ORDER = ("overview", "read", "resample", "engine", "postprocess", "settle", "pieces", "write")
OUTLIER = 3.5  # robust z from which a slide counts as differing (Iglewicz and Hoaglin)


def outliers(values: list[float | None]) -> np.ndarray:
    """Robust z of each value: distance to the median in scaled median deviations; 0 for None and where there is no
    spread.

    >>> outliers([1.0, 1.1, 0.9, 1.0, 5.0, None]).round(1).tolist()
    [0.0, 0.7, -0.7, 0.0, 27.0, 0.0]
    """
    column = np.array([np.nan if value is None else value for value in values], float)
    if np.isfinite(column).sum() < 4:  # too few to say what is usual
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
    measures = {"nuclei per mm² of tissue": [known["density_per_mm2"] for _, known in done]}
    for name, label in LABELS.items():
        measures[label] = [known["means"].get(name) for _, known in done]
    z = {name: outliers(values) for name, values in measures.items()}
    strongest = np.max(np.abs(list(z.values())), axis=0) if done else np.zeros(0)
    usual = {name: float(np.nanmedian(np.array(values or [None], float))) for name, values in measures.items()}
    order = np.argsort(-strongest, kind="stable")
    pooled = {}
    for name in EDGES:
        histograms = [known["histograms"][name] for _, known in done if name in known["histograms"]]
        pooled[name] = np.sum(histograms or [0], axis=0)
    failures = [
        (slide, known) for slide, known in slides if slide["status"] in ("set aside", "failed") or slide["failed_tiles"]
    ]
    created = job["created"].replace("T", " ").replace("+00:00", " UTC")
    body = [
        f"<h1>Job {html.escape(folder.resolve().name)}</h1>",
        f"<p>{STATES.get(job['state'], job['state'])} · {job['counts']['done']} of {len(slides)} slides done · "
        f"{job['nuclei']:,} nuclei · model "
        f"{html.escape(job['model']['id'])} <small>{job['model']['sha256'][:12]}</small> · Hemalum "
        f"{html.escape(job['hemalum'])} · begun "
        f"{html.escape(created)}. For research use only.</p>",
        _failures(failures),
        _table([done[i] for i in order], strongest[order]),
    ]
    for i in order:
        differs = [
            f"{name} {measures[name][i]:,.4g}, usually {usual[name]:,.4g} ({column[i]:+.1f} median deviations)"
            for name, column in z.items()
            if abs(column[i]) > OUTLIER
        ]
        slide, known = done[i]
        body.append(_slide(slide, known, differs, pooled))
    return pages.page(f"Job {folder.resolve().name}", *body, style=STYLE)


def _failures(failures) -> str:
    if not failures:
        return "<p>No failures.</p>"
    rows = []
    for slide, known in failures:
        tiles = [f"tile {tile}: {why}" for tile, why in known.get("failed_tiles", {}).items()]
        reasons = [known["reason"]] if known.get("reason") else tiles
        rows.append(
            f"<li><b>{html.escape(slide['stem'])}</b> ({slide['status']}): {html.escape('; '.join(reasons[:5]))}</li>"
        )
    return f'<h2 class="bad">Failures</h2><ul class="bad">{"".join(rows)}</ul>'


def _table(done, strongest) -> str:
    if not done:
        return ""
    stages = sorted(
        {stage for _, known in done for stage in known["seconds"]} - {"total"},
        key=lambda stage: (*ORDER, stage).index(stage),
    )
    head = ["slide", "nuclei", "tissue mm²", "nuclei/mm²", *stages, "total s"]
    rows = []
    for (slide, known), z in zip(done, strongest, strict=True):
        density = known["density_per_mm2"]
        cells = [f"{known['nuclei']:,}", f"{known['tissue_mm2']:.3g}", "" if density is None else f"{density:,.0f}"]
        cells += [f"{known['seconds'].get(stage, 0):.1f}" for stage in (*stages, "total")]
        link = pages.link(slide["stem"]) + (" ⚠" if z > OUTLIER else "")
        rows.append([pages.Html(link), *cells])
    title = (
        "<h2>Slides <small>those that differ most first; seconds per stage, summed over workers; "
        "line in the charts: all slides</small></h2>"
    )
    return title + pages.table(head, rows)


def _slide(slide, known, differs: list[str], pooled: dict[str, np.ndarray]) -> str:
    both = zip(("thumbnail", "nuclei"), known["pictures"], strict=True)
    pictures = "".join(pages.picture(data, alt) for alt, data in both)
    charts = "".join(
        _histogram(LABELS[name], np.array(counts), pooled[name], EDGES[name])
        for name, counts in known["histograms"].items()
    )
    notices = f"<small>{html.escape('; '.join(known['notices']))}</small>" if known["notices"] else ""
    warning = f"<p><strong>Differs: {html.escape('; '.join(differs))}</strong></p>" if differs else ""
    name = html.escape(slide["stem"])
    return (
        f'<section id="{pages.anchor(slide["stem"])}"{" class=odd" if differs else ""}><h2>{name}</h2>{warning}'
        f"<p>{known['nuclei']:,} nuclei on {known['tissue_mm2']:.3g} mm² of tissue → "
        f"{', '.join(map(html.escape, known['outputs']))}</p>"
        f'<div class="row">{pictures}<div>{charts}</div></div>{notices}</section>'
    )


def _histogram(label: str, counts: np.ndarray, pooled: np.ndarray, edges: np.ndarray) -> str:
    """Bars of a slide and a line of all slides, of equal area, as inline SVG; the last bar holds all that is larger."""
    # the same for all slides of a job
    shown = 1 + int(np.max(np.flatnonzero(pooled > 0.002 * pooled.sum()), initial=4))
    bars, line = (
        np.append(some[: shown - 1], some[shown - 1 :].sum()) / max(1, some.sum()) for some in (counts, pooled)
    )
    width, height, top = 320, 90, max(bars.max(), line.max(), 1e-9)
    step = width / shown
    drawn = "".join(
        f'<rect x="{i * step:.1f}" y="{(1 - n / top) * height:.1f}" width="{step - 1:.1f}" '
        f'height="{n / top * height:.1f}" fill="#68a"/>'
        for i, n in enumerate(bars)
        if n
    )
    points = " ".join(f"{(i + 0.5) * step:.1f},{(1 - n / top) * height:.1f}" for i, n in enumerate(line))
    below = height + 14
    return (
        f'<svg width="{width}" height="{height + 40}" viewBox="0 -2 {width} {height + 40}" role="img" '
        f'aria-label="{label}">{drawn}'
        f'<polyline points="{points}" fill="none" stroke="#c60" stroke-width="1.2"><title>all slides of the '
        "job</title></polyline>"
        f'<line x1="0" y1="{height}" x2="{width}" y2="{height}" stroke="#888"/><text x="0" y="{below}" '
        f'font-size="11">{edges[0]:g}</text>'
        f'<text x="{width}" y="{below}" font-size="11" text-anchor="end">≥ {edges[shown - 1]:g}</text>'
        f'<text x="{width / 2}" y="{height + 30}" font-size="12" text-anchor="middle">{label}</text></svg>'
    )


__all__ = ["outliers", "page"]
