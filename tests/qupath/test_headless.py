"""`QuPath script` with the extension: what a click does, what it records, and corrections."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import numpy as np
import shapely.geometry
from PIL import Image

HERE = Path(__file__).parent


def test_click_script_and_corrections_agree(qupath, beside, toy_server, discs):
    """Another extension that brings an older gRPC, protobuf and Guava lies beside ours."""
    result = qupath.script("-i", str(discs), str(HERE / "headless.groovy"), **toy_server)[-1]
    assert result["besides"] == ["io.grpc.Status", "com.google.protobuf.Message"]
    assert result["nuclei"] == 35 * 25
    assert result["events"] == 1
    flags = [
        "locked", "again", "whole", "restored", "recorded", "foreign", "editable",
        "corrected", "ids", "exported", "kept", "cells", "cellIds", "cellMeasured",
    ]
    assert {flag: result[flag] for flag in flags} == dict.fromkeys(flags, True)


def test_exported_regions_are_what_training_reads(qupath, toy_server, discs, tmp_path):
    project, out = tmp_path / "project", tmp_path / "regions"
    qupath.script("-a", str(project), "-a", str(discs), str(HERE / "project.groovy"))
    result = qupath.script(
        "-p", str(project / "project.qpproj"), "-a", str(out), str(HERE / "export.groovy"), **toy_server
    )[-1]
    assert result["regions"] == 1
    command = [
        sys.executable,
        "-m",
        "hemalum",
        "project",
        "export",
        str(out / "images.csv"),
        "-o",
        str(tmp_path / "set"),
    ]
    subprocess.run(command, check=True, capture_output=True)
    report = json.loads((tmp_path / "set" / "report.json").read_text())
    assert report["images"] >= 1 and report["nuclei"] == result["inside"]


def test_what_a_run_may_touch(qupath, toy_server, discs, stack, wide, tmp_path):
    """A person works on, corrects, drags files in during a run; nothing that is not the run's is lost or doubled."""
    script = HERE / "touch.groovy"
    file = tmp_path / "before.geojson"
    file.write_text(
        json.dumps(
            {
                "type": "FeatureCollection",
                "features": [before(x, y) for y in range(20, 1000, 40) for x in range(20, 1400, 40)],
            }
        )
    )
    result = qupath.script(
        "-i", str(discs), "-a", str(file), "-a", str(stack), "-a", str(wide), str(script), **toy_server
    )[-1]
    print(json.dumps(result, indent=1))
    nuclei = result["undo"][0]
    assert nuclei > 100 and result["undo"] == [nuclei, nuclei, nuclei, True] and result["undoAgain"]
    assert result["restored"] == [nuclei] * 3
    assert result["deleted"] == [nuclei, nuclei, True, 1] and result["reshaped"]
    assert result["brushed"] == [True, True, "edited"]
    assert len(result["corrected"]) == 5 and all(result["corrected"].values()) and result["older"]
    assert "corrected by hand" in result["onlyCorrected"] and "corrected by hand" in result["said"][0]
    assert result["correctedAgain"] and result["stillMarked"] == {"edited": 1, "added": 1}
    assert result["gland"] == [True, 0, 1]
    assert result["overlaps"] == 0 and result["cells"] == [1, 1] and result["density"]
    assert result["matrix"] == 6
    assert not any("region" in name for name in result["columns"]) and len(result["columns"]) >= 8
    assert "Cancelled" in result["cancelled"] and "not square" in result["flat"]
    assert result["cores"] == [[False, False, True], True] and result["coresAgain"] == [False, False, True]
    assert result["coreScript"] and "missing" in result["missing"]
    assert result["file"] == [875, True] and result["fileTwice"] == 875
    table = (HERE.parent / "cases" / "measurements.csv").read_text(encoding="utf-8").splitlines()[1:]
    known = {row.split(",")[0] for row in table}
    unknown = {
        name
        for name in result["measured"]
        if name not in known and not name.startswith(("Cell: ", "Cytoplasm: ", "Nucleus: Eosin: "))
    }
    assert not unknown and {"Nucleus: Hematoxylin: Mean", "Cell: Area µm^2", "Nucleus/Cell area ratio"} <= set(
        result["measured"]
    )
    earlier, later, stayed, fresh, failed, tiles = result["stopped"]
    assert (
        0 < failed < tiles
        and 0 < stayed < earlier
        and later == stayed + fresh
        and abs(later - earlier) <= 0.02 * earlier
    )
    assert [
        part
        for part, said in zip(["Select one", "no area", "outside the image"], result["refusals"], strict=True)
        if part in said
    ] == ["Select one", "no area", "outside the image"]
    assert len(set(result["planes"])) == 1 and result["planes"][0] > 100


def test_a_project_overnight(qupath, toy_server, discs, tmp_path):
    """Corrected nuclei, another stain, an image saved meanwhile, what is done; turned images keep their pixels."""
    project, out = tmp_path / "project", tmp_path / "regions"
    copy = shutil.copy(discs, tmp_path / "copy.png")
    qupath.script("-a", str(project), "-a", str(discs), "-a", str(copy), str(HERE / "project.groovy"))
    command = ("-p", str(project / "project.qpproj"), "-i", discs.name, "-a", str(out), str(HERE / "overnight.groovy"))
    result = qupath.script(*command, **toy_server)[-1]
    print(json.dumps(result, indent=1))
    states = [{name: row[0] for name, row in result[run].items()} for run in ("first", "again", "meanwhile")]
    assert states == [
        {"discs.png": "DONE", "copy.png": "LEFT"},
        {"discs.png": "SKIPPED", "copy.png": "DONE"},
        {"discs.png": "SKIPPED", "copy.png": "FAILED"},
    ]
    assert result["corrected"] and result["outside"] > 700 and "corrected by hand" in result["first"]["discs.png"][2]
    assert "saved by another program" in result["meanwhile"]["copy.png"][2] and result["kept"]
    assert result["export"]["regions"] == 2 and not result["export"]["left"]
    rows = list(csv.DictReader(result["export"]["rows"]))
    assert [len(row["identity"]) for row in rows] == [64, 0] and rows[0]["image"] == str(discs)
    seen = json.loads((out / rows[1]["annotations"]).read_text(encoding="utf-8"))["features"]
    pixels = np.asarray(Image.open(rows[1]["image"]))
    centres = [
        shapely.geometry.shape(f["geometry"]).centroid for f in seen if f["properties"]["objectType"] == "detection"
    ]
    assert len(centres) == result["export"]["nuclei"] > 20
    assert all(pixels[int(point.y), int(point.x), 0] < 150 for point in centres)  # every nucleus lies on a dark disc


def before(x: float, y: float) -> dict:
    """A nucleus as files of older versions have it."""
    ring = [[x - 8, y - 8], [x + 8, y - 8], [x + 8, y + 8], [x - 8, y + 8], [x - 8, y - 8]]
    properties = {"objectType": "detection", "measurements": {"Detection probability": 0.9}}
    name = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{x} {y}"))
    return {
        "type": "Feature",
        "id": name,
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": properties,
    }
