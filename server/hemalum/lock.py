"""One writer per folder, and one per result: locks of the operating system, which end with the process however that
dies, and say who holds them.

>>> import tempfile
>>> folder = tempfile.TemporaryDirectory()
>>> with JobLock(folder.name):
...     holder(folder.name)["pid"] == os.getpid()
True
>>> holder(folder.name) is None
True
>>> with ResultLock(folder.name, "slide"):
...     written_now(folder.name)
['slide']
>>> written_now(folder.name), os.listdir(folder.name)
([], ['job.lock'])
"""

from __future__ import annotations

import contextlib
import datetime
import getpass
import json
import os
import socket
import sys
import threading
import time
from pathlib import Path
from typing import BinaryIO

from hemalum.errors import NotWritable, UsageError

NAME = "job.lock"
RESULT = ".hemalum-lock"  # of one result: hidden, and gone when it is written
PATIENCE = 0.5  # s
FAR = 1 << 30  # Windows locks bytes and forbids reading them, so a byte far behind the text is locked


def _try(file, shared: bool = False) -> bool:
    """Take the lock of an open file without waiting; False where another process has it.

    Args:
        shared: only to see whether it can be had, of a file that is open for reading.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(FAR)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


class Busy(UsageError):
    """Another process works on this job, or writes this result."""


class JobLock:
    """Holds a job folder for this process; a context manager.

    Raises (on entering):
        Busy: another process holds it; the sentence names process, machine, user and start.
        NotWritable: the lock file cannot be made or locked.
    """

    def __init__(self, folder: str | Path):
        self._path = Path(folder) / NAME

    def __enter__(self) -> JobLock:
        try:
            self._file = open(self._path, "a+b")
        except OSError as error:
            raise NotWritable(
                f"{self._path} cannot be written ({error.strerror}); check the folder's permissions"
            ) from error
        try:
            taken = _patiently(self._file)
        except OSError as error:  # some network file systems know no locks
            self._file.close()
            raise NotWritable(
                f"{self._path} cannot be locked ({error.strerror}); put the job into a folder of another disk"
            ) from error
        if not taken:
            self._file.close()
            raise Busy(f"{self._path.parent} is being worked on by {_who(_read(self._path))}; wait for it or stop it")
        _sign(self._file)
        return self

    def __exit__(self, *_) -> None:
        self._file.close()


class ResultLock:
    """Holds the results of one name in a folder for this thread; a context manager, to be entered within itself.

    A disk that knows no locks is written without one: unfinished files have names of their own anyway.

    Raises (on entering):
        Busy: another run writes them; the sentence names process, machine, user and start.
        NotWritable: the lock file cannot be made.
    """

    _held: dict[Path, int] = {}  # by this process: the thread of each

    def __init__(self, folder: str | Path, stem: str):
        self._folder, self._stem = Path(folder), stem
        self._path = self._folder.resolve() / f".{stem}{RESULT}"
        self._file: BinaryIO | None = None

    def __enter__(self) -> ResultLock:
        if self._held.get(self._path) == threading.get_ident():
            return self
        while self._file is None:
            try:
                file = open(self._path, "a+b")
            except OSError as error:
                raise NotWritable(
                    f"{self._folder} cannot be written ({error.strerror}); choose another folder with -o"
                ) from error
            try:
                taken = _patiently(file)
            except OSError:
                taken = True
            if not taken:
                file.close()
                raise Busy(
                    f"{self._folder / self._stem} is being written by {_who(_read(self._path))}; wait for it, or "
                    "choose another folder with -o"
                )
            if _is_at(file, self._path):
                self._file = file
            else:  # who held it before has just removed it
                file.close()
        self._held[self._path] = threading.get_ident()
        _sign(self._file)
        return self

    def __exit__(self, *_) -> None:
        if self._file is None:
            return
        del self._held[self._path]
        if sys.platform == "win32":  # which removes no open file
            self._file.close()
        with contextlib.suppress(OSError):  # on Windows another run may have it already
            self._path.unlink()
        self._file.close()
        self._file = None


def written_now(folder: str | Path) -> list[str]:
    """Names of the results that runs are writing into a folder now."""
    stems = []
    for path in sorted(Path(folder).glob(f".*{RESULT}")):
        if _held(path):
            stems.append(path.name[1 : -len(RESULT)])
    return stems


def holder(folder: str | Path) -> dict | None:
    """Who works on a job now (pid, host, user, since), or None; nothing is written."""
    path = Path(folder) / NAME
    return _read(path) if _held(path) else None


def _held(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            return not _try(file, shared=True)
    except OSError:
        return False


def _patiently(file: BinaryIO) -> bool:
    """As `_try`, for half a second: who looks whether a lock is held takes it for an instant."""
    until = time.monotonic() + PATIENCE
    while not (taken := _try(file)) and time.monotonic() < until:
        time.sleep(0.05)
    return taken


def _is_at(file: BinaryIO, path: Path) -> bool:
    """Whether an open file is still the one of this path."""
    if sys.platform == "win32":
        return True
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def _sign(file: BinaryIO) -> None:
    """Say in a lock file who holds it."""
    now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    content = {"pid": os.getpid(), "host": socket.gethostname(), "user": _user(), "since": now}
    file.truncate(0)
    file.seek(0)
    file.write(json.dumps(content).encode())
    file.flush()


def _read(path: Path) -> dict:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):  # it is being written just now
        return {}


def _who(content: dict) -> str:
    if not content:
        return "another process"
    return "process {pid} of {user} on {host} since {since}".format(**content)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user without a name
        return "an unnamed user"
