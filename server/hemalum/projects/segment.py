"""Segment a project's images as a job beside it, and write the script with which QuPath takes the nuclei in.

>>> unique(["a.svs", "a.svs", "b/c", "a (2)", "a.svs (cropped)"])
['a', 'a (2)', 'b_c', 'a (2) (2)', 'a.svs (cropped)']
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from itertools import chain, count
from pathlib import Path
from typing import Any

from hemalum.files import commit_json, commit_text, read_json
from hemalum.jobs.manifest import Manifest, inputs_of
from hemalum.projects.plain import Entry

SCRIPT, INSERTED = "import_nuclei.groovy", "inserted.json"


def unique(names: list[str], taken: Iterable[str] = ()) -> list[str]:
    """File names for images: without an image's suffix and without what file systems refuse, numbered where they meet."""
    from hemalum.slides.inputs import SUFFIXES, stem

    used = {name.casefold() for name in taken}
    result = []
    for name in names:
        clean = re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", name)
        clean = (stem(clean) if Path(clean).suffix.lower() in SUFFIXES else clean).strip(" .") or "image"
        free = next(n for n in chain([clean], (f"{clean} ({i})" for i in count(2))) if n.casefold() not in used)
        used.add(free.casefold())
        result.append(free)
    return result


def add(manifest: Manifest, entries: list[Entry]) -> int:
    """Make inputs of those entries that are none yet, with what the project says of each; returns how many."""
    known = {described["entry"] for described in manifest.inputs}
    new = [entry for entry in entries if entry.id not in known]
    names = unique([entry.name or entry.path.name for entry in new], [described["stem"] for described in manifest.inputs])
    for described, entry, name in zip(inputs_of([entry.path for entry in new]), new, names, strict=True):
        project = {"stem": name, "entry": entry.id, "mpp": entry.mpp, "series": entry.series, "expected": entry.size}
        manifest.inputs.append(described | project)
    return len(new)


def write_script(folder: Path, manifest: Manifest) -> Path:
    """A Groovy script that imports each image's GeoJSON.  `QuPath script -s -p project.qpproj <script>` runs it for all.

    Nuclei go under the annotations that contain them; those of an earlier import (same ids) are replaced, nothing else is touched.

    Raises:
        DiskFull: it cannot be written.
    """
    files = {known["entry"]: f"{known['stem']}.geojson" for known in manifest.inputs}
    table = ",\n".join(f"    {json.dumps(number)}: {groovy(name)}" for number, name in files.items())
    text = f"""// Imports the nuclei that Hemalum found.  Run it for all images of the project: Run > Run for project, or
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
    """Put the nuclei of a job's finished images into the project by QuPath, unless the same were put in before; returns failures, a sentence each.

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
