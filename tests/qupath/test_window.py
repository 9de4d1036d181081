"""QuPath's window under a virtual display, driven through its menus, dialogs and the mouse.

Pictures of it go to $HEMALUM_TEST_SHOTS.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import shapely.geometry

HERE = Path(__file__).parent


@pytest.fixture
def screen():
    """A display of 1400 × 900 px that nobody looks at."""
    if not shutil.which("Xvfb"):
        pytest.skip("no virtual display: install xvfb")
    number, write = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", "1400x900x24", "-nolisten", "tcp"],
        pass_fds=[write],
        stderr=subprocess.DEVNULL,
    )
    os.close(write)
    with os.fdopen(number) as answer:
        display = ":" + answer.readline().strip()
    # without a window manager no window is raised, and none is closed with the one that owns it
    manager = (
        subprocess.Popen(["openbox"], env=os.environ | {"DISPLAY": display}, stderr=subprocess.DEVNULL)
        if shutil.which("openbox")
        else None
    )
    yield display
    for process in filter(None, (manager, server)):
        process.terminate()
        process.wait(60)


@pytest.fixture
def window(qupath, slide, screen, tmp_path):
    """Starts QuPath's window with a project of the bundled slide and runs one of the scripts beside this file in it."""

    def start(script: str, *more: Path, image: Path = slide, **environment: str) -> subprocess.Popen:
        project = tmp_path / "project"
        named = [argument for path in (project, image, *more) for argument in ("-a", str(path))]
        qupath.script(*named, str(HERE / "project.groovy"))
        shots = Path(os.environ.get("HEMALUM_TEST_SHOTS") or tmp_path / "shots")
        shots.mkdir(parents=True, exist_ok=True)
        return qupath.start(
            "--quiet",
            options=f"-Dqupath.startup.script={HERE / script} -Dprism.order=sw"
            " -Dqupath.win.width=1380 -Dqupath.win.height=880"
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


def test_menu_dialog_nuclei_correct_done(window, qupath, toy_models):
    result = qupath.results(window("walk.groovy", HEMALUM_MODELS=str(toy_models)))[-1]
    say(result)
    assert result["nuclei"] > 500
    assert "Hemalum.builder()" in result["script"]
    assert result["again"] and result["brushed"] and result["drawn"] == 1
    assert result["reopened"] and result["idsKept"] and result["nothingLost"] and result["leftEditable"] == 0
    assert result["marks"] == {"edited": 1, "added": 1} and result["deletedNoted"]
    assert result["keysOfOurOwn"]
    assert result["generator"] and result["thumbnail"]


def test_click_script_project_and_command_line_agree(window, qupath, slide, tmp_path):
    """Equal pixels, equal nuclei, whoever asks."""
    copy = Path(shutil.copy(slide, tmp_path / "copy.svs"))
    click = qupath.results(window("click.groovy", copy))[-1]
    clicked = sorted(map(tuple, click["nuclei"]))
    assert len(clicked) > 500
    assert [sorted(map(tuple, image)) for image in click["project"]] == [clicked] * 2
    project, script = tmp_path / "another", tmp_path / "recorded.groovy"
    qupath.script("-a", str(project), "-a", str(slide), "-a", str(copy), str(HERE / "project.groovy"))
    script.write_text(click["script"] + DESCRIBE)
    images = qupath.script("-s", "-p", str(project / "project.qpproj"), str(script))
    assert [sorted(map(tuple, image["nuclei"])) for image in images] == [clicked] * 2
    command = [sys.executable, "-m", "hemalum", "segment", str(slide), "-o", str(tmp_path / "out")]
    subprocess.run(command, check=True, capture_output=True)
    features = json.loads((tmp_path / "out" / f"{slide.stem}.geojson").read_text())["features"]
    outlines = {feature["id"]: shapely.geometry.shape(feature["geometry"]) for feature in features}
    assert outlines.keys() == {name for name, *_ in clicked}
    for name, x, y, area in clicked:
        centre = outlines[name].centroid
        assert (x, y, area) == pytest.approx(
            (centre.x, centre.y, outlines[name].area), abs=1e-3
        )  # QuPath keeps 32-bit centres


DESCRIBE = """
println 'RESULT ' + new com.google.gson.Gson().toJson([nuclei: getDetectionObjects().collect {
    [it.ID.toString(), it.ROI.centroidX, it.ROI.centroidY, it.ROI.getArea()]
}])
"""


def test_figures(window, qupath, mosaic, slide):
    """Reading and sending, 200,000 nuclei at once, first nuclei after a click; people judge how fast: `pytest -s`."""
    command = [sys.executable, str(HERE / "swallow.py")]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        where = {"HEMALUM_TEST_SERVER": f"http://127.0.0.1:{server.stdout.readline().strip()}"}
        slides = os.pathsep.join(map(str, mosaic))
        result = qupath.results(window("figures.groovy", slide, image=mosaic[0], HEMALUM_TEST_SLIDES=slides, **where))[
            -1
        ]
    finally:
        server.stdin.close()
        server.wait(60)
    say(result)
    for run in (result["inserted"], result["replaced"]):
        assert (run["objects"], run["events"]) == (200_000, 1)


def test_an_image_closed_in_mid_run_keeps_its_nuclei(window, qupath, slide, tmp_path):
    other = Path(shutil.copy(slide, tmp_path / "other.svs"))
    result = qupath.results(window("closed.groovy", other))[-1]
    say(result)
    assert result["saved"] > 500 and "are saved in the project" in result["told"]
    assert result["unsaved"] == 0 and "were not kept" in result["warned"]


def test_a_person_goes_on_working(window, qupath, slide, tmp_path):
    other = Path(shutil.copy(slide, tmp_path / "other.svs"))
    result = qupath.results(window("person.groovy", other))[-1]
    say(result)
    said, nuclei, annotations, exchanged = result["undo"]
    assert f"{nuclei} nuclei" in said and nuclei > 100 and annotations == 1 and exchanged
    assert result["all"] > 500
    said, nuclei = result["stopped"]
    assert "Stopped" in said and "earlier nuclei stay" in said and nuclei > 0.9 * result["all"]
    assert result["checked"]
    showing, rows = result["list"]
    assert (
        showing
        and result["closed"]
        and [(row[0], row[1]) for row in rows] == [(slide.name, "DONE"), (other.name, "LEFT")]
    )
    assert "made for H&E" in rows[1][3]


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
