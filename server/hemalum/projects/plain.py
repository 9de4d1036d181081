"""A QuPath project read without QuPath: `project.qpproj` and each image's server builder, as they are.

Annotations lie in `data/<id>/data.qpdata`, Java's own serialization, which only QuPath can read.

>>> inner = {"builderType": "uri", "uri": "file:/a.svs"}
>>> builder = {"builderType": "rotated", "rotation": "ROTATE_90", "builder": inner}
>>> understood(builder)                                                          # doctest: +NORMALIZE_WHITESPACE
Traceback (most recent call last):
hemalum.errors.UnsupportedImage: it is rotated (ROTATE_90) in the project; remove the rotation or run it from QuPath
with the extension
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from urllib.parse import unquote, urlsplit

from hemalum.errors import HemalumError, UnsupportedImage, UsageError, VersionMismatch

NEWEST, OLDEST = (0, 7), (0, 5)
BY_QUPATH = "run it from QuPath with the extension"
# what a builder of QuPath's does to pixels, where we do not do the same
REFUSED = {
    "cropped": "it is a crop of an image",
    "affine": "it is transformed (affine)",
    "channels": "its channels are joined from several images",
    "color": "its channels are transformed",
    "sparse": "it is put together from several images",
    "swapRedBlue": "its red and blue are swapped",
    "color_deconvolved": "it is a colour-deconvolved image",
    "reorderRGB": "its colours are in another order",
}
HARMLESS = ("--no-crop", "--series", "--name", "--classname", "--dims", "--order")


@dataclass
class Entry:
    """One image of a project.

    Attributes:
        id, name: as in QuPath.  path: the file, where it was found, or where it should be.
        state: "found", "moved" (found elsewhere than the project says), "missing", or "refused".
        reason: why it is refused or what is missing.
        mpp, size, series: what the project says, or None.
        metadata: the user's key–value pairs.  has_data: there is a .qpdata.
        by_qupath: refused here, but QuPath with the extension can do it.
        objects: number of "annotations" and "detections" when QuPath saved the data last; empty where it did not say.
    """

    id: str
    name: str
    path: Path | None
    state: str
    reason: str = ""
    mpp: float | None = None
    size: tuple[int, int] | None = None
    series: int | None = None
    metadata: dict = field(default_factory=dict)
    has_data: bool = False
    by_qupath: bool = False
    objects: dict[str, int] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        """`path` of an entry that was found."""
        assert self.path is not None, f"{self.name} is {self.state}: {self.reason}"
        return self.path

    def record(self) -> dict:
        """Plain values for `--json`."""
        return {**vars(self), "path": str(self.path) if self.path else None}


@dataclass
class Project:
    """A project's version, folder, entries, and sentences for the user."""

    path: Path
    version: str
    entries: list[Entry]
    notices: list[str]


def read_project(path: str | Path) -> Project:
    """Read `project.qpproj` (or the folder that holds it); nothing is written.

    Raises:
        UsageError: not a QuPath project, or it cannot be read.
        VersionMismatch: made by a newer QuPath than 0.7.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "project.qpproj"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{path} does not exist; give a QuPath project's project.qpproj") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}); check its permissions") from None
    except ValueError:
        raise UsageError(f"{path} is not a QuPath project; give a project.qpproj") from None
    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        raise UsageError(
            f"{path} is not a QuPath project: it lists no images; give a project.qpproj of QuPath 0.5 to 0.7"
        )
    version, notices = str(content.get("version", "")), []
    number = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if len(number) == 2 and number > NEWEST:
        raise VersionMismatch(
            f"{path} was made by QuPath {version}; projects of 0.5 to 0.7 can be read: update Hemalum"
        )
    if len(number) < 2 or number < OLDEST:
        notices.append(
            f"the project was made by QuPath {version or 'of unknown version'}; projects of 0.5 to 0.7 are known"
        )
    was = _file_of(content["uri"]) if content.get("uri") else None
    return Project(path, version, [_entry(image, path.parent, was) for image in content["images"]], notices)


def understood(builder: dict) -> tuple[dict, int | None]:
    """The innermost builder with a file, and its series.

    Raises:
        UnsupportedImage: something is done to the pixels that is not done here; says what.
    """
    kind = builder.get("builderType", "uri")
    if kind == "rotated":
        if builder.get("rotation") not in (None, "ROTATE_NONE"):
            raise UnsupportedImage(
                f"it is rotated ({builder['rotation']}) in the project; remove the rotation or {BY_QUPATH}"
            )
        return understood(builder.get("builder") or {})
    if kind == "pyramidize":  # further levels of the same pixels
        return understood(builder.get("builder") or {})
    if kind != "uri" or "uri" not in builder:
        raise UnsupportedImage(
            f"{REFUSED.get(kind, f'it has a server builder {kind!r} that is not known')}; {BY_QUPATH}"
        )
    arguments = [str(argument) for argument in builder.get("args") or []]
    unknown = [argument for argument in arguments if argument.startswith("--") and argument not in HARMLESS]
    if unknown or ("--order" in arguments and arguments[arguments.index("--order") + 1 :][:1] != ["RGB"]):
        raise UnsupportedImage(f"it is opened with {' '.join(arguments)}, which is not understood here; {BY_QUPATH}")
    series = arguments[arguments.index("--series") + 1 :][:1] if "--series" in arguments else []
    return builder, int(series[0]) if series and series[0].isdigit() else None


def _entry(image: dict, folder: Path, was: Path | None) -> Entry:
    name, number = str(image.get("imageName", "")), str(image.get("entryID", ""))
    data = folder / "data" / number
    entry = Entry(
        number, name, None, "refused", metadata=image.get("metadata") or {}, has_data=(data / "data.qpdata").is_file()
    )
    counts = (_json(data / "summary.json").get("hierarchy") or {}).get("objectTypeCounts") or {}
    entry.objects = {kind.lower(): int(counts[kind]) for kind in ("Annotations", "Detections") if kind in counts}
    builder = image.get("serverBuilder") or _json(data / "server.json")
    try:
        if not builder:
            raise UnsupportedImage("the project says nothing of its file; open the project in QuPath and save it")
        builder, entry.series = understood(builder)
        described = builder.get("metadata") or {}
        if described.get("isRGB") is False:
            raise UnsupportedImage("it is not an RGB image (fluorescence?); only H&E in RGB can be segmented")
        if described.get("width") and described.get("height"):
            entry.size = int(described["width"]), int(described["height"])
        entry.mpp = _mpp(described.get("pixelCalibration") or {})
        said = _file_of(builder["uri"])
        if said is None:
            raise UnsupportedImage(f"its pixels come from {builder['uri']}, not from a file; {BY_QUPATH}")
    except HemalumError as error:
        entry.reason = str(error)
        entry.by_qupath = entry.reason.endswith(BY_QUPATH)
        return entry
    entry.path, entry.state = _find(said, folder, was)
    if entry.state == "missing":
        entry.reason = f"{said} is not there; put it back or let QuPath search for it"
    return entry


def _json(path: Path) -> dict:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _mpp(calibration: dict) -> float | None:
    sides = [calibration.get(name) or {} for name in ("pixelWidth", "pixelHeight")]
    if any(
        side.get("unit") not in ("µm", "um", "μm") or not isinstance(side.get("value"), (int, float)) for side in sides
    ):
        return None
    width, height = (float(side["value"]) for side in sides)
    if width <= 0 or height <= 0:
        return None
    if abs(width / height - 1) > 0.01:
        raise UnsupportedImage(f"its pixels are not square ({width:g} × {height:g} µm); {BY_QUPATH}")
    return (width + height) / 2


def _file_of(uri: str) -> Path | None:
    """The path of a file URI, also one written on Windows; None for another scheme.

    >>> _file_of("file:/slides/a%20b.svs").name, _file_of("omero://x")
    ('a b.svs', None)
    """
    parts = urlsplit(str(uri))
    if parts.scheme not in ("file", ""):
        return None
    text = unquote(parts.path)
    if re.match(r"/[A-Za-z]:/", text):
        text = text[1:]
    return Path(f"//{parts.netloc}{text}" if parts.netloc and parts.netloc != "localhost" else text)


def _find(said: Path, folder: Path, was: Path | None) -> tuple[Path, str]:
    """Where the file is now: as said, moved along with the project, or of its name beside the project."""
    if said.is_file():
        return said, "found"
    places = []
    if was is not None:
        try:
            inside = PurePosixPath(said.as_posix()).relative_to(PurePosixPath(was.parent.as_posix()))
            places.append(folder / inside)
        except ValueError:
            # a file outside the project folder may have moved with a folder above both
            for up, there in zip(list(was.parent.parents)[:3], list(folder.resolve().parents)[:3], strict=False):
                if said.as_posix().startswith(up.as_posix().rstrip("/") + "/"):
                    places.append(there / said.as_posix()[len(up.as_posix().rstrip("/")) + 1 :])
                    break
    name = PureWindowsPath(said).name
    places += [folder / name, folder / "images" / name, folder.parent / name]
    for place in places:
        if place.is_file():
            return place, "moved"
    return said, "missing"
