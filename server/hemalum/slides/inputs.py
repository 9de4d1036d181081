"""Which files a list of INPUT arguments means, and what their results are called."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NamedTuple

from hemalum.errors import UsageError

ENDINGS = """
    .svs .tif .tiff .btf .tf2 .tf8 .qptiff .ndpi .vms .vmu .scn .mrxs .svslide .bif .czi .dcm
    .png .jpg .jpeg .jpe .jfif .bmp .webp .jp2 .j2k .jpf .jpx .ppm .pgm .pnm .gif
"""
SUFFIXES = frozenset(ENDINGS.split())
SYSTEM = ("Thumbs.db", "desktop.ini")  # of Windows, in any folder with pictures
MOST_NAMED = 10  # files in one sentence


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
        found = _looked_into(given)
        if not found.images:
            why = f" ({'; '.join(found.sentences(given))})" if found.sentences(given) else ""
            raise UsageError(f"{given} holds no images{why}; name a folder with slides or images directly in it")
        paths += found.images
    seen: dict[str, Path] = {}
    for path in paths:
        other = seen.setdefault(stem(path).casefold(), path)
        if other is not path:
            raise UsageError(f"{other} and {path} would both be written as {stem(path)}; rename one or run them apart")
    return paths


def left_out(inputs) -> list[str]:
    """What of the folders among INPUT arguments `images_in` does not take: a sentence for each kind of reason."""
    sentences = []
    for given in map(Path, inputs):
        if os.path.isdir(given):
            sentences += _looked_into(given).sentences(given)
    return sentences


class _Folder(NamedTuple):
    """What lies in a folder, sorted by name: images to take, results of earlier runs that are images, files of other
    endings, folders."""

    images: list[Path]
    results: list[Path]
    others: list[Path]
    folders: list[Path]

    def sentences(self, folder: Path) -> list[str]:
        found = []
        for paths, noun, why in (
            (self.others, "file", "not a known ending"),
            (self.results, "file", "results of an earlier run"),
            (self.folders, "folder", "only what lies directly in a folder is"),
        ):
            if paths:
                were = "was" if len(paths) == 1 else "were"
                names = ", ".join(path.name for path in paths[:MOST_NAMED])
                more = f" and {len(paths) - MOST_NAMED} more" if len(paths) > MOST_NAMED else ""
                plural = "" if len(paths) == 1 else "s"
                found.append(f"{len(paths)} {noun}{plural} of {folder} {were} not taken: {names}{more} ({why})")
        return found


def _looked_into(folder: Path) -> _Folder:
    """Raises `UsageError` where it cannot be."""
    found = _Folder([], [], [], [])
    try:
        results = results_in(folder)
        for path in sorted(folder.iterdir()):
            known = path.suffix.lower() in SUFFIXES
            if path.name.startswith(".") or path.name in SYSTEM:
                continue
            if path.name in results:
                if known:
                    found.results.append(path)
            elif path.is_dir():
                found.folders.append(path)
            elif not path.is_file():
                continue
            else:
                (found.images if known else found.others).append(path)
    except OSError as error:
        raise UsageError(f"{folder} cannot be looked into ({error.strerror}); check that you may read it") from None
    slides = {path.stem for path in found.images if path.suffix.lower() == ".mrxs"}  # their pixels lie in a folder
    found.folders[:] = [path for path in found.folders if path.name not in slides]
    return found


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
