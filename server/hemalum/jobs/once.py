"""A job that nobody asked for as one: several inputs of one command.  What is left of it when it has ended are the
results.

If it is stopped, the same command goes on, and so does `hemalum job resume`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hemalum.errors import PartlyFailed, RunLost, UsageError
from hemalum.jobs.job import NothingUsable, begin, forget
from hemalum.jobs.manifest import NAME, Manifest
from hemalum.jobs.status import status


def take_up(folder: Path, manifest: Manifest, say: Callable[[str], Any], overwrite: bool = False) -> None:
    """Begin the job, or go on with it where the same was begun in `folder`.

    Args:
        say: takes a sentence for the user where it goes on.
        overwrite: whether files of the results' names that no run of ours made may be replaced.

    Raises:
        UsageError: the job in the folder has other inputs or options; also as of `begin`.
        NotWritable, DiskFull: the folder cannot be written.
    """
    if not (folder / NAME).exists():
        begin(folder, manifest, overwrite)
    elif Manifest.read(folder).same(manifest):
        say(f"going on with the job in {folder}")
    else:
        raise UsageError(
            f"{folder} holds a job with other inputs or options; go on with it by `hemalum job resume {folder}`, "
            f"choose another folder, or delete {folder / NAME}"
        )


def finish(folder: Path, work: Callable[[], Any]) -> None:
    """Do the job, and forget it where it ended by its own judgement; whatever else ends it, it can be gone on with.

    Args:
        work: goes through the job; see `hemalum.jobs.job.work_on`.

    Raises:
        PartlyFailed: in the words of the command that was given.  Whatever else `work` raises.
    """
    try:
        work()
    except PartlyFailed:
        now = status(folder)
        counts, inputs = now["counts"], len(now["slides"])
        forget(folder)
        raise PartlyFailed(
            f"{counts['set aside']} of {inputs} inputs failed, {counts['partly']} more in part; the rest is done"
        ) from None
    except NothingUsable:
        forget(folder)
        raise
    except RunLost as error:
        raise type(error)(f"{error}; the same command goes on") from error
    forget(folder)


def records(folder: Path, manifest: Manifest) -> list[dict]:
    """The run records of the inputs that are done, in their order."""
    paths = [folder / f"{entry['stem']}.run.json" for entry in manifest.inputs]
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.exists()]
