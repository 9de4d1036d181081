"""One writer per folder: a lock of the operating system, which ends with the process however that dies, and says who
holds it.

>>> import tempfile
>>> folder = tempfile.TemporaryDirectory()
>>> with JobLock(folder.name):
...     holder(folder.name)["pid"] == os.getpid()
True
>>> holder(folder.name) is None
True
"""

from __future__ import annotations

import datetime
import getpass
import json
import os
import socket
import sys
import time
from pathlib import Path

from hemalum.errors import NotWritable, UsageError

NAME = "job.lock"
PATIENCE = 0.5  # s
FAR = 1 << 30  # Windows locks bytes and forbids reading them, so a byte far behind the text is locked


def _try(file) -> bool:
    """Take the lock of an open file without waiting; False where another process has it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(FAR)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


class Busy(UsageError):
    """Another process works on this job."""


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
        until = time.monotonic() + PATIENCE
        try:
            while not (taken := _try(self._file)) and time.monotonic() < until:
                time.sleep(0.05)  # `holder` of another process takes the lock for an instant
        except OSError as error:  # some network file systems know no locks
            self._file.close()
            raise NotWritable(
                f"{self._path} cannot be locked ({error.strerror}); put the job into a folder of another disk"
            ) from error
        if not taken:
            self._file.close()
            raise Busy(f"{self._path.parent} is being worked on by {_who(_read(self._path))}; wait for it or stop it")
        now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        content = {"pid": os.getpid(), "host": socket.gethostname(), "user": _user(), "since": now}
        self._file.truncate(0)
        self._file.seek(0)
        self._file.write(json.dumps(content).encode())
        self._file.flush()
        return self

    def __exit__(self, *_) -> None:
        self._file.close()


def holder(folder: str | Path) -> dict | None:
    """Who works on a job now (pid, host, user, since), or None."""
    path = Path(folder) / NAME
    try:
        with open(path, "rb+") as file:
            return None if _try(file) else _read(path)
    except OSError:
        return None


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
