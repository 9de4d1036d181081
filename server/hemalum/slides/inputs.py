"""Which files a list of INPUT arguments means, and what their results are called."""

from __future__ import annotations

import json
import os
from pathlib import Path

from hemalum.errors import UsageError

ENDINGS = """
    .svs .tif .tiff .btf .ndpi .vms .vmu .scn .mrxs .svslide .bif .czi .dcm
    .png .jpg .jpeg .bmp .webp .jp2 .ppm .gif
"""
SUFFIXES = frozenset(ENDINGS.split())


def images_in(inputs) -> list[Path]:
    """The files that a list of INPUT arguments means: a folder stands for the images directly in it, sorted by name,
    without results that lie beside them.

    Raises:
        UsageError: a folder that cannot be looked into or holds no images, or two inputs of one stem, whose results
            would overwrite each other.
    """
    paths: list[Path] = []
    for given in map(Path, inputs):
        if not os.path.isdir(given):
            paths.append(given)
            continue
        try:
            results = results_in(given)
            found = sorted(
                p
                for p in given.iterdir()
                if p.suffix.lower() in SUFFIXES
                and p.is_file()
                and not p.name.startswith(".")
                and p.name not in results
            )
        except OSError as error:
            raise UsageError(f"{given} cannot be looked into ({error.strerror}); check that you may read it") from None
        if not found:
            raise UsageError(f"{given} holds no images; name a folder with slides or images directly in it")
        paths += found
    seen: dict[str, Path] = {}
    for path in paths:
        other = seen.setdefault(stem(path).casefold(), path)
        if other is not path:
            raise UsageError(f"{other} and {path} would both be written as {stem(path)}; rename one or run them apart")
    return paths


def results_in(folder: str | Path) -> set[str]:
    """Names of the files in a folder that some run made: a `run.json` or `<stem>.run.json` beside them names them, and
    is one itself."""
    names: set[str] = set()
    for path in Path(folder).glob("*run.json"):
        if path.name != "run.json" and not path.name.endswith(".run.json"):
            continue
        try:
            said = json.loads(path.read_text(encoding="utf-8"))
            names.update(name for name in (*said["outputs"], *said.get("earlier_outputs", ())) if isinstance(name, str))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # somebody else's
        names.add(path.name)
    return names


def stem(path: str | Path) -> str:
    """The name of an input's results: the file's name without its suffix (`.ome.tif` counts as one).

    >>> stem("a/slide 1.ome.tiff"), stem("x.y.svs")
    ('slide 1', 'x.y')
    """
    name = Path(path).stem
    return name[:-4] if name.lower().endswith(".ome") else name
