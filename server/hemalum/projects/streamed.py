"""Images that Python cannot read as a project has them, but QuPath can: QuPath segments them with Hemalum's extension,
without a window.

A script beside the results names the images; QuPath streams their pixels to a server, puts the nuclei into the project
and writes the GeoJSON.  What is written is not done again, so the script can be stopped and run once more.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from hemalum.client.child import local_server
from hemalum.errors import HemalumError, RunLost, ServerUnavailable
from hemalum.files import commit_text
from hemalum.projects.plain import Entry
from hemalum.projects.replacing import quoted
from hemalum.slides import open_slide

SCRIPT = "segment_in_qupath.groovy"
NO_EXTENSION = "unable to resolve class qupath.ext.hemalum"
SERVER, TOKEN = "HEMALUM_SERVER", "HEMALUM_TOKEN"

TEXT = """// Written by Hemalum: segments the images of a project that only QuPath can read, \
with Hemalum's extension.  Run it with
//     QuPath script {name}
// What has its GeoJSON in the folder below is not done again.
import java.awt.image.BufferedImage
import java.nio.file.Files
import java.nio.file.StandardCopyOption
import qupath.ext.hemalum.Hemalum
import qupath.lib.io.PathIO
import qupath.lib.projects.ProjectIO

def folder = new File({folder}).toPath()
def names = [
{table}
]
def project = ProjectIO.loadProject(new File({project}), BufferedImage)
def stamp = {{ path -> Files.exists(path) ? [Files.getLastModifiedTime(path), Files.size(path)] : null }}
for (entry in project.imageList.findAll {{ names.containsKey(it.ID) }}) {{
    def file = folder.resolve(names[entry.ID] + '.geojson'), part = folder.resolve(names[entry.ID] + '.geojson.part')
    if (Files.exists(file))
        continue
    def image = null
    try {{
        def stored = entry.entryPath.resolve('data.qpdata')
        def before = stamp(stored)
        image = entry.readImageData()
        def builder = Hemalum.builder(){options}
        if (System.getenv('{server}'))
            builder.server(System.getenv('{server}')).token(System.getenv('{token}'))
        def result = builder.build().segmentImage(image)
        def nuclei = image.hierarchy.detectionObjects.findAll {{ result.replaced.added.contains(it.ID) }}
        if (stamp(stored) != before)
            throw new IOException('its data was changed by another program meanwhile, \
so it was not written over; close it and run this again')
        if (before != null) {{
            def copy = stored.resolveSibling('data.qpdata.before-hemalum')
            for (int i = 2; Files.exists(copy); i++)
                copy = stored.resolveSibling('data.qpdata.before-hemalum-' + i)
            Files.copy(stored, copy)
        }}
        entry.saveImageData(image)
        PathIO.exportObjectsAsGeoJSON(part, nuclei, PathIO.GeoJsonExportOptions.FEATURE_COLLECTION)
        Files.move(part, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING)
        println 'HEMALUM ' + new com.google.gson.Gson().toJson([id: entry.ID, \
nuclei: nuclei.size(), failed: result.summary.failed().size()])
    }} catch (Throwable e) {{
        println 'HEMALUM ' + new com.google.gson.Gson().toJson([id: entry.ID, error: e.message ?: e.toString()])
    }} finally {{
        image?.close()
    }}
}}
"""


def readable(entry: Entry) -> bool:
    """Whether Python reads an image as the project has it; else the entry becomes "refused", for QuPath to do."""
    try:
        with open_slide(entry.file, entry.mpp, entry.series) as slide:
            slide.require_size(entry.size)
    except HemalumError as error:
        entry.state, entry.reason, entry.by_qupath = "refused", str(error), True
        return False
    return True


def write_script(folder: Path, project: Path, names: dict[str, str], options: dict, model: str) -> Path:
    """The script for images by entry id → name of their results.

    Args:
        options: of a job's manifest.  model: its id.

    Raises:
        DiskFull: it cannot be written.
    """
    chosen = {
        "model": model,
        "stain": options["stain"],
        "pixelSize": options["mpp"],
        "probability": options["foreground"],
        "minArea": options["min_area_um2"],
    }
    path = folder / SCRIPT
    text = TEXT.format(
        name=SCRIPT,
        folder=quoted(str(folder.resolve())),
        project=quoted(str(project.resolve())),
        server=SERVER,
        token=TOKEN,
        table=",\n".join(f"    {quoted(entry)}: {quoted(name)}" for entry, name in names.items()),
        options="".join(
            f".{name}({quoted(value) if isinstance(value, str) else value})"
            for name, value in chosen.items()
            if value is not None
        ),
    )
    commit_text(path, text, waits=())
    return path


def launcher() -> Path | None:
    """The program that starts QuPath, where paquo finds a QuPath."""
    from paquo._config import settings, to_kwargs
    from paquo.jpype_backend import find_qupath

    try:
        app = Path(find_qupath(**to_kwargs(settings))[0])
    except (ValueError, OSError):
        return None
    patterns = "../../bin/QuPath*", "../MacOS/QuPath*", "../QuPath*(console).exe", "../QuPath*.exe"
    return next((path for pattern in patterns for path in sorted(app.glob(pattern))), None)


def run(script: Path, names: dict[str, str], folders: list[str], say: Callable[[str], Any] = print) -> list[str]:
    """Run the script in QuPath with a server of this machine; returns a sentence for each image that failed.

    Args:
        names: as given to `write_script`.  folders: with further models.
    """
    program, log = launcher(), script.with_suffix(".log")
    if program is None:
        return [f"{name}: no program that starts QuPath was found; run {script} in QuPath" for name in names.values()]
    left = {entry: name for entry, name in names.items() if not (script.parent / f"{name}.geojson").exists()}
    failed, said = [], []
    with (
        _server(folders) as server,
        subprocess.Popen(
            [str(program), "script", str(script)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | server,
        ) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            if not line.startswith("HEMALUM "):
                said.append(line)
                continue
            told = json.loads(line.removeprefix("HEMALUM "))
            name = left.pop(told["id"])
            if "error" in told:
                failed.append(f"{name}: {told['error']}")
            elif told["failed"]:
                failed.append(
                    f"{name}: {told['nuclei']} nuclei, but {told['failed']} tiles failed; delete {name}.geojson to "
                    "run it again"
                )
            else:
                say(f"{name}: {told['nuclei']} nuclei in the project, by QuPath")
    log.write_text("".join(said), encoding="utf-8")
    why = (
        "QuPath has no Hemalum extension; drag its jar onto QuPath's window"
        if NO_EXTENSION in "".join(said)
        else "QuPath ended too early"
    )
    return failed + [f"{name}: {why}; more in {log}" for name in left.values()]


@contextmanager
def _server(folders: list[str]) -> Iterator[dict[str, str]]:
    """A server of this machine for as long as the context lasts, as environment of a client."""
    with ExitStack() as stack:
        try:
            port, token = stack.enter_context(local_server(folders))
        except ServerUnavailable:
            raise RunLost("a local server could not be started; `hemalum serve` says why") from None
        yield {SERVER: f"127.0.0.1:{port}", TOKEN: token}
