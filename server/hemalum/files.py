"""Files that appear whole or not at all, also when the process or the machine dies in between.

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
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from hemalum.errors import DiskFull, NotWritable, UsageError

WAITS = (0.5, 2.0, 8.0)  # s: a network folder that vanished is given this long to return


def commit(path: Path, fill: Callable[[BinaryIO], Any], waits: tuple[float, ...] = WAITS, part: str = ".part") -> None:
    """Write, sync, rename, sync the folder.

    Args:
        fill: writes the content into the open binary file; called again where a try failed.
        waits: seconds before each further try; a full disk is not tried again.
        part: what the name of the unfinished file ends with.

    Raises:
        DiskFull: it could not be written; `path` is as it was before.
    """
    unfinished = path.with_name(path.name + part)
    for wait in (*waits, None):
        try:
            with open(unfinished, "wb") as file:
                fill(file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(unfinished, path)
            sync_folder(path.parent)
            return
        except OSError as error:
            try:
                unfinished.unlink(missing_ok=True)
            except OSError:
                pass                                            # the folder itself is gone
            if wait is None or error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise lost(path, error) from error
            time.sleep(wait)


def sync_folder(folder: Path) -> None:
    """Make a rename last over a power loss, where the system can."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        pass                                                    # some network file systems refuse to sync folders
    finally:
        os.close(handle)


def commit_json(path: Path, content: dict) -> None:
    """Commit a JSON file.  Raises `DiskFull`."""
    encoded = json.dumps(content, indent=1, ensure_ascii=False).encode("utf-8")
    commit(path, lambda file: file.write(encoded))


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


def write_record(path: str | Path, content: dict) -> None:
    """Write JSON in one step: readers see the old file or the whole new one.  Raises `OSError`."""
    path = Path(path)
    part = path.with_name(path.name + ".part")
    try:
        with open(part, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1, ensure_ascii=False, default=str)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
