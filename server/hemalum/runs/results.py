"""A result belongs to one run: nobody else writes it meanwhile, and what no run of ours made is not replaced.

>>> import tempfile
>>> folder = tempfile.TemporaryDirectory()
>>> with claimed(folder.name, "slide", names_of("slide", ["csv"])):
...     _ = (Path(folder.name) / "slide.csv").write_text("a person's")
>>> try:
...     refuse_foreign(folder.name, ["slide.csv"])
... except UsageError as error:
...     "no run of Hemalum made it; give --overwrite" in str(error)
True
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hemalum.errors import UsageError
from hemalum.files import commit_json, read_json
from hemalum.lock import ResultLock
from hemalum.slides.inputs import results_in

LONGEST = 255  # bytes of a file's name on the disks of Linux and macOS; on Windows 255 characters
ROOM = len(".labels.spool.12345678.part")  # the longest ending of a result while it is written
ENDINGS = {
    "geojson": (".geojson",),
    "labels": (".labels.png", ".labels.tif"),
    "csv": (".csv",),
    "overlay": (".overlay.png",),
    "parquet": (".parquet",),
}


def names_of(stem: str, formats: Iterable[str]) -> list[str]:
    """What the results of one input may be called.

    >>> names_of("a", ["labels"])
    ['a.labels.png', 'a.labels.tif', 'a.run.json']
    """
    endings = [ending for name in formats for ending in ENDINGS[name]]
    return [f"{stem}{ending}" for ending in (*endings, ".run.json")]


@contextmanager
def claimed(
    folder: str | Path, stem: str, names: Iterable[str], overwrite: bool = False, inputs: Iterable[Path] = ()
) -> Iterator[None]:
    """Nobody else writes results of this stem as long as the context lasts.

    Args:
        names: of the results.  overwrite: whether files of others may be replaced.  inputs: of the run; none of them is
            ever replaced.

    Raises:
        Busy: another run writes them.
        UsageError: one is a file that no run of ours made, or an input; a name is too long.
        NotWritable: the folder cannot be written.
    """
    check_length(stem)
    with ResultLock(folder, stem):
        refuse_foreign(folder, names, overwrite, inputs)
        yield


def check_length(stem: str) -> None:
    """Raises `UsageError` where results of this stem would have names that no disk takes."""
    length = len(os.fsencode(stem))
    if length + ROOM > LONGEST:
        raise UsageError(
            f"{stem[:40]}… has a name of {length} bytes, and its results would have names that are too long for a "
            f"disk; rename it to at most {LONGEST - ROOM} bytes"
        )


def refuse_foreign(
    folder: str | Path, names: Iterable[str], overwrite: bool = False, inputs: Iterable[Path] = ()
) -> None:
    """Raises `UsageError` where a file of these names may not be replaced; see `claimed`."""
    folder = Path(folder)
    there = [name for name in names if (folder / name).exists()]
    for name in there:
        if any(path.exists() and path.samefile(folder / name) for path in map(Path, inputs)):
            raise UsageError(f"{folder / name} is an input and would be replaced; choose another folder with -o")
    if not there or overwrite:
        return
    ours = results_in(folder)
    foreign = [name for name in there if name not in ours]
    if foreign:
        more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
        raise UsageError(
            f"{folder / foreign[0]}{more} would be replaced, and no run of Hemalum made it; give --overwrite to do so, "
            "or choose another folder with -o"
        )


def commit_record(path: Path, content: dict[str, Any]) -> None:
    """Write a run record; what an earlier run of the same stem made and still lies there stays known as ours.

    Raises:
        DiskFull: it cannot be written.
    """
    try:
        before = read_json(path) or {}
    except UsageError:  # somebody else's, which was to be replaced
        before = {}
    known = [*before.get("outputs", ()), *before.get("earlier_outputs", ())]
    earlier = sorted(
        {name for name in known if isinstance(name, str) and (path.parent / name).is_file()} - {*content["outputs"]}
    )
    commit_json(path, {**content, "earlier_outputs": earlier} if earlier else content, waits=())
