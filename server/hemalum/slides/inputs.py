"""Which files a list of INPUT arguments means, and what their results are called."""

from __future__ import annotations

import os
from pathlib import Path

from hemalum.errors import UsageError

ENDINGS = """
    .svs .tif .tiff .btf .ndpi .vms .vmu .scn .mrxs .svslide .bif .czi .dcm
    .png .jpg .jpeg .bmp .webp .jp2 .ppm .gif
"""
SUFFIXES = frozenset(ENDINGS.split())


def images_in(inputs) -> list[Path]:
    """The files that a list of INPUT arguments means: a folder stands for the images directly in it, sorted by name.

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
            found = sorted(
                p
                for p in given.iterdir()
                if p.suffix.lower() in SUFFIXES and p.is_file() and not p.name.startswith(".")
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


def stem(path: str | Path) -> str:
    """The name of an input's results: the file's name without its suffix (`.ome.tif` counts as one).

    >>> stem("a/slide 1.ome.tiff"), stem("x.y.svs")
    ('slide 1', 'x.y')
    """
    name = Path(path).stem
    return name[:-4] if name.lower().endswith(".ome") else name
