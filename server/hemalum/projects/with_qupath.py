"""What only QuPath can do with a project, through paquo and a real QuPath: read what lies in `.qpdata`, and put nuclei
into it.

QuPath takes no lock.  So before an image's data is written it is copied beside itself, and it is not written if the
file changed after it was read.  Objects cross between Python and Java as GeoJSON files, one call an image: object by
object 100,000 would take an hour.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hemalum.errors import HemalumError, NotWritable, RunLost, UsageError
from hemalum.files import read_json
from hemalum.projects.replacing import RULE

NEEDS = (
    "install paquo with `pip install hemalum[projects]` and QuPath 0.6 or 0.7, and set PAQUO_QUPATH_DIR to QuPath's "
    "folder if it is not found"
)
COPY = ".before-hemalum"
CALL = """
def unsettled = com.google.gson.JsonParser.parseString(areas).collect { box -> box.collect { it.asDouble } }
def counts = Replacing.replace(hierarchy, nuclei, unsettled)
counts.put + ' nuclei in the project' + Replacing.left(counts)
"""


def found() -> bool:
    """Whether paquo and a QuPath are here; starts nothing."""
    if importlib.util.find_spec("paquo") is None:
        return False
    os.environ.setdefault("PAQUO_JAVA_OPTS", '["-XX:MaxRAMPercentage=50", "--enable-native-access=ALL-UNNAMED"]')
    from paquo._config import settings, to_kwargs
    from paquo.jpype_backend import find_qupath

    try:
        find_qupath(**to_kwargs(settings))
    except (ValueError, OSError):
        return False
    return True


def opened(path: Path, write: bool = False) -> Any:
    """The project as paquo has it, never to be used in a `with`: paquo would save every image on leaving, whoever
    changed it meanwhile.

    The first call starts Java, once a process.

    Raises:
        UsageError: paquo or QuPath is not there, or QuPath cannot read the project.
    """
    if not found():
        raise UsageError(f"this needs QuPath: {NEEDS}")
    try:
        from paquo.java import JClass
        from paquo.projects import QuPathProject

        # QuPath's log goes to standard output, which may be somebody's JSON; what matters arrives as an exception
        JClass("org.slf4j.LoggerFactory").getLogger("ROOT").setLevel(JClass("ch.qos.logback.classic.Level").OFF)
        project = QuPathProject(path, mode="r+" if write else "r")
    except Exception as error:  # Java's exceptions are of many kinds
        raise UsageError(f"QuPath cannot open {path} ({_first_line(error)}); open it in QuPath itself") from error
    return project


def counts(path: Path) -> dict[str, dict[str, int]]:
    """Of each image with data, by entry id: how many objects of each kind, and of each class of annotation."""
    result = {}
    project = opened(path)
    for image in project.images:
        if not image.java_object.hasImageData():
            continue
        hierarchy = image.java_object.readHierarchy()
        names = Counter(
            str(a.getPathClass()) if a.getPathClass() is not None else "no class"
            for a in hierarchy.getAnnotationObjects()
        )
        result[image.entry_id] = {
            "annotations": sum(names.values()),
            "detections": int(hierarchy.getDetectionObjects().size()),
            **names,
        }
    return result


def write_annotations(path: Path, folder: Path) -> dict[str, Path]:
    """Write all objects of each image that has data as GeoJSON into `folder`; returns the files by entry id.

    Objects are sorted by id, so that the same project gives the same files.
    """
    written = {}
    project = opened(path)
    from paquo.java import ArrayList, File, JClass, PathIO

    options = JClass("qupath.lib.io.PathIO$GeoJsonExportOptions")
    for image in project.images:
        if not image.java_object.hasImageData():
            continue
        hierarchy, objects = image.java_object.readHierarchy(), ArrayList()
        for found_objects in (hierarchy.getAnnotationObjects(), hierarchy.getDetectionObjects()):
            objects.addAll(found_objects)
        if objects.isEmpty():
            continue
        file = folder / f"{image.entry_id}.geojson"
        PathIO.exportObjectsAsGeoJSON(
            File(str(file)), objects, options.EXCLUDE_MEASUREMENTS, options.FEATURE_COLLECTION
        )
        content = json.loads(file.read_text(encoding="utf-8"))
        content["features"].sort(key=lambda feature: feature["id"])
        file.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
        written[image.entry_id] = file
    return written


def insert(
    path: Path,
    files: dict[str, Path],
    say: Callable[[str], Any] = print,
    before_save: Callable[[Path], Any] = lambda data: None,
) -> dict[str, str]:
    """Put the nuclei of GeoJSON files, by entry id, into a project's images.

    What that may touch: `hemalum.projects.replacing`.  One update and one save an image.

    Returns:
        by entry id, why an image was left as it is, beginning with its name.
    """
    failed = {}
    project = opened(path, write=True)
    for image in project.images:
        if image.entry_id not in files:
            continue
        try:
            say(f"{image.image_name}: {_insert(image, files[image.entry_id], before_save)}")
        except HemalumError as error:
            failed[image.entry_id] = f"{image.image_name}: {error}"
        except Exception as error:  # Java's
            failed[image.entry_id] = (
                f"{image.image_name}: QuPath could not take the nuclei in ({_first_line(error)}); use the script "
                "instead"
            )
    return failed


def _insert(image, file: Path, before_save) -> str:
    """Returns what was put in and what was left out, for a sentence."""
    from paquo.java import File, JClass, PathIO

    if not image.is_readable():
        raise UsageError("QuPath does not find its file, so nothing can be saved; let QuPath search for it")
    data = image.entry_path / "data.qpdata"
    read = _stamp(data)
    hierarchy = image.hierarchy.java_object
    nuclei = PathIO.readObjects(File(str(file)))
    record = read_json(file.with_name(f"{file.stem}.run.json")) or {}
    shell = JClass("groovy.lang.GroovyShell")()
    areas = json.dumps(record.get("failed_areas", []))
    for name, value in (("hierarchy", hierarchy), ("nuclei", nuclei), ("areas", areas)):
        shell.setVariable(name, value)
    said = str(shell.evaluate(RULE + CALL))
    if read is not None:
        _copy(data)
    before_save(data)
    if _stamp(data) != read:
        raise RunLost(
            "its data was changed by another program meanwhile, so it was not written over; close it in QuPath and "
            "run this again"
        )
    image.save()
    if _stamp(data) == read:
        raise NotWritable(f"{data} was not written; check its permissions")
    return said


def _stamp(data: Path) -> tuple[int, int, int] | None:
    try:
        state = data.stat()
    except FileNotFoundError:
        return None
    return state.st_mtime_ns, state.st_size, state.st_ino


def _copy(data: Path) -> Path:
    """A copy beside the file, under a name that is free."""
    number, target = 1, data.with_name(data.name + COPY)
    while target.exists():
        number += 1
        target = data.with_name(f"{data.name}{COPY}-{number}")
    try:
        shutil.copy2(data, target)
    except OSError as error:
        raise NotWritable(
            f"{data} cannot be copied before it is changed ({error.strerror}); check permissions and free space"
        ) from error
    return target


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
