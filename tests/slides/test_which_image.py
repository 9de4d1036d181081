"""Which image of a file is taken, which one `--series` takes, and what is said of the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

import hemalum
from hemalum.errors import UsageError
from hemalum.grid.tiling import Rect
from hemalum.slides import open_slide

CMU = Path(hemalum.__file__).parent / "data" / "CMU-1-Small-Region.svs"
OPTIONS = {"photometric": "rgb", "tile": (64, 64)}


def noise(side, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def ome(path, *images):
    """An OME-TIFF of (name, side, µm/px)."""
    with tifffile.TiffWriter(path, ome=True) as out:
        for i, (name, side, mpp) in enumerate(images):
            own = {"axes": "YXS", "PhysicalSizeX": mpp, "PhysicalSizeY": mpp} | ({"Name": name} if name else {})
            out.write(noise(side, i), metadata=own, **OPTIONS)
    return path


def test_the_largest_image_is_the_scan_and_the_others_are_named(tmp_path):
    path = ome(tmp_path / "a.ome.tif", ("macro", 64, 4), ("scan", 512, 0.5), ("other", 128, 0.25))
    with open_slide(path) as slide:
        assert slide.size == (512, 512) and slide.mpp == 0.5
        assert (slide.read(Rect(0, 0, 512, 512)) == noise(512, 1)).all()
        (said,) = slide.notices
        assert "3 images in the file" in said and "'scan' of 512 × 512 px" in said and "'macro'" in said
        assert "'other'" in said and "--series" in said
    for series, (side, mpp) in enumerate([(64, 4), (512, 0.5), (128, 0.25)]):
        with open_slide(path, series=series) as slide:
            assert slide.size == (side, side) and slide.mpp == mpp and slide.notices == []


@pytest.mark.parametrize("name", ["macro", "Label", "thumbnail", "slide overview", "label image", "Macro image 2"])
def test_a_picture_of_the_slide_is_no_scan_even_if_it_is_larger(tmp_path, name):
    path = ome(tmp_path / "a.ome.tif", (name, 512, 8), ("", 256, 0.5))
    with open_slide(path) as slide:
        assert slide.size == (256, 256) and slide.mpp == 0.5


def test_scans_that_are_called_after_tissue_are_scans(tmp_path):
    path = ome(tmp_path / "a.ome.tif", ("macrophages", 512, 0.5), ("labelled", 256, 0.5))
    with open_slide(path) as slide:
        assert slide.size == (512, 512)


def test_pages_of_a_plain_tiff(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as out:
        out.write(noise(100), metadata=None, description="Macro", **OPTIONS)
        out.write(noise(400, 1), metadata=None, **OPTIONS)
        out.write(noise(500, 2), metadata=None, description="label 500x500", **OPTIONS)
        out.write(noise(450, 3), metadata=None, subfiletype=1, **OPTIONS)
    with open_slide(tmp_path / "a.tif") as slide:
        assert (slide.read(Rect(0, 0, 400, 400)) == noise(400, 1)).all() and "4 images" in slide.notices[0]


@pytest.mark.parametrize("reduced", [0, 1])
def test_pages_that_are_halves_are_levels_and_no_images(tmp_path, reduced):
    image = noise(512)
    with tifffile.TiffWriter(tmp_path / "a.tif") as out:
        for step in (1, 2, 4):
            kind = {"subfiletype": reduced} if step > 1 else {}
            out.write(image[::step, ::step], metadata=None, **kind, **OPTIONS)
    with open_slide(tmp_path / "a.tif") as slide:
        assert [tuple(level) for level in slide.levels] == [(512, 512, 1), (256, 256, 2), (128, 128, 4)]
        assert slide.notices == []
        assert (slide.read(Rect(0, 0, 512, 512), 2) == image[::2, ::2]).all()


def test_levels_below_the_first_of_two_images(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as out:
        out.write(noise(64), metadata={"axes": "YXS", "Name": "macro"}, **OPTIONS)
        out.write(noise(512, 1), metadata={"axes": "YXS"}, subifds=1, **OPTIONS)
        out.write(noise(256, 2), subfiletype=1, **OPTIONS)
    with open_slide(tmp_path / "a.ome.tif") as slide:
        assert [tuple(level) for level in slide.levels] == [(512, 512, 1), (256, 256, 2)]
        assert (slide.read(Rect(0, 0, 512, 512), 2) == noise(256, 2)).all()


def test_a_series_that_is_not_there_is_answered_with_the_list(tmp_path):
    path = ome(tmp_path / "a.ome.tif", ("macro", 64, 4), ("scan", 512, 0.5))
    for series in (2, -1):
        with pytest.raises(UsageError) as caught:
            open_slide(path, series=series)
        assert str(caught.value) == (
            "a.ome.tif holds 2 images: 0 'macro' of 64 × 64 px, 1 'scan' of 512 × 512 px; give --series 0 to 1"
        )
    one = ome(tmp_path / "b.ome.tif", ("scan", 512, 0.5))
    with pytest.raises(UsageError, match="holds one image; leave out --series 3"):
        open_slide(one, series=3)
    with open_slide(one, series=0) as slide:
        assert slide.notices == []


def test_label_and_macro_of_a_scanners_slide_are_no_series():
    with pytest.raises(UsageError, match="leave out --series 1"):
        open_slide(CMU, series=1)
    with open_slide(CMU, series=0) as slide:
        assert slide.size == (2220, 2967) and slide.notices == []
