"""Every unusable input is refused with one sentence that says what to do."""

import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

import hemalum
from hemalum.errors import HemalumError, UnreadableImage, UnsupportedImage, UsageError
from hemalum.slides import images_in, open_slide

CMU = Path(hemalum.__file__).parent / "data" / "CMU-1-Small-Region.svs"
RGB = np.random.default_rng(0).integers(0, 256, (300, 200, 3), dtype=np.uint8)


def png(path):
    Image.fromarray(RGB).save(path)
    return path.read_bytes()


def cut(path, name, keep):
    data = path.read_bytes()
    (path.parent / name).write_bytes(data[: int(len(data) * keep)])
    return path.parent / name


def make(kind, tmp_path):
    path = tmp_path / f"{kind}.png"
    if kind == "missing":
        return path
    if kind == "folder":
        path.mkdir()
    elif kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("not an image, whatever its name says")
    elif kind == "truncated png":
        path.write_bytes(png(path)[:-2000])
    elif kind == "truncated jpeg":
        Image.fromarray(RGB).save(path, format="JPEG")
        return cut(path, "cut.jpg", 0.5)
    elif kind == "truncated svs":
        path.write_bytes(CMU.read_bytes()[:900_000])
    elif kind == "truncated tiff":
        tifffile.imwrite(path, RGB, photometric="rgb", tile=(64, 64), compression="zlib")
        return cut(path, "cut.tif", 0.6)
    elif kind == "16-bit png":
        Image.fromarray(RGB[..., 0].astype(np.uint16)).save(path)
    elif kind == "16-bit rgb png":
        import cv2

        cv2.imwrite(str(path), RGB.astype(np.uint16) * 257)
    elif kind == "16-bit tiff":
        tifffile.imwrite(path, RGB.astype(np.uint16), photometric="rgb")
    elif kind == "float tiff":
        tifffile.imwrite(path, RGB[..., 0].astype(np.float32))
    elif kind == "fluorescence":
        tifffile.imwrite(
            path, np.zeros((4, 50, 60), np.uint8), ome=True, photometric="minisblack", metadata={"axes": "CYX"}
        )
    elif kind == "fluorescence of three":
        names = {"axes": "CYX", "Channel": {"Name": ["DAPI", "FITC", "Cy5"]}}
        tifffile.imwrite(path, np.zeros((3, 50, 60), np.uint8), ome=True, photometric="minisblack", metadata=names)
    elif kind == "cmyk jpeg":
        Image.fromarray(RGB).convert("CMYK").save(path, format="JPEG")
    elif kind == "cmyk tiff":
        Image.fromarray(RGB).convert("CMYK").save(path, format="TIFF")
    return path


@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [
        ("missing", UnreadableImage, "does not exist; check"),
        ("folder", UnreadableImage, "is a folder; name"),
        ("empty", UnreadableImage, "is empty; copy"),
        ("text", UnreadableImage, "not an image Hemalum can read"),
        ("truncated png", UnreadableImage, "truncated or damaged"),
        ("truncated jpeg", UnreadableImage, "truncated or damaged"),
        ("truncated svs", UnreadableImage, "copy or export it again"),
        ("truncated tiff", UnreadableImage, "copy or export"),
        ("16-bit png", UnsupportedImage, "save it as 8-bit RGB"),
        ("16-bit rgb png", UnsupportedImage, "save it as 8-bit RGB"),
        ("16-bit tiff", UnsupportedImage, "has uint16 pixels; save it as 8-bit RGB"),
        ("float tiff", UnsupportedImage, "has float32 pixels"),
        ("fluorescence", UnsupportedImage, "has 4 channels"),
        ("fluorescence of three", UnsupportedImage, "has 3 channels"),
        ("cmyk jpeg", UnsupportedImage, "CMYK.*; save it as RGB"),
        ("cmyk tiff", UnsupportedImage, "CMYK.*; save it as RGB"),
    ],
)
def test_refused(tmp_path, kind, error, words):
    path = make(kind, tmp_path)
    with pytest.raises(error, match=words) as caught, open_slide(path) as slide:
        slide.overview()  # whoever works on an image asks for this first
    assert caught.value.exit_code == 2 and "\n" not in str(caught.value) and ";" in str(caught.value)


@pytest.mark.parametrize("mpp", [0, -0.25, float("nan"), float("inf"), 1000, 0.049])
def test_impossible_resolutions(mpp):
    with pytest.raises(UsageError, match="give 0.05 to 4"):
        open_slide(CMU, mpp=mpp)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_a_pipe_is_refused_without_waiting_for_it(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(UnreadableImage, match="is a pipe or a device; name a file"):
        open_slide(tmp_path / "pipe.png")


def test_a_name_that_no_system_takes(tmp_path):
    with pytest.raises(UnreadableImage, match="; check"):
        open_slide(tmp_path / ("a" * 300 + ".png"))
    assert images_in(["a" * 300]) == [Path("a" * 300)]  # said when it is opened


def test_series_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="leave out --series"):
        open_slide(CMU, series=1)
    tifffile.imwrite(tmp_path / "a.ome.tif", RGB, photometric="rgb")
    with pytest.raises(UsageError, match="holds one image"):
        open_slide(tmp_path / "a.ome.tif", series=3)


def test_two_inputs_of_one_stem(tmp_path):
    with pytest.raises(UsageError, match="would both be written as x"):
        images_in([tmp_path / "x.svs", tmp_path / "x.ome.tif"])
    with pytest.raises(HemalumError, match="holds no images"):
        images_in([tmp_path])
