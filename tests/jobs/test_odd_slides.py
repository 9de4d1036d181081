"""Jobs of slides that are thin, broken in a thousand places, or met with an error that nobody expected."""

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from hemalum.errors import PartlyFailed, UnreadableImage
from hemalum.jobs import job, once, slide_run
from hemalum.jobs.manifest import Manifest
from hemalum.jobs.slide_run import Reader, Vanished


def hemalum(*arguments):
    command = [sys.executable, "-m", "hemalum", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def options(toy_models, tmp_path):
    return "-o", tmp_path / "out", "--models", toy_models, "--model", "toy", "--device", "cpu", "--mpp", 0.5


SIZES = [(1, 1), (1, 3000), (3000, 1), (2, 5000)]


@pytest.mark.parametrize("way", ["several", "job"])
def test_images_one_pixel_wide(options, tmp_path, way):
    for number, (width, height) in enumerate(SIZES):
        Image.fromarray(np.full((height, width, 3), 200, np.uint8)).save(tmp_path / f"{number}.png")
    paths = [tmp_path / f"{number}.png" for number in range(len(SIZES))]
    command = ["job", "run"] if way == "job" else ["segment"]
    done = hemalum(*command, *paths, *options, "--format", "geojson,labels")
    assert done.returncode == 0, done.stderr
    for number, (width, height) in enumerate(SIZES):
        assert Image.open(tmp_path / "out" / f"{number}.labels.png").size == (width, height)
    if way == "job":
        assert hemalum("job", "report", tmp_path / "out").returncode == 0


class Broken:
    """A slide none of whose tiles can be decoded; counts how often it is opened."""

    opened = 0

    def __init__(self, *_):
        Broken.opened += 1

    def read(self, rect, n):
        raise UnreadableImage("a broken tile")

    def close(self):
        pass


@pytest.fixture
def broken(tmp_path, monkeypatch):
    (tmp_path / "a.tif").write_bytes(b"a slide")
    Broken.opened, slept = 0, []
    monkeypatch.setattr(slide_run, "open_slide", Broken)
    monkeypatch.setattr(slide_run.time, "sleep", slept.append)
    return tmp_path / "a.tif", slept


def test_a_thousand_broken_tiles_cost_one_opening(broken):
    path, slept = broken
    with Reader(path, None, None) as reader:
        for _ in range(1000):
            with pytest.raises(UnreadableImage, match="a broken tile"):
                reader.read(None, 1)
    assert Broken.opened == 2 and slept == []


def test_a_file_that_is_gone_is_waited_for(broken):
    path, slept = broken
    with Reader(path, None, None) as reader:
        path.unlink()
        with pytest.raises(Vanished):
            reader.read(None, 1)
    assert slept == list(slide_run.WAITS)


def test_a_slide_cut_off_in_a_download_is_done_as_far_as_it_goes(options, tmp_path, toy_slide):
    pixels = np.tile(np.asarray(Image.open(toy_slide).convert("RGB")), (4, 2, 1))
    tifffile.imwrite(tmp_path / "a.tif", pixels, tile=(16, 16), photometric="rgb", compression="zlib")
    whole = (tmp_path / "a.tif").read_bytes()
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        offsets = tiff.pages[0].dataoffsets
    content = bytearray(whole)
    content[offsets[len(offsets) // 2] :] = bytes(len(content) - offsets[len(offsets) // 2])
    (tmp_path / "a.tif").write_bytes(content)
    assert len(offsets) > 2000
    Image.open(toy_slide).save(tmp_path / "b.png")
    done = hemalum("segment", tmp_path / "a.tif", tmp_path / "b.png", *options)
    assert done.returncode in (0, 3) and "b: " in done.stdout, done.stderr
    assert json.loads((tmp_path / "out" / "b.run.json").read_text())["counts"]["nuclei"] > 0


def begun(folder: Path) -> Path:
    folder.mkdir()
    Manifest("1", [], {"id": "toy"}, {"formats": ["geojson"]}).write(folder)
    (folder / "job.work" / "a").mkdir(parents=True)
    return folder


@pytest.mark.parametrize("error", [MemoryError(), OSError("gone"), KeyboardInterrupt(), RuntimeError("a surprise")])
def test_what_was_computed_outlives_an_error_that_nobody_expected(tmp_path, error):
    folder = begun(tmp_path / "job")

    def work():
        raise error

    with pytest.raises(type(error)):
        once.finish(folder, work)
    assert (folder / "job.json").exists() and (folder / "job.work" / "a").exists()


@pytest.mark.parametrize("error", [None, job.NothingUsable("none")])
def test_a_job_that_ended_by_its_own_judgement_leaves_its_results(tmp_path, error):
    folder = begun(tmp_path / "job")

    def work():
        if error:
            raise error

    with suppress(job.NothingUsable):
        once.finish(folder, work)
    assert list(folder.iterdir()) == []


def test_the_report_of_a_surprise_outlives_the_command(tmp_path, toy_models, toy_slide, monkeypatch):
    from click.testing import CliRunner

    from hemalum.cli.segment import segment
    from hemalum.slides import Slide

    overview = Slide.overview
    monkeypatch.setattr(Slide, "overview", lambda slide: 1 / 0 if slide.name == "a" else overview(slide))
    for name in "ab":
        Image.open(toy_slide).save(tmp_path / f"{name}.png")
    paths = [str(tmp_path / f"{name}.png") for name in "ab"]
    options = "-o", tmp_path / "out", "--models", toy_models, "--model", "toy", "--device", "cpu", "--mpp", 0.5
    done = CliRunner().invoke(segment, [*paths, *map(str, options)])
    assert isinstance(done.exception, PartlyFailed)
    assert str(tmp_path / "out" / "a.error.txt") in done.stderr
    assert "ZeroDivisionError" in (tmp_path / "out" / "a.error.txt").read_text()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.error.txt", "b.geojson", "b.run.json"]
