"""Projects without QuPath: what is listed, found, refused and segmented.

The projects here are written by the test in the form of QuPath's JSON (builder types as its `ImageServers` registers
them).
"""

import json
import os
import subprocess
import sys

import pytest

from hemalum.errors import UsageError, VersionMismatch
from hemalum.projects.plain import read_project


def builder(path, width=700, height=660, mpp=0.5, **more):
    side = {"value": mpp, "unit": "µm"}
    calibration = {"pixelWidth": side, "pixelHeight": side}
    metadata = {"name": path.name, "width": width, "height": height, "isRGB": True, "pixelCalibration": calibration}
    return {
        "builderType": "uri",
        "providerClassName": "x",
        "uri": path.as_uri(),
        "args": [],
        "metadata": metadata,
        **more,
    }


def write(folder, images, version="0.7.0", uri=None):
    folder.mkdir(exist_ok=True)
    entries = [
        {"serverBuilder": b, "entryID": i + 1, "imageName": n, "metadata": {}} for i, (n, b) in enumerate(images)
    ]
    path = folder / "project.qpproj"
    content = {"version": version, "uri": uri or path.as_uri(), "lastID": len(entries), "images": entries}
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def hemalum(*arguments):
    command = [sys.executable, "-m", "hemalum", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_builders_are_honoured_or_refused_by_name(tmp_path, toy_slide):
    inner = builder(toy_slide)
    rgb = {**inner["metadata"], "isRGB": False}
    cases = {
        "plain": (inner, "found", ""),
        "unrotated": ({"builderType": "rotated", "rotation": "ROTATE_NONE", "builder": inner}, "found", ""),
        "pyramid": ({"builderType": "pyramidize", "builder": inner}, "found", ""),
        "series": (builder(toy_slide, args=["--series", "2"]), "found", ""),
        "turned": ({"builderType": "rotated", "rotation": "ROTATE_180", "builder": inner}, "refused", "ROTATE_180"),
        "crop": ({"builderType": "cropped", "region": {}, "builder": inner}, "refused", "crop"),
        "affine": ({"builderType": "affine", "builder": inner}, "refused", "affine"),
        "new": ({"builderType": "hologram"}, "refused", "hologram"),
        "blue": ({"builderType": "swapRedBlue", "builder": inner}, "refused", "swapped"),
        "bgr": (builder(toy_slide, args=["--order", "BGR"]), "refused", "BGR"),
        "odd": (builder(toy_slide, args=["--surprise"]), "refused", "--surprise"),
        "remote": (builder(toy_slide, uri="https://omero.example/1"), "refused", "not from a file"),
        "fluorescence": ({**inner, "metadata": rgb}, "refused", "not an RGB"),
        "gone": (builder(tmp_path / "gone.svs"), "missing", "gone.svs"),
    }
    project = read_project(write(tmp_path / "p", [(name, b) for name, (b, _, _) in cases.items()]))
    for entry in project.entries:
        _, state, reason = cases[entry.name]
        assert entry.state == state and reason in entry.reason, entry
    assert project.entries[0].mpp == 0.5 and project.entries[0].size == (700, 660)
    assert next(e for e in project.entries if e.name == "series").series == 2


def test_files_that_moved_with_the_project_are_found(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    (new / "slides").mkdir(parents=True)
    (new / "slides" / "a.png").write_bytes(b"x")
    images = [("a", builder(old / "slides" / "a.png"))]
    project = read_project(write(new, images, uri=(old / "project.qpproj").as_uri()))
    assert project.entries[0].state == "moved" and project.entries[0].path == new / "slides" / "a.png"


def test_what_is_no_project_or_too_new_is_refused(tmp_path):
    with pytest.raises(VersionMismatch, match="0.9.1"):
        read_project(write(tmp_path / "p", [], "0.9.1"))
    assert read_project(write(tmp_path / "p", [], "0.4.3")).notices
    empty = hemalum("project", "segment", tmp_path / "p")
    assert empty.returncode == 2 and "lists no images" in empty.stderr
    for text in ("no json", "[]", '{"a": 1}'):
        (tmp_path / "x.qpproj").write_text(text)
        with pytest.raises(UsageError, match="not a QuPath project"):
            read_project(tmp_path / "x.qpproj")
    with pytest.raises(UsageError, match="does not exist"):
        read_project(tmp_path / "absent.qpproj")


def test_info_of_a_hundred_images_computes_less_than_three_seconds(tmp_path, toy_slide):
    path = write(tmp_path / "p", [(f"image {i}", builder(toy_slide)) for i in range(100)])
    before = os.times()
    done = hemalum("project", "info", path, "--json")
    after = os.times()
    assert after.children_user + after.children_system - before.children_user - before.children_system < 3
    assert [image["state"] for image in json.loads(done.stdout)["images"]] == ["found"] * 100


def test_a_project_is_segmented_and_left_as_it_was(tmp_path, toy_slide, toy_models):
    path = write(
        tmp_path / "p",
        [
            ("tissue.png", builder(toy_slide)),
            ("tissue.png", builder(toy_slide)),
            ("wrong size", builder(toy_slide, width=600)),
            ("gone", builder(tmp_path / "gone.svs")),
            ("turned", {"builderType": "rotated", "rotation": "ROTATE_90", "builder": builder(toy_slide)}),
        ],
    )
    before = path.read_bytes()
    done = hemalum("project", "segment", path, "--models", toy_models, "--model", "toy", "--device", "cpu")
    assert done.returncode == 3 and "gone.svs is not there" in done.stderr and "700×660" in done.stderr, done.stderr
    folder = tmp_path / "p" / "hemalum"
    assert path.read_bytes() == before and sorted(p.name for p in path.parent.iterdir()) == [
        "hemalum",
        "project.qpproj",
    ]
    features = json.loads((folder / "tissue.geojson").read_text(encoding="utf-8"))["features"]
    assert (
        len(features) > 400 and (folder / "tissue (2).geojson").read_bytes() == (folder / "tissue.geojson").read_bytes()
    )
    assert (
        json.loads((folder / "tissue.run.json").read_text(encoding="utf-8"))["image"]["mpp_source"] == "QuPath project"
    )
    script = (folder / "import_nuclei.groovy").read_text(encoding="utf-8")
    assert "'2': 'tissue (2)'" in script
    others = (folder / "segment_in_qupath.groovy").read_text(encoding="utf-8")
    assert "'3': 'wrong size'" in others and "'5': 'turned'" in others and "segment_in_qupath.groovy" in done.stdout
    content = json.loads(path.read_text(encoding="utf-8"))
    content["images"].append(
        {"serverBuilder": builder(toy_slide), "entryID": 6, "imageName": "tissue.png", "metadata": {}}
    )
    path.write_text(json.dumps(content), encoding="utf-8")
    again = hemalum("project", "segment", path)
    assert (
        again.returncode == 3
        and "going on with the job" in again.stdout
        and "joined the project since are done, too: 1" in again.stdout
    )
    assert "tissue (3): 736 nuclei" in again.stdout and "tissue: 736" not in again.stdout, again.stdout


def test_a_project_that_only_qupath_reads_is_not_said_to_be_done_in_part(tmp_path, toy_slide, toy_models):
    path = write(
        tmp_path / "p", [("turned", {"builderType": "rotated", "rotation": "ROTATE_90", "builder": builder(toy_slide)})]
    )
    done = hemalum("project", "segment", path, "--models", toy_models, "--model", "toy", "--device", "cpu")
    assert (
        done.returncode == 2
        and "Python can segment none of the 1 images" in done.stderr
        and "segment_in_qupath.groovy" in done.stdout
    )
    assert "to bring the nuclei" not in done.stdout


def test_a_project_with_exported_annotations_becomes_a_training_set(tmp_path, toy_slide):
    path = write(tmp_path / "p", [("P1_a", builder(toy_slide)), ("P2_b", builder(toy_slide))])
    ring = [[50, 50], [350, 50], [350, 350], [50, 350], [50, 50]]
    properties = {"objectType": "annotation", "classification": {"name": "Complete"}}
    region = {"geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": properties}
    (tmp_path / "g").mkdir()
    (tmp_path / "g" / "P1_a.geojson").write_text(json.dumps([region]))
    options = path, "-o", tmp_path / "set"
    without = hemalum("project", "export", *options)
    assert without.returncode == 2 and ".qpdata" in without.stderr
    done = hemalum(
        "project",
        "export",
        *options,
        "--annotations",
        tmp_path / "g",
        "--mpp",
        0.5,
        "--patient-pattern",
        "^(P[0-9])",
        "--json",
    )
    assert done.returncode == 0 and "P2_b: left out" in done.stderr, done.stderr
    assert json.loads(done.stdout)["images"] == 1 and (tmp_path / "set" / "manifest.csv").exists()
    again = hemalum("project", "export", *options, "--annotations", tmp_path / "g")
    assert again.returncode == 2 and "exists" in again.stderr
