"""`hemalum normalize` through its own entry point."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

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
        ([good, "-o", tmp_path], "is an input and would be replaced; choose another folder"),
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


def test_a_picture_that_no_run_made_stays(tmp_path, tissue, capsys):
    Image.fromarray(tissue).save(tmp_path / "case1.tif")
    Image.fromarray(tissue[:50, :50]).save(tmp_path / "case1.png")
    photograph = (tmp_path / "case1.png").read_bytes()
    assert run(tmp_path / "case1.tif", "-o", tmp_path) == 2
    said = capsys.readouterr().err
    assert "case1.png" in said and "--overwrite" in said and said.count("\n") == 1
    assert (tmp_path / "case1.png").read_bytes() == photograph and not list(tmp_path.glob("*.run.json"))
    assert run(tmp_path / "case1.tif", "-o", tmp_path, "--overwrite") == 0
    assert (tmp_path / "case1.png").read_bytes() != photograph


def test_a_result_of_an_earlier_run_is_replaced(tmp_path, tissue):
    Image.fromarray(tissue).save(tmp_path / "a.png")
    for method in ("macenko", "none"):
        assert run(tmp_path / "a.png", "-o", tmp_path / "out", "--stain", method) == 0
    assert (np.asarray(Image.open(tmp_path / "out" / "a.png")) == tissue).all()


def test_a_record_that_no_run_wrote_stays(tmp_path, tissue, capsys):
    Image.fromarray(tissue).save(tmp_path / "a.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.run.json").write_text('{"by": "another program"}')
    assert run(tmp_path / "a.png", "-o", tmp_path / "out") == 2
    assert "a.run.json would be replaced" in capsys.readouterr().err
    assert (tmp_path / "out" / "a.run.json").read_text() == '{"by": "another program"}'


@pytest.mark.parametrize("suffix", ["png", "tif", "jpg"])
def test_the_colour_profile_is_kept(tmp_path, tissue, suffix):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(tissue).save(tmp_path / f"a.{suffix}", icc_profile=profile)
    assert run(tmp_path / f"a.{suffix}", "-o", tmp_path / "out") == 0
    assert Image.open(tmp_path / "out" / "a.png").info["icc_profile"] == profile


def test_a_colour_profile_is_kept_in_a_pyramid_and_left_out_if_of_grey(tmp_path, tissue, monkeypatch, capsys):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(tissue).save(tmp_path / "a.tif", icc_profile=profile)
    monkeypatch.setattr(work, "LONGEST_PNG", 100)
    assert run(tmp_path / "a.tif", "-o", tmp_path / "out") == 0
    with tifffile.TiffFile(tmp_path / "out" / "a.ome.tif") as file:
        assert file.pages[0].iccprofile == profile
    grey = profile[:16] + b"GRAY" + profile[20:]
    Image.fromarray(tissue).convert("L").save(tmp_path / "grey.png", icc_profile=grey)
    monkeypatch.undo()
    assert run(tmp_path / "grey.png", "-o", tmp_path / "out") == 0
    assert "ICC profile is not one of RGB" in capsys.readouterr().err
    assert "icc_profile" not in Image.open(tmp_path / "out" / "grey.png").info


def test_another_image_of_a_file(tmp_path, tissue, capsys):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as out:
        for part in (tissue[:40, :50], tissue):
            out.write(part, photometric="rgb", metadata={"axes": "YXS"})
    for arguments, size in (((), (400, 300)), (("--series", 0), (50, 40))):
        assert run(tmp_path / "a.ome.tif", "-o", tmp_path / "out", *arguments) == 0
        assert Image.open(tmp_path / "out" / "a.png").size == size
    capsys.readouterr()
    assert run(tmp_path / "a.ome.tif", "-o", tmp_path / "out", "--series", 2) == 2
    assert "holds 2 images" in capsys.readouterr().err


def test_what_of_a_folder_is_not_taken_is_named(tmp_path, tissue, capsys):
    folder = tmp_path / "mix"
    (folder / "older").mkdir(parents=True)
    Image.fromarray(tissue).save(folder / "a.png")
    shutil.copy(CMU, folder / "b.qptiff")
    for name in ("c.vsi", "d.isyntax", ".hidden", "Thumbs.db"):
        (folder / name).touch()
    assert run(folder, "-o", tmp_path / "out") == 0
    said = capsys.readouterr().err
    assert f"2 files of {folder} were not taken: c.vsi, d.isyntax (not a known ending)" in said
    assert f"1 folder of {folder} was not taken: older" in said and "hidden" not in said and "Thumbs" not in said
    assert {"a.png", "b.png"} <= {path.name for path in (tmp_path / "out").iterdir()}
    assert run(tmp_path / "out", "-o", tmp_path / "again") == 2
    assert "results of an earlier run" in capsys.readouterr().err


@pytest.mark.parametrize("method", ["macenko", "learned", "reinhard"])
def test_one_stain_alone_is_said_and_stays(tmp_path, method, capsys):
    rng = np.random.default_rng(0)
    rows = np.array([[0.62, 0.709, 0.336], [0.13, 0.903, 0.409]])
    for name, row in zip(("haematoxylin", "eosin"), rows, strict=True):
        amounts = rng.gamma(2, 0.15, (200, 200, 1)) + 0.05
        amounts[:, :60] = 0
        pixels = np.clip(244 * 10 ** -(amounts * row) + rng.normal(0, 1.5, (200, 200, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
        assert run(tmp_path / f"{name}.png", "-o", tmp_path / "out", "--stain", method) == 0
        assert f"only {name} is to be seen" in capsys.readouterr().err
        assert (np.asarray(Image.open(tmp_path / "out" / f"{name}.png")) == pixels).all()


def test_red_and_blue_swapped_is_said(tmp_path, tissue, capsys):
    for name, pixels in (("right", tissue), ("swapped", tissue[..., ::-1])):
        Image.fromarray(np.ascontiguousarray(pixels)).save(tmp_path / f"{name}.png")
        assert run(tmp_path / f"{name}.png", "-o", tmp_path / "out") == 0
        said = capsys.readouterr().err
        assert ("red and blue are swapped" in said) == (name == "swapped")
    assert (np.asarray(Image.open(tmp_path / "out" / "swapped.png")) == tissue[..., ::-1]).all()


def test_black_that_was_never_scanned_is_background(tmp_path, tissue, capsys):
    pixels = tissue.copy()
    pixels[:, 250:] = 0
    pixels[100:110, 100:110] = 0  # a dot of ink
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert run(tmp_path / "a.png", "-o", tmp_path / "out") == 0
    result = np.asarray(Image.open(tmp_path / "out" / "a.png"))
    assert (result[:, 250:] == 255).all() and result[:, :200].min() < 100 and result[105, 105].max() < 60
    assert "37.5% of the image is black that was never scanned" in capsys.readouterr().err
