"""Links of the repository's Markdown that lead nowhere: `python -m handbook.links`, part of `make lint`.

Files and headings are checked, addresses of other computers are not.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/**/*.md")
GENERATED = ("docs/reference",)  # pages of handbook.hooks, which no file holds
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
PARSER = MarkdownIt("commonmark").enable("table")


def faults(root: Path = ROOT) -> list[str]:
    """One sentence for each link that leads nowhere."""
    found = []
    for page in pages(root):
        for line, target in links(page.read_text(encoding="utf-8")):
            if fault := fault_of(target, page, root):
                found.append(f"{page.relative_to(root).as_posix()}:{line}: {fault}")
    return found


def pages(root: Path) -> list[Path]:
    """The checked files, each once."""
    found: dict[Path, None] = {}
    for pattern in PAGES:
        found.update(dict.fromkeys(sorted(root.glob(pattern))))
    return list(found)


def links(text: str) -> Iterator[tuple[int, str]]:
    """Line and target of every link and image; code holds none.

    >>> list(links("[one](a.md#b) `[no](c.md)`"))
    [(1, 'a.md#b')]
    """
    for token in PARSER.parse(text):
        line = token.map[0] + 1 if token.map else 0
        for child in token.children or ():
            target = child.attrGet("href") or child.attrGet("src")
            if target:
                yield line, str(target)


def fault_of(target: str, page: Path, root: Path) -> str | None:
    """What is wrong with a link of a page, or None."""
    if ELSEWHERE.match(target):
        return None
    path, _, anchor = unquote(target).partition("#")
    file = (page.parent / path).resolve() if path else page
    if not file.is_relative_to(root):
        return f"{target} lies outside the repository"
    if file.relative_to(root).as_posix().startswith(GENERATED):
        return None
    if not file.exists():
        return f"{target} does not exist"
    if anchor and file.suffix == ".md" and anchor not in anchors(file.read_text(encoding="utf-8")):
        return f"{target}: the page has no such heading"
    return None


def anchors(text: str) -> set[str]:
    """Names of a page's headings, as the site and as code hosts make them.

    >>> sorted(anchors("# A & B"))
    ['a--b', 'a-b']
    """
    names: set[str] = set()
    tokens = PARSER.parse(text)
    for opening, inline in pairwise(tokens):
        if opening.type == "heading_open":
            names.update(slugs("".join(map(words, inline.children or ()))))
    return names


def words(token: Token) -> str:
    return token.content if token.type in ("text", "code_inline") else ""


def slugs(heading: str) -> tuple[str, str]:
    kept = re.sub(r"[^\w\s-]", "", heading).strip().lower()
    return re.sub(r"[-\s]+", "-", kept), re.sub(r"\s", "-", kept)


if __name__ == "__main__":
    sentences = faults()
    print("\n".join(sentences), end="\n" if sentences else "")
    sys.exit(1 if sentences else 0)
