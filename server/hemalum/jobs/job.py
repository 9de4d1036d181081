"""A job: every input once, whatever happens in between.

A folder holds `job.json` (what is to do), the results, and `job.work/<stem>/` with `state.json` and the pieces of a
slide that is not finished.  A process may be killed at any moment: going on costs what was not committed, about a
second of work.
"""

from __future__ import annotations

import shutil
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from hemalum.errors import (
    HemalumError,
    NotWritable,
    PartlyFailed,
    RunLost,
    UnknownResolution,
    UnsupportedImage,
    UsageError,
    VersionMismatch,
)
from hemalum.files import commit_json, commit_text
from hemalum.jobs.manifest import NAME, Manifest
from hemalum.jobs.slide_run import run_slide
from hemalum.jobs.status import WORK, state, status
from hemalum.lock import NAME as LOCK
from hemalum.lock import Busy, JobLock, written_now
from hemalum.models import Model
from hemalum.runs.pipeline import Pipeline
from hemalum.runs.results import names_of, refuse_foreign, refuse_too_long

HOPELESS = (UnsupportedImage, UnknownResolution, UsageError)  # the next try would say the same
REPORT = ".error.txt"  # beside the results, of an error that nobody expected
PAUSE = 2.0  # s before a slide that failed is tried again where no other is left to do
PATIENCE = 600.0  # s that a folder of inputs may be away


class NothingUsable(UsageError):
    """No input of a job could be used."""


def begin(folder: str | Path, manifest: Manifest, overwrite: bool = False) -> None:
    """Write a new job's manifest.

    Args:
        overwrite: whether files of the results' names that no run of ours made may be replaced.

    Raises:
        UsageError: there is a job in the folder already, a file that would be replaced, or a name too long for results.
        NotWritable: the folder cannot be made.
    """
    folder = Path(folder)
    if (folder / NAME).exists():
        raise UsageError(
            f"{folder} holds a job already; go on with `hemalum job resume {folder}` or choose another folder"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / WORK).exists():  # of a job whose manifest was deleted
            shutil.rmtree(folder / WORK)
    except OSError as error:
        raise NotWritable(f"{folder} cannot be written ({error.strerror}); choose another folder with -o") from error
    check_results(folder, manifest.inputs, manifest.options["formats"], overwrite)
    manifest.write(folder)


def check_results(folder: Path, inputs: list[dict], formats: list[str], overwrite: bool = False) -> None:
    """Raises `UsageError` where results of these inputs would replace what no run of ours made, or have names that the
    disk does not take."""
    names = []
    for entry in inputs:
        names += names_of(entry["stem"], formats)
    if names:
        refuse_too_long(folder, names)
        refuse_foreign(folder, names, overwrite, [Path(entry["path"]) for entry in inputs])


def forget(folder: str | Path) -> None:
    """Leave only the results of a job."""
    folder = Path(folder)
    (folder / NAME).unlink(missing_ok=True)  # first: without it the rest says nothing
    shutil.rmtree(folder / WORK, ignore_errors=True)
    (folder / LOCK).unlink(missing_ok=True)


def work_on(
    folder: str | Path,
    say: Callable[[str], Any] = print,
    progress: Callable[[str], Any] | None = None,
    pause: float = PAUSE,
    compute: Any = None,
    warn: Callable[[str], Any] | None = None,
) -> dict:
    """Do what is left of a job; returns its `status`.

    Args:
        say: takes a sentence for each slide that is done.  warn: takes notices and what failed; by default `say`.
        progress: gives a context manager with a function for `Progress` events, from a slide's name.
        compute: a `hemalum.jobs.cluster.Cluster`; by default tiles are computed in this process.

    Raises:
        Busy: another process works on it, or writes one of its results.  NothingUsable: of all inputs.
        VersionMismatch: see `Manifest.find_model`; a worker has another model or version.
        DiskFull, RunLost: at once; what was committed stays.
        PartlyFailed: some slides were set aside or done in part.
    """
    folder = Path(folder)
    manifest = Manifest.read(folder)
    with JobLock(folder):
        model, options = manifest.find_model(), manifest.options
        todo = deque(entry for entry in manifest.inputs if not _finished(folder, entry["stem"]))
        refuse_written(folder, [entry["stem"] for entry in todo])
        if todo:
            with Pipeline(options["device"], options["threads"], options["precision"]) as pipeline:
                work = Pass(folder, manifest, model, pipeline, todo, say, warn or say, progress, pause, compute)
                work.all()
    found = status(folder)
    counts = found["counts"]
    if not counts["done"] and not counts["partly"]:
        raise NothingUsable(f"none of the {len(manifest.inputs)} inputs could be used; the reasons are above")
    if counts["partly"] or counts["set aside"]:
        raise PartlyFailed(
            f"{counts['set aside']} of {len(manifest.inputs)} slides were set aside, {counts['partly']} done in part, "
            "the rest is done; "
            f"`hemalum job resume {folder}` tries them again"
        )
    return found


def refuse_written(folder: Path, stems: list[str]) -> None:
    """Raises `Busy` where another run writes the results of one of these stems now."""
    others = set(written_now(folder)).intersection(stems)
    if others:
        raise Busy(
            f"{folder / min(others)} is being written by another run; wait for it, or choose another folder with -o"
        )


def _finished(folder: Path, name: str) -> bool:
    """Whether a slide is done and its results are still there."""
    known = state(folder, name)
    return known.get("status") == "done" and all((folder / output).is_file() for output in known.get("outputs", ()))


class Pass:
    """One way through the slides of a job that are left: one after the other, on a cluster some at once.  Arguments as
    of `work_on`."""

    def __init__(
        self,
        folder: Path,
        manifest: Manifest,
        model: Model,
        pipeline: Pipeline,
        todo: deque,
        say,
        warn,
        progress,
        pause,
        compute,
    ):
        self._folder, self._manifest, self._model, self._pipeline, self._todo = folder, manifest, model, pipeline, todo
        self._say, self._warn, self._progress, self._pause, self._compute = say, warn, progress, pause, compute
        self._tries: dict[str, int] = {}
        self._lock, self._broken = threading.Lock(), False

    def all(self) -> None:
        """Returns when every slide is done or set aside."""
        if self._compute is None:
            return self._some()
        with ThreadPoolExecutor(self._compute.abreast, thread_name_prefix="hemalum-slide") as pool:
            try:
                for ended in as_completed([pool.submit(self._some) for _ in range(pool._max_workers)]):
                    ended.result()
            except BaseException:
                self._broken = True
                self._compute.stop()
                raise

    def _some(self) -> None:
        while not self._broken:
            with self._lock:
                if not self._todo:
                    return
                entry = self._todo.popleft()
                tried = self._tries[entry["stem"]] = self._tries.get(entry["stem"], 0) + 1
                others = any(other["stem"] not in self._tries for other in self._todo)
            if tried > 1 and not others:
                time.sleep(self._pause)
            if not self._one(entry, tried):
                self._todo.append(entry)

    def _one(self, entry: dict, tried: int) -> bool:
        """Try one slide; True where it is not to be tried again."""
        name, tries = entry["stem"], self._manifest.tries
        path = self._folder / WORK / name
        path.mkdir(parents=True, exist_ok=True)
        self._wait_for_folder(entry)
        began = time.time()

        def opened(tiles: int) -> None:
            commit_json(path / "state.json", {"status": "running", "tries": tried, "tiles": tiles, "began": began})

        try:
            with self._progress(name) if self._progress else nullcontext(lambda event: None) as shown:
                outcome, content = run_slide(
                    entry,
                    self._manifest,
                    self._model,
                    self._pipeline,
                    self._folder,
                    path / "pieces",
                    shown,
                    opened,
                    self._compute,
                )
        except (RunLost, VersionMismatch):
            raise
        except Exception as error:  # one slide must not end a night
            reason = str(error)
            if not isinstance(error, HemalumError):
                report = self._folder / f"{name}{REPORT}"
                commit_text(report, traceback.format_exc())
                reason = f"{type(error).__name__}: {error}; please report {report}"
            last = tried >= tries or isinstance(error, HOPELESS)
            commit_json(
                path / "state.json", {"status": "set aside" if last else "failed", "tries": tried, "reason": reason}
            )
            self._warn(f"{name}: {'set aside' if last else 'will be tried again'} (try {tried} of {tries}): {reason}")
            return last
        (self._folder / f"{name}{REPORT}").unlink(missing_ok=True)  # of an earlier try
        partly = bool(outcome.summary.failed)
        now = {"status": "partly" if partly else "done", "tries": tried, "began": began, "ended": time.time()}
        commit_json(path / "state.json", {**now, **content})
        if not partly:  # of a slide done in part, going on computes only what failed
            shutil.rmtree(path / "pieces", ignore_errors=True)
        for sentence in outcome.sentences(name):
            self._warn(sentence)
        made = ", ".join(content["outputs"])
        self._say(
            f"{name}: {content['nuclei']} nuclei in {content['seconds']['total']:.1f} s → {made}"
            + (" (in part)" if partly else "")
        )
        return True

    def _wait_for_folder(self, entry: dict) -> None:
        """Where a file was there when the job began and now its whole folder is gone: a network folder may return."""
        folder = Path(entry["path"]).parent
        if entry["size"] is None or folder.is_dir():
            return
        self._warn(f"{entry['stem']}: {folder} is not there; waiting for it, {PATIENCE / 60:.0f} minutes at most")
        until = time.monotonic() + PATIENCE
        while not folder.is_dir() and time.monotonic() < until and not self._broken:
            time.sleep(min(1.0, self._pause))
