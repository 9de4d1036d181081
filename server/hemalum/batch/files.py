"""Files of a job: each appears whole or not at all, also when the process or the machine dies in between.

>>> import tempfile
>>> folder = tempfile.TemporaryDirectory()
>>> commit_json(Path(folder.name) / "a.json", {"tiles": 3})
>>> read_json(Path(folder.name) / "a.json"), [path.name for path in Path(folder.name).iterdir()]
({'tiles': 3}, ['a.json'])
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from hemalum.errors import UsageError
from hemalum.sinks.base import lost

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
