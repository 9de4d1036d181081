"""The one place that writes beside and renames: files appear whole or not at all, also when the process or the machine
dies in between.

`commit` writes what is at hand, and tries again where a network folder vanished; `whole_file` and `PartFile` take what
comes bit by bit, or what a library writes itself.  File and folder are synced in each.

Unfinished files have names of their own, so that two processes never write into one; who writes one holds its lock,
and what a killed process left is removed by the next writer of the same file.

>>> import tempfile
>>> folder = tempfile.TemporaryDirectory()
>>> commit_json(Path(folder.name) / "a.json", {"tiles": 3})
>>> read_json(Path(folder.name) / "a.json"), [path.name for path in Path(folder.name).iterdir()]
({'tiles': 3}, ['a.json'])
>>> target = Path(folder.name) / "a.txt"
>>> with whole_file(target) as file:
...     _ = file.write(b"all of it")
...     target.exists()
False
>>> target.read_bytes()
b'all of it'
>>> with whole_file(target) as file:
...     _ = file.path().write_bytes(b"by a library that opens files itself")
>>> target.read_bytes()
b'by a library that opens files itself'
"""

from __future__ import annotations

import contextlib
import errno
import glob
import json
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from hemalum.errors import DiskFull, NotWritable, UsageError

WAITS = (0.5, 2.0, 8.0)  # s: a network folder that vanished is given this long to return
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def commit(path: Path, fill: Callable[[BinaryIO], Any], waits: tuple[float, ...] = WAITS) -> None:
    """Write, sync, rename, sync the folder.

    Args:
        fill: writes the content into the open binary file; called again where a try failed.
        waits: seconds before each further try; a full disk is not tried again.

    Raises:
        DiskFull: it could not be written; `path` is as it was before.
    """
    for wait in (*waits, None):
        unfinished = None
        try:
            unfinished, file = _unfinished(path)
            with file:
                fill(file)
                _sync(file)
                if os.name == "posix":  # under its lock, so that nobody takes it for a killed process's
                    move(unfinished, path)
            if os.name != "posix":  # Windows renames no open file
                move(unfinished, path)
            return
        except OSError as error:
            if unfinished is not None:
                with contextlib.suppress(OSError):  # the folder itself may be gone
                    unfinished.unlink(missing_ok=True)
            if wait is None or error.errno in FULL:
                raise lost(path, error) from error
            time.sleep(wait)


def commit_text(path: Path, text: str, waits: tuple[float, ...] = WAITS) -> None:
    """Commit a text as UTF-8; of a file name that is not UTF-8 each odd byte is written as `\\udc..`, which JSON reads.

    Raises:
        DiskFull: it could not be written.
    """
    content = text.encode("utf-8", "backslashreplace")
    commit(path, lambda file: file.write(content), waits)


def commit_json(path: Path, content: dict, waits: tuple[float, ...] = WAITS) -> None:
    """Commit a JSON file; what JSON does not know is written as `str` says it.  Raises `DiskFull`."""
    commit_text(path, json.dumps(content, indent=1, ensure_ascii=False, default=str), waits)


def read_json(path: Path) -> dict | None:
    """The content, or None where there is no such file.

    Raises:
        UsageError: it cannot be read or is no JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read ({error}); restore it or start a new job") from None
    if not isinstance(content, dict):
        raise UsageError(f"{path} is not a job's file; restore it or start a new job")
    return content


def move(finished: Path, target: Path) -> None:
    """Rename a file, or a folder where `target` is none yet, within one disk; it lasts over a power loss.  Raises
    `OSError`."""
    os.replace(finished, target)
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename last over a power loss, where the system can."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        pass  # some network file systems refuse to sync folders
    finally:
        os.close(handle)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _unfinished(target: Path) -> tuple[Path, BinaryIO]:
    """A new file beside the target that is nobody else's, open and locked; what killed processes left is removed.

    Raises:
        OSError: it cannot be made.
    """
    _sweep(target)
    while True:
        part = target.with_name(f"{target.name}.{secrets.token_hex(4)}.part")
        try:
            file = open(part, "xb")
        except FileExistsError:
            continue
        if _locked(file) and (sys.platform == "win32" or os.fstat(file.fileno()).st_nlink):
            return part, file
        file.close()  # a sweep came between


def _sweep(target: Path) -> None:
    """Remove unfinished files of a target that no living process holds."""
    for left in target.parent.glob(f"{glob.escape(target.name)}.????????.part"):
        with contextlib.suppress(OSError), open(left, "rb") as file:
            if sys.platform != "win32" and _locked(file, without=False):
                left.unlink()
        if sys.platform == "win32":  # which removes no open file
            with contextlib.suppress(OSError):
                left.unlink()


def _locked(file: BinaryIO, without: bool = True) -> bool:
    """Take the lock of an open file without waiting; `without`: what is said where the disk knows no locks."""
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return without
    return True


class PartFile:
    """A binary file beside its target that takes the target's place when it is complete.

    Attributes:
        target: what it becomes.  part: where it lies until then.

    Raises:
        NotWritable: it cannot be made.  DiskFull: there was no space left (the part file is removed).
    """

    def __init__(self, target: str | Path):
        self.target, self._synced = Path(target), False
        try:
            self.part, self._file = _unfinished(self.target)
        except OSError as error:
            raise NotWritable(
                f"{target} cannot be written ({error.strerror}); choose another folder with -o"
            ) from error

    def write(self, content) -> None:
        """Append bytes."""
        self._synced = False
        with self.guarded():
            self._file.write(content)

    @property
    def file(self) -> BinaryIO:
        """The open file, for a library that writes into one; to be used within `guarded`."""
        return self._file

    def path(self) -> Path:
        """The unfinished file, for a library that opens it by name; nothing is written through this object any more."""
        with self.guarded():
            self._file.flush()  # it stays open, since its lock ends with it
        return self.part

    def finish(self) -> None:
        """Sync: all of it is there but the name."""
        if not self._synced:
            with self.guarded():
                _sync(self._file)
        self._synced = True

    def commit(self) -> None:
        """Sync, rename, sync the folder."""
        self.finish()
        with self.guarded():
            if os.name == "posix":
                move(self.part, self.target)
                self._file.close()
            else:  # Windows renames no open file
                self._file.close()
                move(self.part, self.target)

    def abort(self) -> None:
        """Remove the unfinished file."""
        with contextlib.suppress(OSError):  # what could not be flushed is not wanted any more
            self._file.close()
        with contextlib.suppress(OSError):  # the folder itself may be gone
            self.part.unlink(missing_ok=True)

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """What writes into the file: an `OSError` in it removes the unfinished file and becomes `DiskFull`."""
        try:
            yield
        except OSError as error:
            self.abort()
            raise lost(self.target, error) from error


@contextmanager
def whole_file(target: str | Path) -> Iterator[PartFile]:
    """A `PartFile` that is committed at the end of the `with`, or removed by an error in it.

    Raises:
        NotWritable: it cannot be made.  DiskFull: an `OSError` arose in the `with` or at its end.
    """
    file = PartFile(target)
    try:
        with file.guarded():
            yield file
    except BaseException:
        file.abort()
        raise
    file.commit()


def lost(path: Path, error: OSError) -> DiskFull:
    """The error of ours for an `OSError` in mid-run."""
    if error.errno in FULL:
        return DiskFull(f"no space left for {path}; free some and run again (what was finished before is valid)")
    return DiskFull(f"{path} cannot be written any more ({error.strerror}); check the disk and run again")
