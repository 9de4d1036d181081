"""Sources of a training set from a project read without QuPath and the GeoJSON that QuPath exported.

>>> patient_of("P12_slide 3.svs", {}, None, r"^(P[0-9]+)_"), patient_of("x", {"case": "A7"}, "case", None)
('P12', 'A7')
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hemalum.errors import UsageError
from hemalum.projects.export import Source
from hemalum.projects.plain import Entry, Project
from hemalum.projects.segment import unique

HOW = (
    "annotations lie in QuPath's own .qpdata files, which only QuPath reads; in QuPath run for the project "
    "`exportAllObjectsToGeoJson('DIR/' + getProjectEntry().getImageName() + '.geojson', 'FEATURE_COLLECTION')` and give --annotations DIR"
)


def patient_of(name: str, metadata: dict, key: str | None, pattern: str | None) -> str:
    """The patient of an image; "" where nothing is asked for, so that each slide stands for itself.

    Raises:
        UsageError: a key or pattern that gives no patient for this image, or a pattern that is none.
    """
    if key is not None:
        if not metadata.get(key):
            raise UsageError(f"{name} has no metadata {key!r}; add it in QuPath or use --patient-pattern")
        return str(metadata[key])
    if pattern is None:
        return ""
    try:
        found = re.search(pattern, name)
    except re.error as error:
        raise UsageError(f"--patient-pattern {pattern!r} is no regular expression ({error})") from None
    if found is None:
        raise UsageError(f"--patient-pattern {pattern!r} does not match {name}; change the pattern or rename the image")
    return found.group(1) if found.groups() else found.group(0)


def from_project(
    project: Project, folder: str | None, key: str | None = None, pattern: str | None = None, say: Callable[[str], Any] = lambda text: None
) -> list[Source]:
    """One source for each image that has a GeoJSON in `folder`; says which have none or cannot be used.

    Raises:
        UsageError: no folder, or no image with annotations; see also `patient_of`.
    """
    if folder is None:
        raise UsageError(HOW)
    sources = []
    for entry, clean in zip(project.entries, unique([entry.name or entry.id for entry in project.entries]), strict=True):
        found = _annotations(Path(folder), entry, clean)
        if entry.state not in ("found", "moved") or found is None:
            say(f"{entry.name}: left out: {entry.reason or 'it has no GeoJSON in ' + str(folder)}")
            continue
        sources.append(Source(entry.path, found, patient_of(entry.name, entry.metadata, key, pattern), entry.mpp, entry.series, clean))
    if not sources:
        raise UsageError(f"no image of {project.path} has annotations in {folder}; {HOW}")
    return sources


def _annotations(folder: Path, entry: Entry, clean: str) -> Path | None:
    names = (f"{entry.name}.geojson", f"{clean}.geojson")
    return next((folder / name for name in names if (folder / name).is_file()), None)
