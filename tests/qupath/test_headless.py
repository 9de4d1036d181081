"""`QuPath script` with the extension: what a click does, what it records, and corrections."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def test_click_script_and_corrections_agree(qupath, beside, toy_server, discs):
    """Another extension that brings an older gRPC, protobuf and Guava lies beside ours."""
    result = qupath.script("-i", str(discs), str(HERE / "headless.groovy"), **toy_server)[-1]
    assert result["besides"] == ["io.grpc.Status", "com.google.protobuf.Message"]
    assert result["nuclei"] == 35 * 25
    assert result["events"] == 1
    flags = "locked again whole restored recorded foreign editable corrected ids exported kept cells cellIds cellMeasured".split()
    assert {flag: result[flag] for flag in flags} == dict.fromkeys(flags, True)


def test_exported_regions_are_what_training_reads(qupath, toy_server, discs, tmp_path):
    project, out = tmp_path / "project", tmp_path / "regions"
    qupath.script("-a", str(project), "-a", str(discs), str(HERE / "project.groovy"))
    result = qupath.script("-p", str(project / "project.qpproj"), "-a", str(out), str(HERE / "export.groovy"), **toy_server)[-1]
    assert result["regions"] == 1
    command = [sys.executable, "-m", "hemalum", "project", "export", str(out / "images.csv"), "-o", str(tmp_path / "set")]
    subprocess.run(command, check=True, capture_output=True)
    report = json.loads((tmp_path / "set" / "report.json").read_text())
    assert report["images"] >= 1 and report["nuclei"] == result["inside"]
