"""Curves of a training log as inline SVG.

>>> losses = [{"step": 25, "gan": 0.5}, {"step": 50, "gan": 0.4}]
>>> svg = curves([*losses, {"step": 50, "epoch": 1, "validation": {"aji": 0.3}}], "teacher")
>>> svg.count("<svg"), "aji" in svg
(2, True)
"""

from __future__ import annotations

import io

COUNTED = {"step", "epoch", "seconds", "seconds_per_step", "lr", "best"}  # of a line, what is no loss


def curves(lines: list[dict], title: str) -> str:
    """Losses over the steps on a logarithmic axis and, where there are any, validation scores.

    Args:
        lines: of a `log.jsonl`, each with `step` and losses, or with `step` and `validation` (scores by name).
    """
    import matplotlib

    losses, scores = {}, {}
    for line in lines:
        for name, value in line.items():
            if name == "validation":
                for measure, score in value.items():
                    scores.setdefault(measure, []).append((line["step"], score))
            elif name not in COUNTED and isinstance(value, (int, float)):
                losses.setdefault(name, []).append((line["step"], value))
    parts = []
    # text stays text, names are those of this figure, no date: the same log gives the same page
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": title, "font.size": 9}):
        if losses:
            parts.append(_plot(losses, f"{title}: losses", logarithmic=True))
        if scores:
            parts.append(_plot(scores, f"{title}: validation", logarithmic=False))
    return "".join(parts)


def _plot(lines: dict[str, list[tuple[int, float]]], title: str, logarithmic: bool) -> str:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3), layout="tight")
    axes = figure.add_subplot()
    for name, points in lines.items():
        axes.plot(*zip(*points, strict=True), label=name, linewidth=1.4, marker="" if len(points) > 1 else "o")
    values = [value for points in lines.values() for _, value in points]
    if logarithmic and min(values) > 0:
        axes.set_yscale("log")
    axes.set(title=title, xlabel="step")
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    written = io.StringIO()
    figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    text = written.getvalue()
    return text[text.index("<svg"):]
