"""QuPath's window under a virtual display, driven through its menus, dialogs and the mouse.  Pictures of it go to $HEMALUM_TEST_SHOTS."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture
def screen():
    """A display of 1400 × 900 px that nobody looks at."""
    if not shutil.which("Xvfb"):
        pytest.skip("no virtual display: install xvfb")
    number, write = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", "1400x900x24", "-nolisten", "tcp"], pass_fds=[write], stderr=subprocess.DEVNULL
    )
    os.close(write)
    with os.fdopen(number) as answer:
        yield ":" + answer.readline().strip()
    server.terminate()
    server.wait(60)


@pytest.fixture
def window(qupath, slide, screen, tmp_path):
    """Starts QuPath's window with a project of the bundled slide and runs one of the scripts beside this file in it."""

    def start(script: str, **environment: str) -> subprocess.Popen:
        project = tmp_path / "project"
        qupath.script("-a", str(project), "-a", str(slide), str(HERE / "project.groovy"))
        shots = Path(os.environ.get("HEMALUM_TEST_SHOTS") or tmp_path / "shots")
        shots.mkdir(parents=True, exist_ok=True)
        return qupath.start(
            "--quiet",
            options=f"-Dqupath.startup.script={HERE / script} -Dprism.order=sw -Dqupath.win.width=1380 -Dqupath.win.height=880"
            " -Dqupath.win.x=5 -Dqupath.win.y=5",
            DISPLAY=screen, HEMALUM_TEST_PROJECT=str(project / "project.qpproj"),
            HEMALUM_TEST_DIR=str(HERE), HEMALUM_TEST_SHOTS=str(shots), **environment,
        )  # fmt: skip

    return start


def test_from_a_fresh_qupath_to_nuclei(window, qupath, tmp_path):
    """The jar is dropped and QuPath started again; then: open a slide, Install server, Segment nuclei."""
    wheels = os.environ.get("HEMALUM_TEST_WHEELS")
    if not wheels:
        pytest.skip("no folder of wheels was named: make wheelhouse, then HEMALUM_TEST_WHEELS=wheelhouse")
    qupath.prefer(hemalum_server_environment=str(tmp_path / "server"))
    result = qupath.results(window("fresh.groovy", HEMALUM_TEST_WHEELS=str(Path(wheels).resolve())), timeout=3600)[-1]
    say(result)
    assert result["installed"] and result["nuclei"] > 500


def say(result: dict) -> None:
    """Figures for those who look: `pytest -s`."""
    print(json.dumps({key: value for key, value in result.items() if key != "described"}, indent=1))


def test_menu_dialog_nuclei_correct_done(window, qupath):
    result = qupath.results(window("walk.groovy"))[-1]
    say(result)
    assert result["nuclei"] > 500
    assert "Hemalum.builder()" in result["script"]
    assert result["again"] and result["brushed"] and result["drawn"] == 1
    assert result["reopened"] and result["idsKept"] and result["nothingLost"] and result["leftEditable"] == 0
    assert result["marks"] == {"edited": 1, "added": 1} and result["deletedNoted"]
    assert result["thumbnail"]


def test_server_killed_runs_cancelled_quit_in_mid_run(window, qupath):
    result = qupath.results(window("trouble.groovy"))[-1]
    say(result)
    assert "broke while it was working" in result["lost"]
    assert "were not segmented" in result["partly"]
    assert 0 < result["kept"] < result["all"]
    assert result["keptOnce"] and result["nothingDoubled"] and result["cancelled"]
    while alive(result["server"]):  # it notices the end of its input
        time.sleep(0.1)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z" if Path("/proc").is_dir() else True
