"""A project's images segmented as a job beside it: which of them, under which names, and how the nuclei get into the
project.

What Python reads is a job; what only QuPath reads is left to QuPath with Hemalum's extension.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hemalum.errors import PartlyFailed, UsageError
from hemalum.jobs.job import begin, check_results
from hemalum.jobs.manifest import NAME, Manifest, inputs_of
from hemalum.lock import JobLock
from hemalum.projects import streamed, with_qupath
from hemalum.projects.insertion import insert_new, write_script
from hemalum.projects.names import unique
from hemalum.projects.plain import Entry, Project

Say = Callable[[str], Any]  # takes a sentence for the user


@dataclass
class Images:
    """A project's images: `readable` here, `by_qupath`: by QuPath alone; `failed`: sentences on those that are not
    done."""

    readable: list[Entry]
    by_qupath: list[Entry]
    failed: list[str]


def segment(
    project: Project,
    folder: Path | None,
    insert: bool | None,
    *,
    overwrite: bool = False,
    new_manifest: Callable[[], Manifest],
    work: Callable[[Path], Any],
    say: Say,
    warn: Say,
) -> None:
    """Segment every image of a project, and bring the nuclei into it or write the scripts that do so.

    Args:
        folder: of the job; None: `hemalum` beside the project.
        insert: by QuPath, now; None: where QuPath and paquo are found.
        overwrite: whether files of the results' names that no run of ours made may be replaced.
        new_manifest: gives the manifest of a new job, without inputs.
        work: goes through the job in a folder; see `hemalum.jobs.job.work_on`.
        say, warn: take what was done, and what was not.

    Raises:
        UsageError: no image can be segmented.  PartlyFailed: some are not done.
        Whatever `new_manifest` and `work` raise.
    """
    if not project.entries:
        raise UsageError(f"{project.path} lists no images; add some in QuPath and save the project")
    folder = folder or project.path.parent / "hemalum"
    for notice in project.notices:
        warn(notice)
    insert = with_qupath.found() if insert is None else insert
    images = sort_images(project, insert, warn)
    failed = images.failed
    manifest = job_of(folder, images.readable, new_manifest, say, overwrite)
    script = write_script(folder, manifest)
    names = names_by_qupath(images.by_qupath, manifest)
    streaming = None
    if names:
        streaming = streamed.write_script(folder, project.path, names, manifest.options, manifest.model["id"])
    try:
        if manifest.inputs:
            work(folder)
    except PartlyFailed as error:
        _fail(str(error), failed, warn)
    finally:
        if insert:
            for sentence in insert_new(project.path, folder, manifest, say):
                _fail(sentence, failed, warn)
        elif manifest.inputs:
            say(f"to bring the nuclei into QuPath: QuPath script -s -p {project.path} {script}")
    if streaming is not None and insert:
        for sentence in streamed.run(streaming, names, [manifest.model["folder"]], say):
            _fail(sentence, failed, warn)
    elif streaming is not None:
        say(
            f"for the {len(names)} images that only QuPath reads, with its Hemalum extension: QuPath script {streaming}"
        )
    count = len(project.entries)
    if not manifest.inputs and not insert:
        raise UsageError(
            f"Python can segment none of the {count} images of {project.path}; QuPath can, with the script above"
        )
    if failed:
        raise PartlyFailed(f"not all of the {count} images are done, the rest is; the reasons are above")


def sort_images(project: Project, insert: bool, warn: Say) -> Images:
    """Who can segment which image; what is left out is said.

    Args:
        insert: whether QuPath is asked for its own images at once.

    Raises:
        UsageError: nobody can segment any.
    """
    images = Images([], [], [])
    for entry in project.entries:
        if entry.state in ("found", "moved") and streamed.readable(entry):
            images.readable.append(entry)
    images.by_qupath = [entry for entry in project.entries if entry.by_qupath]
    for entry in project.entries:
        if insert and entry.by_qupath:
            warn(f"{entry.name}: left to QuPath: {entry.reason}")
        elif entry not in images.readable:
            images.failed.append(entry.name)
            warn(f"{entry.name}: left out: {entry.reason}")
    if not images.readable and not images.by_qupath:
        count = len(project.entries)
        raise UsageError(f"none of the {count} images of {project.path} can be segmented; the reasons are above")
    return images


def job_of(
    folder: Path, entries: list[Entry], new_manifest: Callable[[], Manifest], say: Say, overwrite: bool = False
) -> Manifest:
    """The manifest of the job in a folder, begun or taken up, with all of these images; see `segment`."""
    if (folder / NAME).exists():
        manifest = Manifest.read(folder)
        say(f"going on with the job in {folder}, with the options it was begun with")
        if new := add(manifest, entries):
            with JobLock(folder):
                check_results(folder, manifest.inputs[-new:], manifest.options["formats"], overwrite)
                manifest.write(folder)
            say(f"images that joined the project since are done, too: {new}")
        return manifest
    manifest = new_manifest()
    if "geojson" not in manifest.options["formats"]:
        raise UsageError("a project needs the format geojson, which QuPath imports; add it to --format")
    add(manifest, entries)
    begin(folder, manifest, overwrite)
    return manifest


def add(manifest: Manifest, entries: list[Entry]) -> int:
    """Make inputs of those entries that are none yet, with what the project says of each; returns how many."""
    known = {described["entry"] for described in manifest.inputs}
    new = [entry for entry in entries if entry.id not in known]
    taken = [described["stem"] for described in manifest.inputs]
    names = unique([entry.name or entry.file.name for entry in new], taken)
    for described, entry, name in zip(inputs_of([entry.file for entry in new]), new, names, strict=True):
        project = {"stem": name, "entry": entry.id, "mpp": entry.mpp, "series": entry.series, "expected": entry.size}
        manifest.inputs.append(described | project)
    return len(new)


def names_by_qupath(entries: list[Entry], manifest: Manifest) -> dict[str, str]:
    """Entry id → name of the results that QuPath writes, other than those of the job."""
    taken = [described["stem"] for described in manifest.inputs]
    names = unique([entry.name for entry in entries], taken)
    return {entry.id: name for entry, name in zip(entries, names, strict=True)}


def _fail(sentence: str, failed: list[str], warn: Say) -> None:
    failed.append(sentence)
    warn(sentence)
