"""Which files `SegmentSlide` may open: those inside the folders the operator named, and no others.

>>> import tempfile, pathlib
>>> with tempfile.TemporaryDirectory() as name:
...     folder = pathlib.Path(name).resolve()
...     _ = (folder / "a.svs").write_bytes(b"x")
...     print(resolve_inside([folder], "a.svs") == folder / "a.svs")
True
>>> resolve_inside([], "a.svs")
Traceback (most recent call last):
    ...
hemalum.errors.NotAllowed: this server opens no files; its operator can allow a folder with --slides DIR
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

from hemalum.errors import NotAllowed, UsageError
from hemalum.wire.texts import text as one_line

LONGEST = 4096  # characters of a path


def allowed_folders(folders: Sequence[str | Path]) -> list[Path]:
    """The folders with symlinks resolved once, at start; raises `UsageError` for one that is not there."""
    found = []
    for folder in folders:
        path = Path(folder)
        if not path.is_dir():
            raise UsageError(f"the slide folder {folder} does not exist; give a folder with --slides")
        found.append(path.resolve())
    return found


def resolve_inside(folders: Sequence[Path], text: str) -> Path:
    """The file that a client means, symlinks resolved; it need not exist.

    Args:
        folders: from `allowed_folders`.
        text: absolute, or relative to one of them.

    Raises:
        NotAllowed: no folder is allowed, `..` in the path, or a file outside (also by a symlink).  The sentence is the
            same whether or not such a file exists, so that nobody can explore the disk.
    """
    if not folders:
        raise NotAllowed("this server opens no files; its operator can allow a folder with --slides DIR")
    outside = NotAllowed(
        f"{one_line(text)!r} is not inside a folder this server may open; they are {', '.join(map(str, folders))}"
    )
    parts = {*PurePosixPath(text).parts, *PureWindowsPath(text).parts}
    if not text or "\0" in text or ".." in parts or len(text) > LONGEST:
        raise outside
    inside = []
    for folder in folders:
        try:
            real = (folder / text).resolve()  # an absolute `text` replaces the folder
        except (OSError, RuntimeError, ValueError):
            continue
        if real.is_relative_to(folder):
            inside.append(real)
    for real in inside:
        if os.path.exists(real):  # False for a name too long for a file, too
            return real
    if inside:
        return inside[0]
    raise outside
