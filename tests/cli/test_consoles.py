"""Any name, any console: no sentence ends a run, and what a disk does not take is said before the first tile."""

import json
import os
import subprocess
import sys

import pytest
from PIL import Image

C = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
posix = pytest.mark.skipif(sys.platform == "win32", reason="names of bytes are POSIX's")


def run(*arguments, **env):
    command = [os.fsencode(str(part)) if not isinstance(part, bytes) else part for part in arguments]
    command = [sys.executable.encode(), b"-m", b"hemalum", *command]
    return subprocess.run(command, capture_output=True, timeout=120, env={**os.environ, **env}, check=False)


@pytest.fixture
def options(toy_models, tmp_path):
    return "--models", toy_models, "--model", "toy", "--device", "cpu", "--mpp", 0.5, "-o", tmp_path / "out"


@pytest.mark.parametrize(
    "env, way",
    [({"PYTHONIOENCODING": "cp1252"}, "segment"), ({"PYTHONIOENCODING": "cp437:strict"}, "json"), (C, "job")],
    ids=str,
)
def test_what_a_console_cannot_show_ends_no_run(toy_slide, options, tmp_path, env, way):
    folder = tmp_path / "Zürich → 東京"
    folder.mkdir()
    for name in ("a.png", "Gewebe_ä→東.png"):
        Image.open(toy_slide).save(folder / name)
    command = ["job", "run"] if way == "job" else ["segment"]
    done = run(*command, folder, *options, *(["--json"] if way == "json" else []), **env)
    assert done.returncode == 0, done.stderr
    assert sorted(path.suffix for path in (tmp_path / "out").glob("*.geojson")) == [".geojson"] * 2
    if way == "json":
        files = [record["image"]["file"] for record in json.loads(done.stdout)]
        names = {os.path.basename(os.fsencode(name.encode("utf-8", "surrogateescape"))) for name in files}
        assert names == {b"a.png", "Gewebe_ä→東.png".encode()}


@posix
@pytest.mark.parametrize("env, way", [({}, "one"), (C, "one"), ({}, "job")], ids=str)
def test_a_name_that_is_not_utf_8(toy_slide, options, tmp_path, env, way):
    for name in [b"S_\xe4.png", b"T_\xff.png"][: 1 if way == "one" else 2]:
        Image.open(toy_slide).save(open(os.fsencode(tmp_path) + b"/" + name, "wb"), format="PNG")
    paths = [os.fsencode(path) for path in tmp_path.glob("*.png")]
    command = ["job", "run"] if way == "job" else ["segment"]
    done = run(*command, *paths, *options, "--format", "geojson,csv,labels,overlay", **env)
    assert done.returncode == 0 and b"Traceback" not in done.stderr, done.stderr
    out = os.fsencode(tmp_path / "out")
    assert {name for name in os.listdir(out) if name.startswith(b"S_")} == {
        b"S_\xe4.csv",
        b"S_\xe4.geojson",
        b"S_\xe4.labels.png",
        b"S_\xe4.overlay.png",
        b"S_\xe4.run.json",
    }
    record = json.loads(open(out + b"/S_\xe4.run.json", encoding="utf-8").read())
    assert os.fsencode(record["image"]["file"]).endswith(b"S_\xe4.png")
    assert record["outputs"][0].encode("utf-8", "surrogateescape") == b"S_\xe4.geojson"
    if way == "job":
        assert run("job", "report", tmp_path / "out", **env).returncode == 0
        assert run("job", "status", tmp_path / "out", **env).returncode == 0
        assert run("job", "status", tmp_path / "out", "--json", **env).returncode == 0
    if way == "one":
        assert run(*command, *paths, *options, "--format", "geojson", **env).returncode == 0, "it is known as ours"


@posix
@pytest.mark.parametrize("way", ["one", "two", "job"])
def test_a_name_too_long_for_its_results_is_refused_before_the_first_tile(toy_slide, options, tmp_path, way):
    long = tmp_path / ("ä" * 118 + ".png")
    paths = [long, tmp_path / "b.png"][: 1 if way == "one" else 2]
    for path in paths:
        Image.open(toy_slide).save(path)
    command = ["job", "run"] if way == "job" else ["segment"]
    done = run(*command, *paths, *options, "--format", "geojson,labels")
    said = done.stderr.decode()
    assert done.returncode == 2 and "a shorter name" in said and said.count("\n") == 1, said
    assert not (tmp_path / "out").exists() or os.listdir(tmp_path / "out") == [], os.listdir(tmp_path / "out")


def test_without_docstrings_help_and_runs_are_the_same(toy_slide, options, tmp_path):
    for command in (["segment"], ["job", "run"], ["project"]):
        told = run(*command, "--help")
        again = run(*command, "--help", PYTHONOPTIMIZE="2")
        assert again.returncode == 0 and again.stdout == told.stdout, again.stdout
    assert run("segment", toy_slide, *options, PYTHONOPTIMIZE="2").returncode == 0
    assert run("segment", toy_slide, *options, "--format", "nonsense", PYTHONOPTIMIZE="2").returncode == 2
