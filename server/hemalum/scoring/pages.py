"""HTML pages that need no other file: tables, and pictures inside the page.

Text is escaped where it enters a page; what is HTML already is a `Html` and stays as it is.

>>> print(table(["image", "AJI"], [["<x>", 0.5], [link("y z"), None]]).replace("<tr>", "\\n<tr>"))
<table>
<tr><th>image</th><th>AJI</th></tr>
<tr><th>&lt;x&gt;</th><td>0.5000</td></tr>
<tr><th><a href="#y-z">y z</a></th><td>–</td></tr></table>
>>> page("Two", heading("Scores")).endswith('<h2 id="Scores">Scores</h2></html>')
True
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable

from PIL import Image

STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:2em auto;max-width:1400px;padding:0 1em;color:#222;background:#fff}
h1{font-size:1.5em}h2{font-size:1.2em;margin-top:2em}p,details{margin:.5em 0}a{color:inherit}small{color:#666}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;display:block;overflow-x:auto}
td,th{padding:.2em .6em;text-align:right;border-bottom:1px solid #ddd;white-space:nowrap}
td:first-child,th:first-child{text-align:left}
figure{display:inline-block;margin:4px;vertical-align:top}figcaption{font-size:12px;max-width:36em}
"""


class Html(str):
    """Text that is HTML already."""


def escaped(text: object) -> Html:
    """`text` as HTML; as it is if it is HTML already."""
    return text if isinstance(text, Html) else Html(html.escape(str(text)))


def page(title: str, *parts: str, style: str = "") -> str:
    """The whole page; `parts` are HTML in the order shown, `style` is CSS for this page alone."""
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escaped(title)}</title><style>{STYLE}{style}</style>"
    )
    return f'<!doctype html><html lang="en">{head}{"".join(parts)}</html>'


def heading(title: str, level: int = 2) -> Html:
    """A heading that `link` leads to."""
    return Html(f'<h{level} id="{anchor(title)}">{escaped(title)}</h{level}>')


def link(title: str) -> Html:
    """A link to the heading of this title on the same page."""
    return Html(f'<a href="#{anchor(title)}">{escaped(title)}</a>')


def anchor(title: str) -> str:
    """The `id` of a heading.

    >>> anchor("Pseudo labels")
    'Pseudo-labels'
    """
    return html.escape(title.replace(" ", "-"))


def table(names: Iterable[object], rows: Iterable[Iterable[object]]) -> Html:
    """A table below `names`; the first cell of each row names it.

    Fractions are written with four digits, None as a dash, everything else as `str` does.
    """
    lines = ["".join(f"<th>{escaped(name)}</th>" for name in names)]
    for first, *rest in rows:
        lines.append(f"<th>{_cell(first)}</th>" + "".join(f"<td>{_cell(value)}</td>" for value in rest))
    return Html("<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>")


def _cell(value: object) -> Html:
    if value is None:
        return Html("–")
    return escaped(format(value, ".4f") if isinstance(value, float) else value)


def figure(image: Image.Image | str, caption: str, alt: str | None = None) -> Html:
    """A picture with a caption, which is also its description unless `alt` gives another."""
    img = picture(image, caption if alt is None else alt)
    return Html(f"<figure><figcaption>{escaped(caption)}</figcaption>{img}</figure>")


def picture(image: Image.Image | str, alt: str) -> Html:
    """A picture inside the page; `image` may also be the JPEG's bytes in base64."""
    data = image if isinstance(image, str) else _jpeg(image)
    return Html(f'<img alt="{escaped(alt)}" src="data:image/jpeg;base64,{data}">')


def _jpeg(image: Image.Image) -> str:
    encoded = io.BytesIO()
    image.convert("RGB").save(encoded, "JPEG", quality=92, subsampling=0)  # whole colour, or thin lines are grey
    return base64.b64encode(encoded.getvalue()).decode("ascii")
