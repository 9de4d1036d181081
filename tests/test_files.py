"""Files appear whole or not at all: whoever writes one syncs it, renames it, and syncs its folder; and only `files.py`
renames."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hemalum import files
from hemalum.errors import DiskFull, NotWritable
from hemalum.nuclei.nuclei import Nuclei
from hemalum.sinks import CsvSink, GeoJsonSink, LabelSink, OverlaySink, Target
from hemalum.sinks.labels import LARGEST_PNG
from hemalum.sinks.parquet import ParquetSink
from hemalum.slides import open_slide, write_pyramid

REPOSITORY = Path(__file__).parents[1]
RENAMING = {"rename", "replace", "renames", "move"}
# who else may rename, and why
ELSEWHERE = {
    "server/hemalum/models/registry.py": "puts an older model's folder aside while the new one takes its place",
    "training/hemalum_training/improve/loop.py": "gives a finished package's folder its name",
}


def renaming(path: Path) -> list[str]:
    """Lines that rename with `os`, `shutil` or a path's own method, as far as the source tells."""
    lines = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or node.func.attr not in RENAMING:
            continue
        of_module = isinstance(node.func.value, ast.Name) and node.func.value.id in ("os", "shutil")
        of_path = node.func.attr in ("rename", "replace") and len(node.args) == 1 and not node.keywords
        if of_module or of_path:
            lines.append(f"{path}:{node.lineno}")
    return lines


def test_only_one_module_renames():
    for package in (
        REPOSITORY / "server" / "hemalum",
        REPOSITORY / "training" / "hemalum_training",
        REPOSITORY / "benchmarks",
    ):
        for path in sorted(package.rglob("*.py")):
            name = path.relative_to(REPOSITORY).as_posix()
            if name != "server/hemalum/files.py" and name not in ELSEWHERE:
                assert not renaming(path), f"{renaming(path)} rename; hemalum.files does that, and syncs"


@pytest.fixture
def steps(tmp_path, monkeypatch):
    """What became of files in `tmp_path`, in order: ("sync" | "rename", name)."""
    order = []
    fsync, replace = os.fsync, os.replace

    def synced(handle):
        order.append(("sync", Path(os.readlink(f"/proc/self/fd/{handle}")).name))
        fsync(handle)

    def renamed(source, target):
        if Path(target).parent == tmp_path:  # numba keeps compiled functions the same way
            order.append(("rename", Path(target).name))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    return order


def nuclei() -> Nuclei:
    return Nuclei.of(np.array([[0, 0], [80, 0], [80, 80], [0, 80]]), np.array([0, 4]))


def sink_of(kind: str, folder: Path):
    target = Target(40, 40, 0.5, "m", "i", picture=lambda: (np.zeros((40, 40, 3), np.uint8), 1.0))
    if kind == "labels.png":
        return LabelSink(folder / "a", target)
    if kind == "labels.tif":
        return LabelSink(folder / "a", Target(LARGEST_PNG + 1, 40, 0.5, "m", "i"))
    kinds = {"csv": CsvSink, "geojson": GeoJsonSink, "parquet": ParquetSink, "overlay.png": OverlaySink}
    return kinds[kind](folder / f"a.{kind}", target)


def through_sink(kind: str):
    def write(folder: Path) -> Path:
        sink = sink_of(kind, folder)
        sink.write(nuclei(), ["6aa5d63e-7c6c-5b21-9a72-28a8b4ebd7ed"])
        sink.close()
        assert sink.paths == [folder / f"a.{kind}"]
        return sink.paths[0]

    return write


def pyramid(folder: Path) -> Path:
    write_pyramid(
        folder / "a.ome.tif", (600, 600), lambda y, height: np.zeros((height, 600, 3), np.uint8), smallest=300
    )
    return folder / "a.ome.tif"


def normalized(folder: Path) -> Path:
    from PIL import Image

    from hemalum.runs.normalize import _write_png

    Image.new("RGB", (30, 20)).save(folder / "in.png")
    with open_slide(folder / "in.png") as slide:
        _write_png(folder / "a.png", slide, lambda y, height: np.zeros((height, 30, 3), np.uint8), None)
    return folder / "a.png"


def text(folder: Path) -> Path:
    files.commit_text(folder / "a.txt", "a")
    return folder / "a.txt"


def record(folder: Path) -> Path:
    files.commit_json(folder / "a.run.json", {"outputs": [folder]})
    return folder / "a.run.json"


def given_by_name(folder: Path) -> Path:
    with files.whole_file(folder / "a.bin") as file:
        file.path().write_bytes(b"a")
    return folder / "a.bin"


def checkpoint(folder: Path) -> Path:
    loops = pytest.importorskip("hemalum_training.loops.checkpoint", reason="needs torch")
    loops.save(folder / "checkpoint.pt", {"step": 1})
    return folder / "checkpoint.pt"


SINKS = ["csv", "geojson", "parquet", "labels.png", "labels.tif", "overlay.png"]
WRITERS = [pyramid, normalized, text, record, given_by_name, checkpoint]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="names of open files are known on Linux only")
@pytest.mark.parametrize(
    "write", [*map(through_sink, SINKS), *WRITERS], ids=[*SINKS, *(writer.__name__ for writer in WRITERS)]
)
def test_the_file_is_synced_then_renamed_then_the_folder_is_synced(tmp_path, steps, write):
    path = write(tmp_path)
    unfinished = steps[0][1]
    assert steps == [("sync", unfinished), ("rename", path.name), ("sync", tmp_path.name)]
    assert unfinished.startswith(path.stem) and path.stat().st_size and not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("way", ["commit", "whole_file"])
def test_who_dies_before_the_rename_leaves_the_old_file(tmp_path, way):
    (tmp_path / "a.txt").write_text("old")
    program = f"""
import os, signal
from pathlib import Path
from hemalum import files
os.replace = lambda source, target: os.kill(os.getpid(), signal.SIGKILL)
path = Path({str(tmp_path / "a.txt")!r})
if {way!r} == "commit":
    files.commit_text(path, "new")
with files.whole_file(path) as file:
    file.write(b"new")
"""
    assert subprocess.run([sys.executable, "-c", program]).returncode != 0
    assert (tmp_path / "a.txt").read_text() == "old"
    files.commit_text(tmp_path / "a.txt", "newer")  # what was left beside it is in nobody's way
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"] and (tmp_path / "a.txt").read_text() == "newer"


@pytest.mark.parametrize(
    "number, sentence", [(28, "no space left for .*a.bin; free some"), (5, "a.bin cannot be written any more")]
)
def test_an_error_of_the_disk_is_said_and_leaves_nothing(tmp_path, number, sentence):
    with pytest.raises(DiskFull, match=sentence), files.whole_file(tmp_path / "a.bin"):
        raise OSError(number, os.strerror(number))
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_said(tmp_path):
    with (
        pytest.raises(NotWritable, match="choose another folder with -o"),
        files.whole_file(tmp_path / "none" / "a.bin"),
    ):
        pass
