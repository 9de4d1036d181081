"""How the nuclei of a job get into a project: by a script that QuPath runs, or at once by paquo."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hemalum.files import commit_json, commit_text, read_json
from hemalum.jobs.manifest import Manifest
from hemalum.projects.replacing import RULE, quoted

SCRIPT, INSERTED = "import_nuclei.groovy", "inserted.json"


def write_script(folder: Path, manifest: Manifest) -> Path:
    """A Groovy script that imports each image's GeoJSON.  `QuPath script -s -p project.qpproj <script>` runs it for
    all.

    What it may touch: `hemalum.projects.replacing`.  An image that has all of its nuclei is left as it is.

    Raises:
        DiskFull: it cannot be written.
    """
    files = {known["entry"]: known["stem"] for known in manifest.inputs}
    table = ",\n".join(f"    {quoted(number)}: {quoted(name)}" for number, name in files.items())
    text = f"""// Imports the nuclei that Hemalum found.  Run it for all images of the project: \
Run > Run for project, or
//     QuPath script -s -p project.qpproj {SCRIPT}
import com.google.gson.JsonParser
import qupath.lib.io.PathIO
{RULE}
def folder = {quoted(str(folder.resolve()))}
def stems = [
{table or "    :"}
]
def stem = stems[getProjectEntry().getID()]
def file = stem == null ? null : new File(folder, stem + '.geojson')
if (file == null || !file.exists()) {{
    println "no nuclei for " + getProjectEntry().getImageName()
    return
}}
def nuclei = PathIO.readObjects(file.toPath())
def known = getDetectionObjects().collect {{ it.ID }} as HashSet
if (!nuclei.isEmpty() && nuclei.every {{ known.contains(it.ID) }}) {{
    println getProjectEntry().getImageName() + ": its " + nuclei.size() + " nuclei are there already"
    return
}}
def record = new File(folder, stem + '.run.json'), unsettled = []
if (record.exists())
    unsettled = JsonParser.parseString(record.getText('UTF-8')).asJsonObject.get('failed_areas')?.collect {{ box ->
        box.collect {{ it.asDouble }} }} ?: []
def counts = Replacing.replace(getCurrentHierarchy(), nuclei, unsettled)
println getProjectEntry().getImageName() + ": " + counts.put + " nuclei" + Replacing.left(counts)
"""
    path = folder / SCRIPT
    commit_text(path, text, waits=())
    return path


def insert_new(project: Path, folder: Path, manifest: Manifest, say: Callable[[str], Any] = print) -> list[str]:
    """Put the nuclei of a job's finished images into the project by QuPath, unless the same were put in before; returns
    failures, a sentence each.

    Raises:
        UsageError: paquo or QuPath is not there.
    """
    from hemalum.projects.with_qupath import insert

    record = read_json(folder / INSERTED) or {}
    files = {known["entry"]: folder / f"{known['stem']}.geojson" for known in manifest.inputs}
    sums = {entry: hashlib.sha256(file.read_bytes()).hexdigest() for entry, file in files.items() if file.is_file()}
    fresh = {entry: files[entry] for entry, digest in sums.items() if record.get(entry) != digest}
    failed = insert(project, fresh, say) if fresh else {}
    commit_json(folder / INSERTED, record | {entry: sums[entry] for entry in fresh if entry not in failed})
    return list(failed.values())
