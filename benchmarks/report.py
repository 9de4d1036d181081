"""What `python -m benchmarks` found, as a table beside what is wanted, and a picture of where the time goes.

>>> print(table({"seams": {"counted_twice": 0, "lost_at_a_seam": 0, "other_tile_size": 0.99, "shifted_grid": 0.98}}))
| what | measured | at least | aim |
|---|---|---|---|
| the same nuclei from another tile size · a shifted grid, matched at IoU 0.7 | 0.99 · 0.98 | 0.98 | 0.995 |
| nuclei counted twice · lost at a seam | 0 · 0 | 0 | |
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape
from pathlib import Path

# stages of a run record as people call them, with a colour; they overlap in time, so their sum exceeds the wall time
STAGES = {
    "start": ("start: imports, model", "#9aa0a6"),
    "overview": ("overview, mask, stain", "#8c6bb1"),
    "read": ("reading", "#41b6c4"),
    "resample": ("resampling", "#a1dab4"),
    "engine": ("network", "#54278f"),
    "postprocess": ("instances, outlines, measurements", "#c51b8a"),
    "settle": ("settling seams", "#fd8d3c"),
    "write": ("writing", "#636363"),
}


def rows(found: dict[str, dict]) -> Iterator[tuple[str, str, str, str]]:
    """What, measured, at least, aim — for every benchmark in `found` (results by name)."""

    def of(name: str, *keys: str) -> tuple | None:
        return tuple(found[name][key] for key in keys) if name in found else None

    if "card" in found:
        for name, score in found["card"].items():
            yield (
                f"accuracy on {name} ({score['images']} images), AJI · PQ",
                f"{score['aji']:.3f} · {score['pq']:.3f}",
                "",
                "",
            )
    if it := of("seams", "other_tile_size", "shifted_grid"):
        yield (
            "the same nuclei from another tile size · a shifted grid, matched at IoU 0.7",
            f"{it[0]} · {it[1]}",
            "0.98",
            "0.995",
        )
    if it := of("odd_shifts", "mean", "worst"):
        yield "the same nuclei after an odd shift at IoU 0.7, mean · worst", f"{it[0]} · {it[1]}", "0.96", "0.98"
    if it := of("seams", "counted_twice", "lost_at_a_seam"):
        yield "nuclei counted twice · lost at a seam", f"{it[0]} · {it[1]}", "0", ""
    if it := of("peers", "ours", "stardist", "ratio"):
        yield (
            "`hemalum segment` against StarDist, s/mm² of 1000² px tiles, start-up left out",
            f"{it[0]} ÷ {it[1]}: {it[2]} ×",
            "5 ×",
            "8 ×",
        )
    if it := of("segment", "s_per_mm2", "s_per_mm2_with_start"):
        yield "`hemalum segment` on the bundled region, s/mm² · with start-up", f"{it[0]} · {it[1]}", "", ""
    if it := of("postprocess", "ms_per_1000"):
        yield "post-processing and polygons, ms per 1000 nuclei, dense tissue", f"{it[0]}", "≤ 90", "≤ 45"
        yield "the same on sparse tissue, ms per tile of 576 µm", f"{found['postprocess']['sparse']['ms']}", "", ""
    if it := of("replay", "ratio"):
        yield "stub engine at 20 ms a tile, 2 post-processing processes ÷ 1", f"{it[0]}", "≥ 1.6", "1.8"
    if it := of("jobs", "ratio", "bookkeeping"):
        yield (
            "two Dask workers of one thread ÷ one · a job's bookkeeping, share of its time",
            f"{it[0]} · {it[1]}",
            "1.6 · ≤ 0.03",
            "",
        )
    if it := of("server_overhead", "through_server_over_in_process"):
        yield "through the server on loopback ÷ in process", f"{it[0]}", "≤ 1.2", "≤ 1.1"
    if it := of("politeness", "idle", "loaded", "p50_loaded_over_idle", "p95_loaded_over_idle"):
        idle, loaded, p50, p95 = it
        seconds = " → ".join(f"{runs['p50_s']}, {runs['p95_s']} s" for runs in (idle, loaded))
        what = "a person's small run, four batch clients ÷ idle server, p50 · p95"
        yield what, f"{p50} · {p95} ({seconds})", "≤ 3", "≤ 2"
    if it := of("start_up", "help_s", "server_answers_s"):
        yield "`hemalum --help` · a server until it answers", f"{it[0]} s · {it[1]} s", "< 0.3 s · < 2 s", ""
    if it := of("memory", "ratio"):
        yield "peak memory, 20,000² px slide ÷ 5,000² px", f"{it[0]}", "≤ 1.15", ""
    if it := of("settle_million", "seconds", "peak_gb"):
        yield "10⁶ nuclei through settle and the GeoJSON sink", f"{it[0]} s, {it[1]} GB", "< 120 s, < 2 GB", ""


def table(found: dict[str, dict]) -> str:
    """The rows in Markdown."""
    lines = ["| what | measured | at least | aim |", "|---|---|---|---|"]
    lines += [f"| {' | '.join(row)} |".replace("|  |", "| |") for row in rows(found)]
    return "\n".join(lines).replace(" |  |", " | |")


def picture(seconds: dict[str, float]) -> str:
    """An SVG with a bar for each stage of a run: busy seconds, and the wall time as a line."""
    stages = [(STAGES[name], seconds[name]) for name in STAGES if seconds.get(name)]
    wall, longest = seconds["total"], max(seconds["total"], *(value for _, value in stages))
    left, width, height, gap = 250, 430, 22, 8
    bottom = 44 + len(stages) * (height + gap)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 {bottom + 34}" font-family="sans-serif" '
        'font-size="14">',
        f'<rect width="760" height="{bottom + 34}" fill="#fff"/>',
        '<text x="14" y="24" font-weight="bold">Where the time goes: busy seconds of each stage (they overlap)</text>',
    ]
    for number, ((name, colour), value) in enumerate(stages):
        y = 40 + number * (height + gap)
        parts += [
            f'<text x="{left - 10}" y="{y + 16}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{left}" y="{y}" width="{max(1, width * value / longest):.1f}" height="{height}" '
            f'fill="{colour}"/>',
            f'<text x="{left + width * value / longest + 6:.1f}" y="{y + 16}">{value:.2f}</text>',
        ]
    x = left + width * wall / longest
    parts += [
        f'<line x1="{x:.1f}" y1="34" x2="{x:.1f}" y2="{bottom}" stroke="#000" stroke-dasharray="4 3"/>',
        f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">wall time {wall:.2f} s</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def peers(path: Path) -> dict:
    """Ours beside StarDist from the results of one run of a side-by-side timing: least seconds over rounds, mean over
    images.

    Args:
        path: JSON with `samples` (peer, stem, shape, forward, post, polygons) and `peers` (name → mpp), one peer called
            `stardist`.
    """
    results = json.loads(path.read_text(encoding="utf-8"))
    pace: dict[str, float] = {}
    for name in results["peers"]:
        samples = [sample for sample in results["samples"] if sample["peer"] == name]
        least: dict[str, float] = {}
        for sample in samples:
            area = sample["shape"][0] * sample["shape"][1] * results["peers"][name]["mpp"] ** 2 / 1e6
            taken = sum(sample[phase] for phase in ("forward", "post", "polygons")) / area
            least[sample["stem"]] = min(taken, least.get(sample["stem"], taken))
        pace[name] = sum(least.values()) / len(least)
    stardist = pace.pop("stardist")
    ours = min(pace.values())
    return {"ours": round(ours, 1), "stardist": round(stardist, 1), "ratio": round(stardist / ours, 1)}
