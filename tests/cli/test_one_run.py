"""A result belongs to one run: two at once, files of others, results among the images, runs that were killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from hemalum.lock import ResultLock, written_now

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="stops processes by signals")


def start(*arguments):
    command = [sys.executable, "-m", "hemalum", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process):
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def run(*arguments):
    return ended(start(*arguments))


@pytest.fixture
def options(toy_models, tmp_path):
    model = "--models", toy_models, "--model", "toy", "--device", "cpu", "--mpp", 0.5
    return *model, "--format", "geojson,labels,csv", "-o", tmp_path / "out"


@pytest.fixture
def large(toy_slide, tmp_path):
    """A slide of some seconds."""
    (tmp_path / "p1").mkdir()
    Image.fromarray(np.tile(np.asarray(Image.open(toy_slide)), (4, 4, 1))).save(tmp_path / "p1" / "slide.png")
    return tmp_path / "p1" / "slide.png"


def stopped_in_mid_run(arguments, folder):
    """A process that holds its results and sleeps."""
    process = start(*arguments)
    until = time.monotonic() + 60
    while not list(folder.glob("slide.csv.*.part")):
        assert process.poll() is None and time.monotonic() < until, ended(process)
        time.sleep(0.01)
    process.send_signal(signal.SIGSTOP)
    return process


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("second", ["segment", "several", "job"])
def test_the_second_of_two_runs_is_refused_and_the_first_is_whole(large, toy_slide, options, tmp_path, second):
    other = tmp_path / "p2" / "slide.tif"
    other.parent.mkdir()
    Image.open(toy_slide).save(other)
    Image.open(toy_slide).save(tmp_path / "more.png")
    first = stopped_in_mid_run(["segment", large, *options], tmp_path / "out")
    ways = {"segment": ["segment", other], "several": ["segment", other, tmp_path / "more.png"]}
    code, out, err = run(*ways.get(second, ["job", "run", other]), *options)
    first.send_signal(signal.SIGCONT)
    assert code == 2 and err.count("\n") == 1, err
    assert "slide" in err and "written by" in err and "wait for it" in err, err
    assert second != "segment" or f"process {first.pid} of" in err, err
    code, out, err = ended(first)
    assert code == 0, err
    record = json.loads((tmp_path / "out" / "slide.run.json").read_text())
    found = json.loads((tmp_path / "out" / "slide.geojson").read_text())["features"]
    lines = (tmp_path / "out" / "slide.csv").read_text().splitlines()
    assert record["image"]["file"].endswith("slide.png") and len(found) == record["counts"]["nuclei"] == len(lines) - 1
    assert [feature["id"] for feature in found] == [line.split(",")[0] for line in lines[1:]]


def test_a_run_is_refused_where_a_job_works_on_the_same_name(large, toy_slide, options, tmp_path):
    shutil.copy(toy_slide, tmp_path / "p1" / "a.png")
    first = stopped_in_mid_run(["job", "run", large, tmp_path / "p1" / "a.png", *options], tmp_path / "out")
    code, _, err = run("segment", toy_slide, *options)
    assert code == 0, err  # of another name
    code, _, err = run("segment", tmp_path / "p1" / "a.png", *options)
    first.kill()
    first.communicate()
    assert code == 2 and "job" in err and "another folder" in err, err


def test_a_killed_run_leaves_nothing_in_the_way(large, options, tmp_path):
    first = stopped_in_mid_run(["segment", large, *options], tmp_path / "out")
    first.kill()
    first.communicate()
    code, _, err = run("segment", large, *options)
    assert code == 0, err
    assert names(tmp_path / "out") == ["slide.csv", "slide.geojson", "slide.labels.png", "slide.run.json"]


def test_a_folder_says_what_is_written_in_it_now(tmp_path):
    with ResultLock(tmp_path, "a"), ResultLock(tmp_path, "b"), ResultLock(tmp_path, "a"):
        assert written_now(tmp_path) == ["a", "b"]
    assert written_now(tmp_path) == [] and not list(tmp_path.iterdir())
    (tmp_path / ".a.hemalum-lock").write_text("{}")  # of a run that was killed
    with ResultLock(tmp_path, "a"):
        assert written_now(tmp_path) == ["a"]


@pytest.mark.parametrize("way", ["segment", "several", "job"])
def test_a_file_that_no_run_made_is_not_replaced(toy_slide, options, tmp_path, way):
    out = tmp_path / "out"
    out.mkdir()
    (out / f"{toy_slide.stem}.csv").write_text("mine")
    inputs = [toy_slide]
    if way != "segment":
        Image.open(toy_slide).save(tmp_path / "b.png")
        inputs.append(tmp_path / "b.png")
    command = ["job", "run"] if way == "job" else ["segment"]
    code, _, err = run(*command, *inputs, *options)
    assert code == 2 and "--overwrite" in err and f"{toy_slide.stem}.csv" in err and err.count("\n") == 1, err
    assert names(out) == [f"{toy_slide.stem}.csv"] and (out / f"{toy_slide.stem}.csv").read_text() == "mine"
    code, _, err = run(*command, *inputs, *options, "--overwrite")
    assert code == 0 and (out / f"{toy_slide.stem}.csv").read_text(encoding="utf-8-sig").startswith("Object ID"), err
    if way != "job":
        assert run(*command, *inputs, *options)[0] == 0, "what a run of ours made is replaced without a question"


def test_results_of_two_commands_beside_each_other_stay_known(toy_slide, options, tmp_path):
    assert run("segment", toy_slide, *options)[0] == 0
    assert run("segment", toy_slide, *options[:-4], "--format", "overlay", *options[-2:])[0] == 0
    code, _, err = run("segment", toy_slide, *options)
    assert code == 0, err


def test_an_input_is_never_replaced_by_a_result(toy_slide, toy_models, tmp_path):
    shutil.copy(toy_slide, tmp_path / "a.png")
    shutil.copy(toy_slide, tmp_path / "a.labels.png")
    model = "--models", toy_models, "--model", "toy", "--device", "cpu", "--mpp", 0.5
    before = (tmp_path / "a.labels.png").read_bytes()
    code, _, err = run("segment", tmp_path, *model, "--format", "labels", "-o", tmp_path, "--overwrite")
    assert code == 2 and "is an input" in err and (tmp_path / "a.labels.png").read_bytes() == before, err


def test_results_beside_the_images_are_not_inputs(toy_slide, toy_models, tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    shutil.copy(toy_slide, own / "a.png")
    command = "segment", own, "-o", own, "--models", toy_models, "--model", "toy", "--device", "cpu", "--mpp", 0.5
    for _ in range(2):
        code, _, err = run(*command, "--format", "geojson,overlay,labels")
        assert code == 0, err
    made = ["a.geojson", "a.labels.png", "a.overlay.png", "a.png", "a.run.json"]
    assert names(own) == made
    shutil.copy(own / "a.overlay.png", tmp_path / "b.png")
    code, _, err = run("segment", own / "a.overlay.png", *command[2:])
    assert code == 0, "a file that is named is taken at its word"


def test_the_demo_twice_at_once(tmp_path):
    with ResultLock(tmp_path, "nuclei"):
        code, _, err = run("demo", "-o", tmp_path)
    assert code == 2 and f"process {os.getpid()}" in err and not list(tmp_path.glob("nuclei*")), err
