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

import errno
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hemalum.errors import NotWritable, UsageError
from hemalum.files import commit_json, read_json
from hemalum.lock import Busy, ResultLock, holder
from hemalum.slides.inputs import results_in

PART = ".12345678.part"  # what a name ends with while its file is written
JOB = "job.json"
LONGEST_ON_WINDOWS = 240  # characters of a path that its programs take
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
    names = list(names)
    with ResultLock(folder, stem):
        if holder(folder) is not None and stem in _stems_of_job(Path(folder)):
            raise Busy(f"{folder} is being worked on by a job that writes {stem}, too; choose another folder with -o")
        refuse_too_long(folder, names)
        refuse_foreign(folder, names, overwrite, inputs)
        yield


def refuse_too_long(folder: str | Path, names: Iterable[str]) -> None:
    """Raises `UsageError` where the disk does not take files of these names, or of what they are called while they are
    written; the folder exists."""
    name = max(names, key=lambda name: len(os.fsencode(name)))
    probe = Path(folder) / (name + PART)
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG and (sys.platform != "win32" or len(str(probe)) < LONGEST_ON_WINDOWS):
            raise NotWritable(
                f"{folder} cannot be written ({error.strerror}); choose another folder with -o"
            ) from error
        raise UsageError(
            f"{name[:30]}… would be a name of {len(os.fsencode(name))} bytes, which {folder} does not take; give the "
            "image a shorter name, or choose a folder with a shorter path with -o"
        ) from None


def refuse_foreign(
    folder: str | Path, names: Iterable[str], overwrite: bool = False, inputs: Iterable[Path] = ()
) -> None:
    """Raises `UsageError` where a file of these names may not be replaced; see `claimed`."""
    folder = Path(folder)
    there = [name for name in names if os.path.lexists(folder / name)]
    if not there:
        return
    kept = {_file(path) for path in inputs} - {None}
    for name in there:
        if _file(folder / name) in kept:
            raise UsageError(f"{folder / name} is an input and would be replaced; choose another folder with -o")
    if overwrite:
        return
    ours = results_in(folder)
    foreign = [name for name in there if name not in ours]
    if foreign:
        more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
        raise UsageError(
            f"{folder / foreign[0]}{more} would be replaced, and no run of Hemalum made it; give --overwrite to do so, "
            "or choose another folder with -o"
        )


def _file(path: Path) -> tuple[int, int] | None:
    """What tells a file from others, whatever it is called."""
    try:
        known = os.stat(path)
    except OSError:
        return None
    return known.st_dev, known.st_ino


def _stems_of_job(folder: Path) -> set[str]:
    content = read_json(folder / JOB) or {}
    return {entry["stem"] for entry in content.get("inputs", ())}


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
