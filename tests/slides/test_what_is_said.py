"""What a file states of its resolution and its orientation is understood, or said as it is."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image

from hemalum.errors import UnknownResolution
from hemalum.grid.tiling import Rect
from hemalum.slides import images_in, left_out, open_slide

PIXELS = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)


def refused(path):
    with open_slide(path) as slide, pytest.raises(UnknownResolution) as caught:
        slide.require_mpp()
    return str(caught.value)


@pytest.mark.parametrize("unit", [r"\u00B5m", "µm", "μm", "um", "micron", "microns", "micrometer", "Micron", "Âµm"])
def test_imagej_writes_micrometres_in_many_ways(tmp_path, unit):
    data = tifffile.imagej_description(PIXELS.shape, rgb=True)
    description = data + f"unit={unit}\n"
    tifffile.imwrite(
        tmp_path / "a.tif", PIXELS, photometric="rgb", description=description.encode(), metadata=None,
        resolution=(2, 2), resolutionunit="NONE",
    )  # fmt: skip
    with open_slide(tmp_path / "a.tif") as slide:
        assert (slide.mpp, slide.mpp_source) == (0.5, "ImageJ") and slide.notices == []


@pytest.mark.parametrize(("unit", "size"), [("mm", 0.0005), ("nm", 500), ("inch", 0.5 / 25400), ("cm", 0.00005)])
def test_other_units_of_length(tmp_path, unit, size):
    metadata = {"axes": "YXS", "PhysicalSizeX": size, "PhysicalSizeXUnit": unit.replace("inch", "in")}
    tifffile.imwrite(tmp_path / "a.ome.tif", PIXELS, photometric="rgb", metadata=metadata)
    with open_slide(tmp_path / "a.ome.tif") as slide:
        assert slide.mpp == pytest.approx(0.5) and slide.mpp_source == "OME"


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"PhysicalSizeX": 0.5, "PhysicalSizeY": 1.0}, "states 0.5 × 1 µm/px, which is not square; give it with --mpp"),
        ({"PhysicalSizeX": 1000}, "states 1000 µm/px, which no microscope has; give it with --mpp"),
        ({"PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "furlong"}, "in the unit 'furlong', which is not known; give it"),
        ({"PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "pixel"}, "states no resolution; give it with --mpp"),
        ({}, "states no resolution; give it with --mpp"),
    ],
)
def test_what_cannot_be_used_is_said_as_it_is(tmp_path, metadata, words):
    tifffile.imwrite(tmp_path / "a.ome.tif", PIXELS, photometric="rgb", metadata={"axes": "YXS", **metadata})
    assert words in refused(tmp_path / "a.ome.tif")
    with open_slide(tmp_path / "a.ome.tif", mpp=0.5) as slide:
        assert slide.require_mpp() == 0.5


def test_of_plain_images_and_tags(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "a.png", dpi=(72, 72))
    assert "states 353 µm/px (72 px per inch), which no microscope has" in refused(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "b.tif", PIXELS, resolution=(20000, 10000), resolutionunit="CENTIMETER")
    assert "states 0.5 × 1 µm/px (20000 px per cm), which is not square" in refused(tmp_path / "b.tif")


def test_another_field_that_can_be_used_is_used_and_said(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.ome.tif", PIXELS, photometric="rgb", resolution=(20000, 20000), resolutionunit="CENTIMETER",
        metadata={"axes": "YXS", "PhysicalSizeX": 0.5, "PhysicalSizeY": 1.0},
    )  # fmt: skip
    with open_slide(tmp_path / "a.ome.tif") as slide:
        assert (slide.mpp, slide.mpp_source) == (0.5, "TIFF resolution")
        assert slide.notices == [
            "the file states 0.5 × 1 µm/px, which is not square; 0.5 µm/px of TIFF resolution is used"
        ]


@pytest.mark.parametrize(
    ("density", "unit", "odd"),
    [(20000, "INCH", True), (20000, "CENTIMETER", False), (101600, "CENTIMETER", True), (101600, "INCH", False)],
)
def test_inches_and_centimetres_that_were_taken_for_each_other(tmp_path, density, unit, odd):
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, resolution=(density, density), resolutionunit=unit)
    with open_slide(tmp_path / "a.tif") as slide:
        assert slide.mpp is not None and bool(slide.notices) == odd
        assert not odd or "give --mpp" in slide.notices[0]
    with open_slide(tmp_path / "a.tif", mpp=0.5) as slide:
        assert slide.notices == []


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_orientation_is_said_and_the_pixels_stay_as_qupath_shows_them(tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(PIXELS).save(path, exif=exif, **({"lossless": True} if suffix == "webp" else {}))
    with open_slide(path) as slide:
        assert slide.size == (40, 30)
        assert suffix == "jpg" or (slide.read(Rect(0, 0, 40, 30)) == PIXELS).all()
        said = [notice for notice in slide.notices if "asks to be shown" in notice]
        assert len(said) == (orientation > 1)
        assert not said or "as QuPath does" in said[0]


def test_what_of_a_folder_is_not_taken(tmp_path):
    for name in ("a.tif", "b.QPTIFF", "c.lif", "slide.mrxs"):
        (tmp_path / name).touch()
    for name in ("slide", "other"):
        (tmp_path / name).mkdir()
    assert [path.name for path in images_in([tmp_path])] == ["a.tif", "b.QPTIFF", "slide.mrxs"]
    assert left_out([tmp_path, tmp_path / "a.tif"]) == [
        f"1 file of {tmp_path} was not taken: c.lif (not a known ending)",
        f"1 folder of {tmp_path} was not taken: other (only what lies directly in a folder is)",
    ]
    for i in range(20):
        (tmp_path / f"n{i:02}.nd2").touch()
    assert left_out([tmp_path])[0].endswith("n08.nd2 and 11 more (not a known ending)")
