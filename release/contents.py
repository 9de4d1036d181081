"""What lies in `dist/`: sizes for people, checksums for programs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

SUMS = "SHA256SUMS"
CONTENTS = "CONTENTS.md"
MEANINGS = (  # the first end of a name that fits
    ("-javadoc.jar", "the extension's documentation, for QuPath's Javadoc viewer"),
    (".jar", "the extension: drop it on QuPath"),
    (".whl", "the Python package alone: `pip install` fetches what it needs"),
    (".tar.gz", "the Python package's sources"),
    ("catalog.json", "for QuPath's extension manager"),
    ("RELEASE-NOTES.md", "what is new"),
    (".zip", "the server and all it needs, for this system and Python: *Install server* takes it"),
)


def sha256(path: Path) -> str:
    """Hexadecimal digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _digest(file)


def _digest(file) -> str:  # Python 3.10
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def write_contents(folder: Path, version: str) -> None:
    """`CONTENTS.md`: each file with its size and what it is for."""
    lines = [f"# Hemalum {version}", "", "| file | MB | for |", "|---|---:|---|"]
    for path in _files(folder, {SUMS, CONTENTS}):
        meaning = next((text for end, text in MEANINGS if path.name.endswith(end)), "")
        lines.append(f"| `{path.name}` | {path.stat().st_size / 1e6:.1f} | {meaning} |")
    lines += ["", f"`sha256sum -c {SUMS}` checks all of them.", ""]
    (folder / CONTENTS).write_text("\n".join(lines), encoding="utf-8")


def write_sums(folder: Path) -> None:
    """`SHA256SUMS` of every other file, in the form `sha256sum -c` reads."""
    lines = [f"{sha256(path)}  {path.name}\n" for path in _files(folder, {SUMS})]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8", newline="\n")


def _files(folder: Path, without: Iterable[str]) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if path.is_file() and path.name not in without]
