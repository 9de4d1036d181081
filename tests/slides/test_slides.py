"""Opening and reading: real SVS files, pyramids of our own, plain images of every kind."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile
from PIL import Image

import hemalum
from hemalum.errors import UnknownResolution, UnreadableImage
from hemalum.grid.resample import box_mean
from hemalum.grid.tiling import Rect
from hemalum.slides import images_in, open_slide, write_pyramid
from hemalum.slides.resolution import Resolution
from hemalum.slides.slide import Slide

CMU = Path(hemalum.__file__).parent / "data" / "CMU-1-Small-Region.svs"


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def cmu_pixels():
    with openslide.OpenSlide(CMU) as slide:
        return np.asarray(slide.read_region((0, 0), 0, slide.dimensions).convert("RGB"))


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    """CMU-1-Small-Region with one JPEG tile overwritten: columns 480–719, rows 720–959."""
    path = tmp_path_factory.mktemp("slides") / "damaged.svs"
    shutil.copy(CMU, path)
    path.chmod(0o644)
    with tifffile.TiffFile(CMU) as file:
        page = file.pages[0]
        index = 3 * -(-page.imagewidth // 240) + 2
        offset, count = page.dataoffsets[index], page.databytecounts[index]
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(bytes(count))
    return path


def test_a_real_svs(cmu_pixels):
    with open_slide(CMU) as slide:
        assert (slide.size, slide.mpp, slide.mpp_source, slide.vendor) == (
            (2220, 2967),
            0.499,
            "openslide.mpp-x",
            "aperio",
        )
        rect = Rect(100, 200, 700, 500)
        wanted = cmu_pixels[200:700, 100:800]
        for n in (1, 2, 3):
            assert (slide.read(rect, n) == box_mean(np.ascontiguousarray(wanted), n)).all()
        assert (slide.overview() == box_mean(cmu_pixels, 2)).all() and slide.overview_downsample == 2
        assert slide.unread is None and len(slide.identity) == 64
        with pytest.raises(ValueError, match="not inside the image"):
            slide.read(Rect(2000, 0, 300, 10))
    with open_slide(CMU, mpp=0.25) as slide:
        assert (slide.mpp, slide.mpp_source, slide.stated_mpp) == (0.25, "--mpp", 0.499)


def test_identity_is_of_the_pixels_not_of_the_path(tmp_path):
    shutil.copy(CMU, tmp_path / "another name.svs")
    with open_slide(CMU) as one, open_slide(tmp_path / "another name.svs") as other:
        assert one.identity == other.identity and one.record()["name"] != other.record()["name"]


def test_a_tile_that_cannot_be_decoded_spoils_nothing_else(damaged, cmu_pixels):
    with open_slide(damaged) as slide:
        with pytest.raises(
            UnreadableImage, match=r"damaged.svs: 100 × 100 px at \(500, 800\) cannot be decoded .*copy or export"
        ):
            slide.read(Rect(500, 800, 100, 100))
        assert (slide.read(Rect(0, 0, 400, 400)) == cmu_pixels[:400, :400]).all()
        overview = slide.overview()
        assert 0 < slide.unread.mean() < 0.06 and slide.unread[420, 300]
        read = ~slide.unread
        assert (overview[read] == box_mean(cmu_pixels, 2)[read]).all() and (overview[slide.unread] == 255).all()
        assert any("cannot be decoded" in notice for notice in slide.notices)


def test_many_threads_and_a_bad_tile_among_them(damaged, cmu_pixels):
    def read(rect):
        try:
            return slide.read(rect)
        except UnreadableImage:
            return None

    rects = [Rect(x, y, 240, 240) for y in range(480, 1440, 240) for x in range(0, 1920, 240)] * 2
    with open_slide(damaged) as slide, ThreadPoolExecutor(6) as pool:
        for rect, pixels in zip(rects, pool.map(read, rects), strict=True):
            if rect[:2] == (480, 720):
                assert pixels is None
            else:
                assert (pixels == cmu_pixels[rect.y : rect.y + 240, rect.x : rect.x + 240]).all()


@pytest.mark.parametrize("size", [(1, 1), (700, 1), (1300, 901), (2600, 2100)])
def test_a_pyramid_of_our_own(tmp_path, size):
    width, height = size
    image = noise(height, width)
    write_pyramid(tmp_path / "a.ome.tif", size, lambda y, h: image[y : y + h], mpp=0.25, quality=None, smallest=400)
    assert [p.name for p in tmp_path.iterdir()] == ["a.ome.tif"]
    with open_slide(tmp_path / "a.ome.tif") as slide:
        assert (slide.size, slide.mpp, slide.mpp_source) == (size, 0.25, "OME")
        assert (
            all(level.downsample == 2**i for i, level in enumerate(slide.levels)) and max(slide.levels[-1][:2]) <= 400
        )
        assert (slide.read(Rect(0, 0, *size)) == image).all()
        # the stored half level is used for even factors, and is the box mean here
        assert (slide.read(Rect(0, 0, *size), 2) == box_mean(image, 2)).all()
        assert (slide.read(Rect(0, 0, *size), 3) == box_mean(image, 3)).all()
        assert max(slide.overview().shape) <= 2048


def test_a_level_serves_only_where_it_is_exact():
    class Source:
        vendor, resolution, background, icc_profile = "test", Resolution(), (255, 255, 255), None
        series = 0

        def __init__(self, *levels):
            from hemalum.slides import Level

            self.levels, self.asked, self.notices = tuple(Level(*level) for level in levels), [], []

        def fetch(self, level, x, y, width, height):
            self.asked.append(level)
            return np.zeros((height, width, 3), np.uint8)

        def close(self): ...

    source = Source((101, 101, 1), (50, 50, 2), (25, 25, 4), (12, 12, 0))
    slide = Slide(Path("x"), source)
    slide.read(Rect(0, 0, 40, 40), 4)
    slide.read(Rect(0, 0, 40, 40), 2)
    slide.read(Rect(0, 0, 42, 42), 6)
    slide.read(Rect(0, 0, 40, 40), 3)
    slide.read(Rect(61, 61, 40, 40), 4)  # not on the level's grid
    slide.read(Rect(60, 60, 41, 41), 4)  # the level lacks the last, partial px
    assert source.asked == [2, 1, 1, 0, 0, 0]


def test_cropped_to_bounds_and_over_the_background(monkeypatch, cmu_pixels):
    from hemalum.slides import from_openslide

    class Bounded(openslide.OpenSlide):
        @property
        def properties(self):
            bounds = {"x": "100", "y": "50", "width": "1000", "height": "800"}
            return {
                **super().properties,
                **{f"openslide.bounds-{k}": v for k, v in bounds.items()},
                "openslide.background-color": "0A141E",
            }

        def read_region(self, location, level, size):
            image = super().read_region(location, level, size)
            image.putpixel((0, 0), (200, 100, 0, 128))
            return image

    monkeypatch.setattr(from_openslide.openslide, "OpenSlide", Bounded)
    with open_slide(CMU) as slide:
        assert slide.size == (1000, 800) and slide.background == (10, 20, 30) and "cropped" in slide.notices[0]
        pixels = slide.read(Rect(40, 30, 60, 60))
        assert (pixels[1:] == cmu_pixels[81:140, 140:200]).all()
        assert np.abs(pixels[0, 0].astype(int) - (105, 60, 15)).max() <= 1


@pytest.mark.parametrize(
    ("mode", "words"),
    [("RGB", None), ("L", "grey"), ("1", "grey"), ("RGBA", "over white"), ("LA", "over white"), ("P", "palette image")],
)
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_plain_kinds(tmp_path, mode, words, suffix):
    image = Image.fromarray(noise(40, 30)).convert(mode)
    if mode in ("RGBA", "LA"):
        image.putalpha(Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 30), dtype=np.uint8)))
    image.save(tmp_path / f"a.{suffix}")
    wanted = (
        image.convert("RGB")
        if "A" not in mode
        else Image.alpha_composite(Image.new("RGBA", (30, 40), "white"), image.convert("RGBA"))
    )
    with open_slide(tmp_path / f"a.{suffix}") as slide:
        assert slide.size == (30, 40) and slide.mpp is None
        assert np.abs(slide.read(Rect(0, 0, 30, 40)).astype(int) - np.asarray(wanted.convert("RGB"))).max() <= 1
        assert words is None or any(words in notice for notice in slide.notices)
        with pytest.raises(UnknownResolution, match="--mpp"):
            slide.require_mpp()


@pytest.mark.parametrize("colour", [0, 255])
@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (60, 50)])
def test_tiny_white_and_black(tmp_path, size, colour):
    Image.new("RGB", size, (colour,) * 3).save(tmp_path / "a.png")
    with open_slide(tmp_path / "a.png") as slide:
        assert slide.size == size and (slide.overview() == colour).all()


def test_where_a_resolution_comes_from(tmp_path):
    image = Image.fromarray(noise(20, 20))
    image.save(tmp_path / "screen.png", dpi=(96, 96))
    image.save(tmp_path / "screen.jpg", dpi=(300, 300))
    image.save(tmp_path / "micro.png", dpi=(25400 / 0.499,) * 2)
    tifffile.imwrite(tmp_path / "micro.tif", np.asarray(image), resolution=(20000, 20000), resolutionunit="CENTIMETER")
    tifffile.imwrite(tmp_path / "none.tif", np.asarray(image), resolution=(4, 4), resolutionunit="NONE")
    tifffile.imwrite(tmp_path / "ij.tif", np.asarray(image), imagej=True, resolution=(4, 4), metadata={"unit": "um"})
    tifffile.imwrite(
        tmp_path / "nm.ome.tif", np.asarray(image), metadata={"PhysicalSizeX": 250, "PhysicalSizeXUnit": "nm"}
    )
    tifffile.imwrite(tmp_path / "wild.ome.tif", np.asarray(image), metadata={"PhysicalSizeX": 1000})
    found = {}
    for path in tmp_path.iterdir():
        with open_slide(path) as slide:
            found[path.name] = slide.mpp, slide.mpp_source
    assert found == {
        "screen.png": (None, ""),
        "screen.jpg": (None, ""),
        "micro.png": (0.499, "PNG pHYs"),
        "micro.tif": (0.5, "TIFF resolution"),
        "none.tif": (None, ""),
        "ij.tif": (0.25, "ImageJ"),
        "nm.ome.tif": (0.25, "OME"),
        "wild.ome.tif": (None, ""),
    }


def test_other_tiffs(tmp_path):
    image = noise(70, 90)
    tifffile.imwrite(tmp_path / "planar.ome.tif", np.moveaxis(image, 2, 0), photometric="rgb", planarconfig="separate")
    tifffile.imwrite(tmp_path / "stack.tif", np.stack([image, image[::-1]]), photometric="rgb")
    tifffile.imwrite(tmp_path / "white.tif", image[..., 0], photometric="miniswhite")
    names = {"axes": "CYX", "Channel": {"Name": ["Red", "Green", "Blue"]}}
    tifffile.imwrite(tmp_path / "named.ome.tif", np.moveaxis(image, 2, 0), photometric="minisblack", metadata=names)
    wanted = {
        "planar.ome.tif": image,
        "stack.tif": image,
        "white.tif": 255 - image[..., :1].repeat(3, 2),
        "named.ome.tif": image,
    }
    for name, pixels in wanted.items():
        with open_slide(tmp_path / name) as slide:
            assert (slide.read(Rect(0, 0, 90, 70)) == pixels).all(), name
            assert name != "stack.tif" or "first of 2 planes" in slide.notices[0]


def test_a_large_plain_tiff_is_read_once(tmp_path):
    image = noise(2100, 2100)
    tifffile.imwrite(tmp_path / "strip.tif", image, rowsperstrip=2100, compression="zlib")
    tifffile.imwrite(tmp_path / "raw.tif", image, rowsperstrip=2100)
    for name in ("strip.tif", "raw.tif"):
        with open_slide(tmp_path / name) as slide:
            assert (slide.read(Rect(2000, 1000, 100, 100)) == image[1000:1100, 2000:]).all()
            assert slide.overview().shape == (1050, 1050, 3)


def test_a_folder_means_its_images(tmp_path):
    for name in ("b.png", "a.SVS", "notes.txt", ".hidden.png"):
        (tmp_path / name).write_bytes(b"x")
    assert [p.name for p in images_in([tmp_path])] == ["a.SVS", "b.png"]
