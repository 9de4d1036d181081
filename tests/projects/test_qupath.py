"""A project that QuPath 0.7 made, without QuPath everywhere, and with a real QuPath through paquo where
PAQUO_QUPATH_DIR is set."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from hemalum.projects import with_qupath
from hemalum.projects.plain import read_project

HERE = Path(__file__).parents[1]
MADE, IMAGES = HERE / "data" / "qupath_project", HERE / "data" / "nucls_sample" / "images"
SLIDE = HERE.parent / "server" / "hemalum" / "data" / "CMU-1-Small-Region.svs"
with_real = pytest.mark.skipif(
    not (os.environ.get("PAQUO_QUPATH_DIR") and with_qupath.found()),
    reason="PAQUO_QUPATH_DIR names no QuPath, or paquo is not installed",
)


@pytest.fixture
def project(tmp_path):
    """The project beside its images, as it lay when it was made."""
    shutil.copytree(MADE, tmp_path / "lab" / "project")
    (tmp_path / "lab" / "images").mkdir()
    for path in (IMAGES / "nucls_train_1.png", IMAGES / "nucls_train_10.png", SLIDE):
        shutil.copy(path, tmp_path / "lab" / "images")
    return tmp_path / "lab" / "project" / "project.qpproj"


def known_to_qupath(project: Path) -> Path:
    """QuPath itself asks the user where moved images are; this does what the user would do."""
    place = project.parents[1].as_uri().replace("file:///", "file:/")
    for path in (project, *project.parent.glob("data/*/server.json")):
        text = path.read_text(encoding="utf-8")
        path.write_text(
            text.replace("file:///data/lab", place.replace("file:/", "file:///")).replace("file:/data/lab", place),
            encoding="utf-8",
        )
    return project


def hemalum(*arguments, **environment):
    command = [sys.executable, "-m", "hemalum", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=900, env=os.environ | environment, check=False
    )


def test_a_project_of_qupath_is_understood_without_it(project):
    entries = {entry.name: entry for entry in read_project(project).entries}
    first, slide = entries["nucls_train_1.png"], entries["CMU-1-Small-Region.svs"]
    assert first.state == slide.state == "moved" and (first.mpp, first.size, first.metadata) == (
        0.25,
        (288, 260),
        {"patient": "1"},
    )
    assert first.objects == {"annotations": 1, "detections": 19} and first.has_data and abs(slide.mpp - 0.499) < 1e-3
    reasons = {"turned": "rotated (ROTATE_90)", "cropped": "crop", "deconvolved": "colour-deconvolved"}
    assert all(reason in entries[f"CMU-1-Small-Region.svs ({name})"].reason for name, reason in reasons.items())


def ring(x, y, side):
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]


def nuclei(path: Path, count: int, width: int, height: int, measurements: int = 2, model: int = 0) -> Path:
    """Squares of 3 px on a grid, as a file of ours has them; ids depend on the model."""
    across = int(np.ceil(np.sqrt(count * width / height)))
    features = []
    for i in range(count):
        x, y = (i % across + 0.1) * width / across, (i // across + 0.1) * height / (count / across + 1)
        measured = {f"m{m}": i / 7 + m for m in range(measurements)} | {"Hemalum: Probability": 0.9}
        properties = {"objectType": "detection", "metadata": {"hemalum.run": "a"}, "measurements": measured}
        geometry = {"type": "Polygon", "coordinates": [ring(x, y, 3)]}
        features.append(
            {
                "type": "Feature",
                "id": f"0000000{model}-0000-5000-8000-{i:012d}",
                "geometry": geometry,
                "properties": properties,
            }
        )
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")
    return path


def parents(project: Path, entry: str) -> Counter:
    """Read back by QuPath: what the detections of an image lie under."""
    image = next(image for image in with_qupath.opened(project).images if image.entry_id == entry)
    detections = image.java_object.readHierarchy().getDetectionObjects()
    return Counter("root" if d.getParent().isRootObject() else str(d.getParent().getPathClass()) for d in detections)


def of_image(project: Path, entry: str):
    image = next(image for image in with_qupath.opened(project).images if image.entry_id == entry)
    return image.java_object.readHierarchy().getDetectionObjects()


@with_real
def test_corrected_nuclei_stay_as_they_are_and_ours_are_replaced_not_doubled(project, tmp_path):
    known_to_qupath(project)
    data = project.parent / "data" / "1" / "data.qpdata"
    before, said = data.read_bytes(), []
    mine = {str(found.getID()) for found in of_image(project, "1")}
    first = nuclei(tmp_path / "first.geojson", 100, 288, 260)
    slide = nuclei(tmp_path / "slide.geojson", 60, 2220, 2967)
    assert with_qupath.insert(project, {"1": first, "3": slide}, said.append) == {}
    assert parents(project, "1") == {"Complete": 19}, "all of it was corrected by a person"
    assert {str(found.getID()) for found in of_image(project, "1")} == mine
    assert "nucls_train_1.png: 0 nuclei in the project, 100 left out in corrected regions" in said
    assert data.with_name("data.qpdata.before-hemalum").read_bytes() == before
    assert parents(project, "3") == {"root": 60}
    assert {str(found.getMetadata().get("hemalum.run")) for found in of_image(project, "3")} == {"a"}
    better = nuclei(tmp_path / "better.geojson", 50, 2220, 2967, model=1)
    assert with_qupath.insert(project, {"3": better}, said.append) == {}
    assert parents(project, "3") == {"root": 50}, "of a better model: other names, the same places"


@with_real
def test_data_that_another_program_changed_is_not_written_over(project, tmp_path):
    known_to_qupath(project)
    data = project.parent / "data" / "1" / "data.qpdata"

    def other_program(path: Path) -> None:
        path.write_bytes(path.read_bytes() + b" ")
        os.utime(path, ns=(1, 1))

    failed = with_qupath.insert(
        project, {"1": nuclei(tmp_path / "n.geojson", 5, 288, 260)}, lambda text: None, other_program
    )
    assert (
        "changed by another program" in failed["1"]
        and "nucls_train_1.png" in failed["1"]
        and data.stat().st_mtime_ns == 1
    )
    untouched = {path.name: path.read_bytes() for path in MADE.glob("data/2/*")}
    assert untouched == {
        path.name: path.read_bytes() for path in project.parent.glob("data/2/*") if path.name != "server.json"
    } | {"server.json": untouched["server.json"]}, "no other image is saved along"


@with_real
def test_a_hundred_thousand_nuclei_are_put_in_and_read_back(project, tmp_path):
    known_to_qupath(project)
    file = nuclei(tmp_path / "n.geojson", 100_000, 2220, 2967, measurements=20)
    with_qupath.opened(project)  # Java is started
    began, computed = time.monotonic(), time.process_time()
    assert with_qupath.insert(project, {"3": file}, lambda text: None) == {}
    print(
        f"100,000 nuclei in {time.monotonic() - began:.1f} s, {time.process_time() - computed:.1f} s of them computing"
    )
    assert parents(project, "3") == {"root": 100_000}


@with_real
def test_segment_puts_nuclei_into_the_project_and_export_reads_its_annotations(project, tmp_path, toy_models):
    known_to_qupath(project)
    done = hemalum("project", "segment", project, "--models", toy_models, "--model", "toy", "--device", "cpu")
    assert done.returncode == 3 and "nuclei in the project" in done.stdout and "colour-deconvolved" in done.stderr, (
        done.stdout + done.stderr
    )
    counted = json.loads(hemalum("project", "info", project, "--json", "--qupath").stdout)["images"]
    found = json.loads((project.parent / "hemalum" / "nucls_train_10.geojson").read_text(encoding="utf-8"))["features"]
    assert counted[1]["objects"] == {"annotations": 1, "detections": len(found), "no class": 1}
    again = hemalum("project", "segment", project)
    assert "nuclei in the project" not in again.stdout, "what lies there is not put in again"
    written = hemalum("project", "export", project, "-o", tmp_path / "set", "--patient-key", "patient", "--json")
    assert written.returncode == 2 and "has no metadata 'patient'" in written.stderr
    written = hemalum("project", "export", project, "-o", tmp_path / "set", "--json")
    report = json.loads(written.stdout)
    assert report["images"] == 1 and report["nuclei"] >= 19 and report["counts"]["complete regions"] == 1, (
        written.stderr
    )


@with_real
@pytest.mark.skipif(not os.environ.get("JAR"), reason="JAR names no extension of QuPath's")
def test_what_only_qupath_reads_is_streamed_by_its_extension(project, tmp_path, toy_models):
    """The rotated, the cropped and the deconvolved image, in a profile of its own with the extension in it."""
    from hemalum.projects.streamed import launcher

    known_to_qupath(project)
    extensions = tmp_path / "home" / "QuPath" / "v0.7" / "extensions"
    extensions.mkdir(parents=True)
    options = "project", "segment", project, "--models", toy_models, "--model", "toy", "--device", "cpu"
    profile = {"JAVA_TOOL_OPTIONS": f"-Duser.home={tmp_path / 'home'} -Djava.util.prefs.userRoot={tmp_path / 'home'}"}
    preferences = "qupath.lib.gui.prefs.PathPrefs"
    folder_of_extensions = (
        f"{preferences}.userPathProperty().set('{extensions.parent}'); {preferences}.savePreferences()"
    )
    subprocess.run([str(launcher()), "script", "-c", folder_of_extensions], env=os.environ | profile, check=True)
    without = hemalum(*options, **profile)
    assert without.returncode == 3 and "QuPath has no Hemalum extension" in without.stderr, without.stderr
    shutil.copy(os.environ["JAR"], extensions)
    done = hemalum(*options, **profile)
    folder = project.parent / "hemalum"
    assert done.returncode == 3 and "by QuPath" in done.stdout and "(deconvolved)" in done.stderr, (
        done.stdout + done.stderr
    )
    for entry, name, least in (
        ("4", "CMU-1-Small-Region.svs (turned)", 1000),
        ("5", "CMU-1-Small-Region.svs (cropped)", 1),
    ):
        features = json.loads((folder / f"{name}.geojson").read_text(encoding="utf-8"))["features"]
        assert sum(parents(project, entry).values()) == len(features) >= least
    again = hemalum(*options, **profile)
    assert "by QuPath" not in again.stdout, "what lies there is not done again"
