"""Sources of a training set from a project read without QuPath and the GeoJSON that QuPath exported.

>>> patient_of("P12_slide 3.svs", {}, None, r"^(P[0-9]+)_"), patient_of("x", {"case": "A7"}, "case", None)
('P12', 'A7')
"""

from __future__ import annotations

import csv
import io
import math
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hemalum.errors import UsageError
from hemalum.projects import with_qupath
from hemalum.projects.names import unique
from hemalum.projects.plain import Entry, Project, read_project

HOW = (
    f"annotations lie in QuPath's own .qpdata files, which only QuPath reads: {with_qupath.NEEDS}; or in QuPath run "
    "for the project "
    "`exportAllObjectsToGeoJson('DIR/' + getProjectEntry().getImageName() + '.geojson', 'FEATURE_COLLECTION')` and "
    "give --annotations DIR"
)


@dataclass(frozen=True)
class AnnotatedSlide:
    """One slide: its image, its GeoJSON, its patient ("" = the slide itself), µm/px or None, series, a name, and its
    size in QuPath or None."""

    image: Path
    annotations: Path
    patient: str = ""
    mpp: float | None = None
    series: int | None = None
    name: str = ""
    size: tuple[int, int] | None = None


def read_list(path: str | Path, pattern: str | None = None) -> list[AnnotatedSlide]:
    """Sources of a CSV with the columns image, annotations and, where wanted, patient, mpp; paths are relative to it.

    QuPath's *Export training regions* writes such a list, with name, width and height besides.

    Raises:
        UsageError: no such file or columns, or a number that is none; see also `patient_of`.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
        delimiter = delimiter_of(text)
        rows = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))
    except (OSError, ValueError, csv.Error) as error:
        raise UsageError(
            f"{path} cannot be read ({error}); give a CSV in UTF-8 with the columns image, annotations, patient, mpp"
        ) from None
    rows = [{(name or "").strip(): value for name, value in row.items() if isinstance(value, str)} for row in rows]
    rows = [row for row in rows if any(row.values())]
    if not rows or not {"image", "annotations"} <= set(rows[0]):
        said = ", ".join(rows[0]) if rows else "no rows"
        raise UsageError(
            f"{path} has no columns image and annotations ({said}); give a CSV with the columns image, annotations, "
            "patient, mpp, with commas or semicolons between"
        )
    return [_of_row(row, path, pattern) for row in rows]


def delimiter_of(text: str) -> str:
    """What stands between the columns: a comma, or what spreadsheets of other countries write.

    >>> delimiter_of("image;annotations;mpp"), delimiter_of("image,annotations"), delimiter_of("image\\tannotations")
    (';', ',', '\\t')
    """
    head = next((line for line in text.splitlines() if line.strip()), "")
    return max(",;\t", key=head.count)


def _of_row(row: dict[str, str], path: Path, pattern: str | None) -> AnnotatedSlide:
    row = {name: value.strip() for name, value in row.items()}
    if not row.get("image") or not row.get("annotations"):
        raise UsageError(f"{path}: a row names no image or no annotations; fill it in or remove the row")
    if "://" in row["image"]:
        raise UsageError(f"{path}: {row['image']} is not a file; only images in files can be exported")
    try:
        mpp = _number(row["mpp"]) if row.get("mpp") else None
        size = (int(row["width"]), int(row["height"])) if row.get("width") and row.get("height") else None
    except ValueError as error:
        raise UsageError(
            f"{path}: {error}; mpp is a number of µm per pixel, such as 0.25, width and height are pixels"
        ) from None
    patient = row.get("patient") or patient_of(row.get("name") or Path(row["image"]).name, {}, None, pattern)
    return AnnotatedSlide(path.parent / row["image"], path.parent / row["annotations"], patient, mpp, size=size)


def _number(text: str) -> float:
    """A number with a decimal point or comma; raises `ValueError`."""
    value = float(text.replace(",", ".") if text.count(",") == 1 and "." not in text else text)
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is no resolution")
    return value


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


@contextmanager
def sources_of(path: str | Path, folder: str | None, key: str | None = None, pattern: str | None = None,
               say: Callable[[str], Any] = lambda text: None) -> Iterator[list[AnnotatedSlide]]:  # fmt: skip
    """Sources of LIST.csv or of a project; see `read_list` and `from_project`.  A context manager.

    Without a folder the annotations are read by QuPath, where there is one, into files that last as long as the
    context.
    """
    if str(path).lower().endswith(".csv"):
        yield read_list(path, pattern)
        return
    project = read_project(path)
    if folder is not None or not with_qupath.found():
        yield from_project(project, folder, key, pattern, say)
        return
    with tempfile.TemporaryDirectory(prefix="hemalum-") as scratch:
        with_qupath.write_annotations(project.path, Path(scratch))
        yield from_project(project, scratch, key, pattern, say)


def from_project(
    project: Project,
    folder: str | None,
    key: str | None = None,
    pattern: str | None = None,
    say: Callable[[str], Any] = lambda text: None,
) -> list[AnnotatedSlide]:
    """One source for each image that has a GeoJSON in `folder`; says which have none or cannot be used.

    Raises:
        UsageError: no folder, or no image with annotations; see also `patient_of`.
    """
    if folder is None:
        raise UsageError(HOW)
    sources = []
    for entry, clean in zip(
        project.entries, unique([entry.name or entry.id for entry in project.entries]), strict=True
    ):
        found = _annotations(Path(folder), entry, clean)
        if entry.state not in ("found", "moved") or found is None:
            say(f"{entry.name}: left out: {entry.reason or 'it has no GeoJSON in ' + str(folder)}")
            continue
        sources.append(
            AnnotatedSlide(
                entry.file,
                found,
                patient_of(entry.name, entry.metadata, key, pattern),
                entry.mpp,
                entry.series,
                clean,
                entry.size,
            )
        )
    if not sources:
        raise UsageError(f"no image of {project.path} has annotations in {folder}; {HOW}")
    return sources


def _annotations(folder: Path, entry: Entry, clean: str) -> Path | None:
    by_name = [folder / f"{name}.geojson" for name in (entry.name, clean, entry.id)]
    by_extension = sorted(folder.glob(f"*-{entry.id}.geojson"))
    return next((path for path in (*by_name, *by_extension) if path.is_file()), None)
