"""What every sink has in common: a file that appears whole or not at all.

>>> import tempfile
>>> folder = tempfile.TemporaryDirectory()
>>> target = Path(folder.name) / "a.txt"
>>> with whole_file(target) as file:
...     _ = file.write(b"all of it")
...     target.exists()
False
>>> target.read_bytes()
b'all of it'
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hemalum.errors import DiskFull, NotWritable
from hemalum.nuclei.nuclei import Nuclei


@dataclass(frozen=True)
class Target:
    """What a sink needs to know about the image.

    Attributes:
        width, height: level-0 px.  mpp: µm per level-0 px.
        region: x, y, width, height in level-0 px that label images cover; None = the whole image.
        model, identity: what nucleus ids derive from.
        columns: names of the measurements every write brings.
        picture: gives the picture an overlay is drawn on (uint8 h×w×3) and its downsample.
    """

    width: int
    height: int
    mpp: float
    model: str
    identity: str
    columns: tuple[str, ...] = ()
    region: tuple[int, int, int, int] | None = None
    picture: Callable | None = None


class Sink(Protocol):
    """An output that is written as nuclei become final.

    `write` in plan order, then `close`; or `abort`, which leaves nothing behind.  `paths` names the files that `close` made.
    """

    paths: list[Path]

    def write(self, nuclei: Nuclei, ids: list[str]) -> None: ...

    def close(self) -> None: ...

    def abort(self) -> None: ...


class PartFile:
    """A binary file beside its target that takes the target's place when it is complete.

    Raises:
        NotWritable: it cannot be made.  DiskFull: there was no space left (the part file is removed).
    """

    def __init__(self, target: Path):
        self.target, self.part = Path(target), Path(target).with_name(Path(target).name + ".part")
        try:
            self._file = open(self.part, "wb")
        except OSError as error:
            raise NotWritable(f"{self.target} cannot be written ({error.strerror}); choose another folder with -o") from error

    def write(self, content) -> None:
        with self.guarded():
            self._file.write(content)

    def commit(self) -> None:
        """Flush to the disk and rename."""
        with self.guarded():
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            os.replace(self.part, self.target)

    def abort(self) -> None:
        try:
            self._file.close()
        except OSError:
            pass  # what could not be flushed is not wanted any more
        self.part.unlink(missing_ok=True)

    @contextmanager
    def guarded(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.abort()
            raise lost(self.target, error) from error


def lost(path: Path, error: OSError) -> Exception:
    """The error of ours for an `OSError` in mid-run."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return DiskFull(f"no space left for {path}; free some and run again (what was finished before is valid)")
    return DiskFull(f"{path} cannot be written any more ({error.strerror}); check the disk and run again")


@contextmanager
def whole_file(target: Path) -> Iterator[PartFile]:
    """A `PartFile` that is committed at the end of the `with`, or removed by an error in it."""
    file = PartFile(target)
    try:
        yield file
    except BaseException:
        file.abort()
        raise
    file.commit()
