"""`hemalum normalize` through its own entry point."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

import hemalum
from hemalum.cli.main import main
from hemalum.grid.tiling import Rect
from hemalum.runs import normalize as work
from hemalum.slides import open_slide
from hemalum.stain.estimation import REFERENCE
from hemalum.stain.table import apply_table, colour_table

CMU = Path(hemalum.__file__).parent / "data" / "CMU-1-Small-Region.svs"


def run(*arguments):
    """Exit code of the command line called in this process."""
    with pytest.raises(SystemExit) as end:
        main(["normalize", *map(str, arguments)])
    return end.value.code or 0


@pytest.fixture(scope="module")
def tissue():
    with open_slide(CMU) as slide:
        return slide.read(Rect(300, 900, 400, 300))


def test_a_slide_keeps_its_size_and_is_the_table_applied(tmp_path):
    assert run(CMU, "-o", tmp_path / "out") == 0
    files = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert files == ["CMU-1-Small-Region.png", "CMU-1-Small-Region.run.json"]
    with open_slide(CMU) as slide, open_slide(tmp_path / "out" / "CMU-1-Small-Region.png") as result:
        assert result.size == slide.size and result.mpp == pytest.approx(0.499, abs=1e-5)
        rect = Rect(200, 300, 900, 900)
        table = colour_table(work.stain_of(slide, "macenko"), REFERENCE)
        assert (result.read(rect) == apply_table(slide.read(rect), table)).all()
        record = json.loads((tmp_path / "out" / "CMU-1-Small-Region.run.json").read_text())
        assert record["image"]["identity"] == slide.identity and record["image"]["mpp_source"] == "openslide.mpp-x"
    assert record["failed"] == [] and record["peak_memory_mb"] > 10 and record["versions"]["hemalum"]
    assert {"stain", "read", "colour", "write", "total"} <= set(record["seconds"])


@pytest.mark.parametrize("method", ["vahadane", "reinhard", "learned", "none"])
def test_other_methods(tmp_path, tissue, method):
    Image.fromarray(tissue).save(tmp_path / "a.png")
    assert run(tmp_path / "a.png", "-o", tmp_path / "out", "--stain", method) == 0
    result = np.asarray(Image.open(tmp_path / "out" / "a.png"))
    assert result.shape == tissue.shape and (method == "none") == (result == tissue).all()


def test_the_reference_may_be_an_image(tmp_path, tissue, capsys):
    Image.fromarray(tissue).save(tmp_path / "a.png")
    pale = np.clip(tissue.astype(int) // 2 + 120, 0, 255).astype(np.uint8)
    Image.fromarray(pale).save(tmp_path / "pale.png")
    assert run(tmp_path / "a.png", "-o", tmp_path / "out", "--reference", tmp_path / "pale.png") == 0
    result = np.asarray(Image.open(tmp_path / "out" / "a.png")).astype(float)
    assert abs(result.mean() - pale.mean()) < 0.5 * abs(tissue.mean() - pale.mean())
    Image.new("RGB", (50, 50), "white").save(tmp_path / "white.png")
    assert run(tmp_path / "a.png", "-o", tmp_path / "out", "--reference", tmp_path / "white.png") == 2
    assert "cannot be the reference: too little tissue" in capsys.readouterr().err


def test_folders_and_odd_but_valid_images(tmp_path, tissue, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    Image.fromarray(tissue).convert("L").save(folder / "grey.png")
    Image.fromarray(tissue).convert("RGBA").save(folder / "rgba.png")
    for name, size, colour in (("one", (1, 1), "white"), ("line", (1, 300), "white"), ("black", (40, 30), "black")):
        Image.new("RGB", size, colour).save(folder / f"{name}.png")
    assert run(folder, "-o", tmp_path / "out") == 0
    messages = capsys.readouterr().err
    assert "grey.png: grey image, converted to RGB" in messages
    assert "one.png: too little tissue to estimate the stain from; the colours are left as they are" in messages
    for path in folder.iterdir():
        assert Image.open(tmp_path / "out" / path.name).size == Image.open(path).size
    for name in ("one", "line", "black"):
        before, after = (np.asarray(Image.open(place / f"{name}.png")) for place in (folder, tmp_path / "out"))
        assert (after == before).all()


def test_a_wide_image_becomes_a_pyramid(tmp_path, tissue):
    wide = np.tile(tissue[:40], (1, 51, 1))
    Image.fromarray(wide).save(tmp_path / "wide.png", dpi=(25400 / 0.25,) * 2)
    assert run(tmp_path / "wide.png", "-o", tmp_path / "out") == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["wide.ome.tif", "wide.run.json"]
    with open_slide(tmp_path / "out" / "wide.ome.tif") as result, open_slide(tmp_path / "wide.png") as slide:
        assert result.size == (20400, 40) and result.mpp == 0.25 and len(result.levels) > 3
        expected = apply_table(wide, colour_table(work.stain_of(slide, "macenko"), REFERENCE))
        assert np.abs(result.read(Rect(0, 0, 20400, 40)).astype(int) - expected).mean() < 3  # JPEG


def test_a_slide_with_a_hole_is_done_but_said(tmp_path, capsys):
    path = tmp_path / "hole.svs"
    shutil.copy(CMU, path)
    path.chmod(0o644)
    with tifffile.TiffFile(path) as file:
        offset, count = file.pages[0].dataoffsets[32], file.pages[0].databytecounts[32]
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(bytes(count))
    assert run(path, "-o", tmp_path / "out") == 3
    failed = json.loads((tmp_path / "out" / "hole.run.json").read_text())["failed"]
    assert 1 <= len(failed) <= 4 and "cannot be decoded" in failed[0] and "cannot be decoded" in capsys.readouterr().err


def test_refused_before_work(tmp_path, tissue, capsys):
    good = tmp_path / "good.png"
    Image.fromarray(tissue).save(good)
    (tmp_path / "bad.png").write_text("no image")
    cases = [
        ([tmp_path / "absent.png", "-o", tmp_path / "out"], "does not exist; check the path"),
        ([tmp_path / "bad.png", "-o", tmp_path / "out"], "not an image Hemalum can read"),
        ([good, tmp_path / "good.svs", "-o", tmp_path / "out"], "would both be written as good"),
        ([good, "-o", good / "below"], "cannot be written"),
        ([good, "-o", tmp_path], "would be overwritten by its own result"),
    ]
    for arguments, sentence in cases:
        assert run(*arguments) == 2
        assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert run(good, tmp_path / "bad.png", "-o", tmp_path / "out") == 3
    assert f"good.png → {tmp_path / 'out' / 'good.png'}" in capsys.readouterr().out
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["good.png", "good.run.json"]


def test_as_a_user_calls_it(tmp_path, tissue):
    Image.fromarray(tissue).save(tmp_path / "a.png")
    arguments = [tmp_path / "a.png", "-o", tmp_path / "out", "--json"]
    command = [sys.executable, "-m", "hemalum.cli.main", "normalize", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stderr == ""
    assert json.loads(done.stdout)[0]["output"].endswith("a.png")
