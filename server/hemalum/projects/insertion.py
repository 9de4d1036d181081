"""How the nuclei of a job get into a project: by a script that QuPath runs, or at once by paquo."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hemalum.files import commit_json, commit_text, read_json
from hemalum.jobs.manifest import Manifest

SCRIPT, INSERTED = "import_nuclei.groovy", "inserted.json"


def write_script(folder: Path, manifest: Manifest) -> Path:
    """A Groovy script that imports each image's GeoJSON.  `QuPath script -s -p project.qpproj <script>` runs it for
    all.

    Nuclei go under the annotations that contain them; those of an earlier import (same ids) are replaced, nothing else
    is touched.

    Raises:
        DiskFull: it cannot be written.
    """
    files = {known["entry"]: f"{known['stem']}.geojson" for known in manifest.inputs}
    table = ",\n".join(f"    {json.dumps(number)}: {groovy(name)}" for number, name in files.items())
    text = f"""// Imports the nuclei that Hemalum found.  Run it for all images of the project: \
Run > Run for project, or
//     QuPath script -s -p project.qpproj {SCRIPT}
import qupath.lib.io.PathIO

def folder = {groovy(str(folder.resolve()))}
def files = [
{table}
]
def name = files[getProjectEntry().getID()]
def file = name == null ? null : new File(folder, name)
if (file == null || !file.exists()) {{
    println "no nuclei for " + getProjectEntry().getImageName()
    return
}}
def nuclei = PathIO.readObjects(file.toPath())
def ids = nuclei.collect {{ it.getID() }} as Set
removeObjects(getDetectionObjects().findAll {{ it.getID() in ids }}, true)
getCurrentHierarchy().insertPathObjects(nuclei)
println getProjectEntry().getImageName() + ": " + nuclei.size() + " nuclei"
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


def groovy(text: str) -> str:
    """A string of Groovy."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
