"""The cache of compiled loops: damaged, half-written, of another user; and `hemalum check --compile`, after which a run
compiles nothing."""

import json
import os
import subprocess
import sys

import pytest

PROGRAM = """
import numpy as np
from hemalum.compiled import root
print(int(root(np.array([0, 0, 1, 2], np.int32), 3)), sum(root.stats.cache_hits.values()))
"""


def run(cache, program=PROGRAM, **env):
    command = [sys.executable, "-c", program]
    env = {**os.environ, "NUMBA_CACHE_DIR": str(cache), **env}
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=env, check=False)


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    for hits in "01":
        done = run(cache)
        assert done.stdout.split() == ["0", hits], done.stderr
    return cache


def truncated(path):
    path.write_bytes(path.read_bytes()[:10])


def empty(path):
    path.write_bytes(b"")


def zeros(path):
    path.write_bytes(bytes(path.stat().st_size))


def one_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def text(path):
    path.write_text("a synchronized folder's conflict")


def folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("ending", [".nbi", ".nbc"])
@pytest.mark.parametrize("damage", [truncated, empty, zeros, one_bit, text, folder], ids=lambda damage: damage.__name__)
def test_a_damaged_cache_is_thrown_away_not_the_run(filled, ending, damage):
    for path in filled.rglob(f"*{ending}"):
        damage(path)
    done = run(filled)
    assert done.returncode == 0 and done.stdout.split()[0] == "0", done.stderr
    if damage is not folder:
        assert run(filled).stdout.split() == ["0", "1"], "it is whole again"
    else:
        for path in filled.rglob(f"*{ending}"):
            path.rmdir()


REFUSING = """
import builtins, os
opened = builtins.open
def refusing(path, *arguments, **more):
    if str(path).startswith(os.environ["NUMBA_CACHE_DIR"]):
        raise PermissionError(13, "Permission denied", path)
    return opened(path, *arguments, **more)
builtins.open = refusing
"""


def test_a_cache_of_another_user_is_left_alone(filled):
    before = {path: path.read_bytes() for path in filled.rglob("*.nb?")}
    done = run(filled, REFUSING + PROGRAM)
    assert done.returncode == 0 and done.stdout.split() == ["0", "0"], done.stderr
    assert {path: path.read_bytes() for path in filled.rglob("*.nb?")} == before


def test_check_runs_a_compiled_function(filled):
    command = [sys.executable, "-m", "hemalum", "check", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    (row,) = (row for row in json.loads(done.stdout) if row["part"] == "compiled loops")
    assert row["state"] == "good" and "runs" in row["says"]


def signatures():
    """Of every compiled function the number of argument types that it was compiled for, or loaded from the cache."""
    from numba.core.dispatcher import Dispatcher

    modules = [module for name, module in sys.modules.items() if name.startswith("hemalum.")]
    loops = {id(thing): thing for module in modules for thing in vars(module).values() if isinstance(thing, Dispatcher)}
    return {loop.py_func.__qualname__ + loop.py_func.__module__: len(loop.overloads) for loop in loops.values()}


def test_after_compiling_all_a_run_compiles_nothing(toy_model, toy_slide, tmp_path):
    from hemalum.runs.compilation import compile_all
    from hemalum.runs.events import Parameters
    from hemalum.runs.pipeline import Pipeline, segment_slide
    from hemalum.slides import open_slide

    assert compile_all() == 32
    before = signatures()
    assert sum(before.values()) > 20, "those that are called from Python; the others are within them"
    for mpp in (0.5, 0.21, 0.25):
        with Pipeline("cpu", 1, "fp32") as pipeline, open_slide(toy_slide, mpp) as slide:
            formats = ["geojson", "labels", "csv"]
            made = segment_slide(slide, toy_model, pipeline, Parameters(core=256), formats, tmp_path)
        assert made.summary.nuclei > 50
    assert signatures() == before
