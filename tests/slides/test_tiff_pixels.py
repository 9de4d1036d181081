"""Every kind of pixels that a TIFF's tags can name is read as other decoders read it, or refused by name.

The table in docs/slides.md is the contract; each of its cells, and each that is not in it, is a generated file.
"""

from __future__ import annotations

import itertools
import re
import zlib
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile
from PIL import Image
from tests.slides import raw_tiff as raw

from hemalum.errors import UnreadableImage, UnsupportedImage
from hemalum.grid.tiling import Rect
from hemalum.slides import open_slide

PAGE = Path(__file__).parents[2] / "docs" / "slides.md"
KINDS = {None: 3, 0: 1, 1: 1, 2: 3, 3: 1, 4: 1, 5: 4, 6: 3, 8: 3, 9: 3, 10: 3, 99: 3}  # and how many numbers a colour
KINDS |= {32803: 1, 32844: 1, 32845: 3, 34892: 3}
EXTRAS = ("none", "0", "1", "2", "9")
BITS = (1, 2, 3, 4, 5, 6, 7, 8, 16, 32)


def contract() -> set[tuple[int | None, str, int]]:
    """Kinds, extra samples and bits that docs/slides.md says are read."""
    found = set()
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        row = re.fullmatch(r"\| [^|]*\((\d+|no tag)\) \| ([^|]*) \| ([^|]*) \| [^|]* \|", line)
        if row is None:
            continue
        kind = None if row[1] == "no tag" else int(row[1])
        bits = [int(number) for number in re.findall(r"\d+", row[3])]
        extras = ["none" if word == "none" else word for word in re.findall(r"none|\d", row[2])]
        found |= set(itertools.product([kind], extras, bits))
    return found


def generated(path, kind, extra, bits, planar=1, tile=None):
    """A small file of one kind, and its numbers."""
    rng = np.random.default_rng(bits)
    colours = KINDS[kind]
    most = 2 ** min(bits, 16) - 1
    numbers = rng.integers(0, most + 1, (32, 48, colours + (extra != "none")))
    if extra == "1":
        numbers[..., :colours] = numbers[..., :colours] * numbers[..., colours:] // most
    tags = {}
    if kind == 3:
        tags[raw.COLOUR_MAP] = rng.integers(256, 65536, 3 * 2 ** min(bits, 8)).tolist()
    if kind == 6:
        tags[raw.SUBSAMPLING] = [1, 1]
    values = None if extra == "none" else [int(extra)]
    return raw.write(path, numbers, kind, bits, extra=values, planar=planar, tile=tile, tags=tags)


def ours(path):
    with open_slide(path) as slide:
        return slide.read(Rect(0, 0, *slide.size)), list(slide.notices)


def over_white(image):
    image = image.convert("RGB") if image.mode == "RGBX" else image.convert("RGBA").convert("RGBA")
    if image.mode == "RGB":
        return np.asarray(image)
    return np.asarray(Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB"))


def of_pillow(path):
    """Pillow's pixels, or None where it cannot."""
    try:
        with Image.open(path) as image:
            image.load()
            return over_white(image)
    except (OSError, ValueError, KeyError):
        return None


def of_libtiff(path):
    """The pixels of libtiff, by OpenSlide, which reads tiled files only; None where it cannot."""
    try:
        with openslide.OpenSlide(path) as slide:
            return over_white(slide.read_region((0, 0), 0, slide.dimensions))
    except openslide.OpenSlideError:
        return None


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("extra", EXTRAS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_cell_is_read_as_others_do_or_refused_by_name(tmp_path, kind, extra, bits):
    wanted = (kind, extra, bits) in contract()
    samples = KINDS[kind] + (extra != "none")
    pictures = []
    for planar, tile in itertools.product((1, 2) if samples > 1 else (1,), (None, 16)):
        path = generated(tmp_path / f"a{planar}{tile}.tif", kind, extra, bits, planar, tile)
        if not wanted:
            refused = rf"{path.name} (has|is|does not) .*; (save|export) it"
            with pytest.raises(UnsupportedImage, match=refused) as caught:
                open_slide(path)
            assert caught.value.exit_code == 2
            continue
        pictures.append(ours(path)[0])
        assert np.array_equal(pictures[0], pictures[-1])
        pillow, libtiff = of_pillow(path), of_libtiff(path)
        if pillow is not None and kind != 6:
            assert np.abs(pictures[-1].astype(int) - pillow).max() <= 1
        if libtiff is not None and extra != "0":  # libtiff takes an extra channel for transparency, whatever it is
            assert np.abs(pictures[-1].astype(int) - libtiff).max() <= 1
        if (bits, planar) == (8, 1) and kind in (1, 2) and extra in ("none", "2"):
            assert pillow is not None, "a second decoder has to agree where there is one"


def test_the_table_says_what_is_read():
    read = contract()
    assert {(2, "none", 8), (1, "none", 1), (6, "none", 8)} <= read
    assert not any(kind in (5, 8, 32845) or bits > 8 for kind, _, bits in read)


# --- colours


def ycbcr(tmp_path, tags=None, **options):
    picture = np.random.default_rng(0).integers(40, 220, (32, 48, 3), dtype=np.uint8)
    numbers = np.asarray(Image.fromarray(picture).convert("YCbCr"))
    return raw.write(tmp_path / "y.tif", numbers, 6, tags={raw.SUBSAMPLING: [1, 1], **(tags or {})}, **options), numbers


@pytest.mark.parametrize("compression", [1, 8])
@pytest.mark.parametrize("tile", [None, 16])
@pytest.mark.parametrize("planar", [1, 2])
def test_ycbcr_that_is_no_jpeg_is_converted(tmp_path, compression, tile, planar):
    encode = zlib.compress if compression == 8 else bytes
    path, numbers = ycbcr(tmp_path, {raw.COMPRESSION: compression}, tile=tile, planar=planar, encode=encode)
    theirs = np.asarray(Image.fromarray(numbers, "YCbCr").convert("RGB")).astype(int)
    assert np.abs(ours(path)[0] - theirs).max() <= 1
    if tile and planar == 1 and compression == 8:
        libtiff = of_libtiff(path)
        assert libtiff is not None and np.abs(ours(path)[0].astype(int) - libtiff).max() <= 2


@pytest.mark.parametrize("black_white", [[16, 235, 128, 240, 128, 240], [0, 255, 128, 255, 128, 255]])
@pytest.mark.parametrize("coefficients", [None, [0.299, 0.587, 0.114], [0.2126, 0.7152, 0.0722]])
def test_ycbcr_with_its_own_black_white_and_coefficients(tmp_path, black_white, coefficients):
    tags = {raw.BLACK_WHITE: black_white, raw.COMPRESSION: 8}
    if coefficients:
        tags[raw.COEFFICIENTS] = coefficients
    path, _ = ycbcr(tmp_path, tags, tile=16, encode=zlib.compress)
    libtiff = of_libtiff(path)
    assert libtiff is not None
    assert np.abs(ours(path)[0].astype(int) - libtiff).max() <= 4  # libtiff calculates in whole numbers


@pytest.mark.parametrize("said", [True, False])
def test_ycbcr_with_fewer_colours_than_pixels_is_refused(tmp_path, said):
    numbers = np.zeros((16, 24, 3), int)  # as many numbers as 32 × 24 px have with a colour for each 2 × 2
    tags = {raw.WIDTH: 32, raw.HEIGHT: 24, raw.ROWS: 24} | ({raw.SUBSAMPLING: [2, 2]} if said else {})
    path = raw.write(tmp_path / "a.tif", numbers, 6, tags=tags)
    with pytest.raises(UnsupportedImage, match="one colour for 2 × 2 px .*save it as RGB"):
        open_slide(path)


def test_ycbcr_that_does_not_say_how_often_colour_is_stored(tmp_path):
    numbers = np.random.default_rng(0).integers(0, 256, (70, 48, 3), dtype=np.uint8)
    raw.write(tmp_path / "a.tif", numbers, 6, tags={raw.COMPRESSION: 8}, encode=zlib.compress)
    theirs = np.asarray(Image.fromarray(numbers, "YCbCr").convert("RGB")).astype(int)
    assert np.abs(ours(tmp_path / "a.tif")[0] - theirs).max() <= 1


@pytest.mark.parametrize("subsampling", [(1, 1), (2, 1), (2, 2)])
def test_ycbcr_in_jpeg_is_read_by_its_decoder(tmp_path, subsampling):
    ramp = np.linspace(60, 200, 64).astype(np.uint8)
    smooth = np.stack(np.meshgrid(ramp, ramp), -1)
    smooth = np.dstack([smooth, np.full((64, 64), 180, np.uint8)])
    tifffile.imwrite(
        tmp_path / "a.tif", smooth, photometric="rgb", compression="jpeg", subsampling=subsampling, tile=(64, 64)
    )
    assert tifffile.TiffFile(tmp_path / "a.tif").pages[0].photometric == 6
    pixels = ours(tmp_path / "a.tif")[0].astype(int)
    assert np.abs(pixels - smooth).max() <= 12 and np.abs(pixels - of_pillow(tmp_path / "a.tif")).max() <= 4


def test_a_palette_is_called_one_and_eight_bit_palettes_are_understood(tmp_path):
    numbers = np.random.default_rng(0).integers(0, 256, (20, 30, 1))
    colours = np.random.default_rng(1).integers(0, 256, (3, 256))
    found = []
    for name, factor in (("long", 257), ("short", 1)):
        tags = {raw.COLOUR_MAP: (colours * factor).ravel().tolist()}
        pixels, notices = ours(raw.write(tmp_path / f"{name}.tif", numbers, 3, tags=tags))
        assert notices == ["palette image, converted to RGB"]
        found.append(pixels)
    assert (found[0] == colours.T[numbers[..., 0]]).all() and (found[0] == found[1]).all()


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_small_numbers_reach_white(tmp_path, bits):
    ramp = np.arange(2**bits).repeat(8).reshape(1, -1, 1).repeat(4, 0)
    pixels, notices = ours(raw.write(tmp_path / "a.tif", ramp, 1, bits))
    assert pixels.min() == 0 and pixels.max() == 255 and len(np.unique(pixels)) == 2**bits
    assert notices == ["grey image, converted to RGB"]


def test_bits_in_reverse_order(tmp_path):
    numbers = np.random.default_rng(0).integers(0, 2, (20, 30, 1))
    turned = bytes.maketrans(bytes(range(256)), bytes(int(f"{i:08b}"[::-1], 2) for i in range(256)))
    path = raw.write(
        tmp_path / "a.tif", numbers, 1, 1, tags={raw.FILL_ORDER: 2}, encode=lambda chunk: chunk.translate(turned)
    )
    assert (ours(path)[0][..., 0] == numbers[..., 0] * 255).all() and (of_pillow(path) == ours(path)[0]).all()


@pytest.mark.parametrize("compression", ["zlib", "lzw", "packbits", "zstd"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("predictor", [False, True])
def test_compressions_and_predictor(tmp_path, compression, planar, predictor):
    if predictor and compression == "packbits":
        pytest.skip("there is no such file")
    image = np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8)
    stored = np.moveaxis(image, 2, 0) if planar == "separate" else image
    options = {"planarconfig": planar, "compression": compression, "predictor": predictor, "tile": (32, 32)}
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", metadata=None, **options)
    assert (ours(tmp_path / "a.tif")[0] == image).all()


# --- transparency


@pytest.mark.parametrize("extra", [1, 2])
@pytest.mark.parametrize("tile", [None, 16])
def test_a_picture_that_is_transparent_everywhere_is_shown(tmp_path, extra, tile):
    numbers = np.random.default_rng(0).integers(0, 256, (40, 50, 4))
    numbers[..., 3] = 0
    pixels, notices = ours(raw.write(tmp_path / "a.tif", numbers, 2, extra=[extra], tile=tile))
    assert (pixels == numbers[..., :3]).all() and "transparency is ignored" in notices[-1]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_the_same_of_plain_images(tmp_path, mode, suffix):
    if (mode, suffix) == ("LA", "webp"):
        pytest.skip("there is no such file")
    numbers = np.random.default_rng(0).integers(0, 256, (40, 50, len(mode)), dtype=np.uint8)
    numbers[..., -1] = 0
    Image.fromarray(numbers, mode).save(tmp_path / f"a.{suffix}", lossless=True, exact=True)
    pixels, notices = ours(tmp_path / f"a.{suffix}")
    assert (pixels == (numbers[..., :1] if mode == "LA" else numbers[..., :3])).all()
    assert "transparency is ignored" in notices[-1]


def test_one_visible_pixel_far_away_makes_transparency_count(tmp_path):
    numbers = np.zeros((2100, 2100, 4), np.uint8)
    numbers[2099, 2099] = 10, 20, 30, 255
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, numbers, photometric="rgb", extrasamples=["unassalpha"], tile=(256, 256), metadata=None)
    with open_slide(path) as slide:
        assert (slide.read(Rect(0, 0, 50, 50)) == 255).all()
        assert slide.read(Rect(2099, 2099, 1, 1)).tolist() == [[[10, 20, 30]]]
        assert slide.notices == ["transparent pixels are shown over white"]


def test_premultiplied_colours_are_not_multiplied_again(tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (40, 50, 3))
    alpha = np.full((40, 50, 1), 128)
    numbers = np.concatenate([colours * 128 // 255, alpha], axis=2)
    pixels, _ = ours(raw.write(tmp_path / "a.tif", numbers, 2, extra=[1]))
    assert np.abs(pixels - (colours * 128 / 255 + 127)).max() <= 2


# --- tiles that were never written


@pytest.mark.parametrize("tile", [None, 16])
@pytest.mark.parametrize("kind", [0, 1, 2, 3, 6])
@pytest.mark.parametrize("planar", [1, 2])
def test_what_was_never_written_is_background(tmp_path, kind, tile, planar):
    samples = KINDS[kind]
    if planar == 2 and samples == 1:
        pytest.skip("one sample has one plane")
    numbers = np.random.default_rng(0).integers(1, 250, (32, 48, samples))
    tags = {raw.COLOUR_MAP: [0] * 768} if kind == 3 else {raw.SUBSAMPLING: [1, 1]} if kind == 6 else {}
    if tile is None:  # strips of 16 rows: the second is missing in each plane
        whole = raw.write(tmp_path / "whole.tif", numbers, kind, tags=tags, planar=planar)
        with tifffile.TiffFile(whole) as file:
            places, counts = file.pages[0].dataoffsets, file.pages[0].databytecounts
        halves = [[place, 0] for place in places]
        lengths = [[count // 2, 0] for count in counts]
        tags |= {raw.ROWS: 16, raw.OFFSETS: sum(halves, []), raw.COUNTS: sum(lengths, [])}
        path, missing = raw.write(tmp_path / "a.tif", numbers, kind, tags=tags, planar=planar), np.s_[16:, :]
    else:  # tiles of 16 px, 3 a row: 1 and 4 of each plane
        whole = raw.write(tmp_path / "whole.tif", numbers, kind, tags=tags, planar=planar, tile=16)
        gone = [6 * plane + i for plane in range(samples if planar == 2 else 1) for i in (1, 4)]
        path = raw.write(tmp_path / "a.tif", numbers, kind, tags=tags, planar=planar, tile=16, missing=gone)
        missing = np.s_[:, 16:32]
    wanted = ours(whole)[0].copy()
    wanted[missing] = 255
    pixels, notices = ours(path)
    assert (pixels == wanted).all()
    count = "2 of 6 tiles" if tile else "1 of 2 strips"
    assert f"{count} were never written and are shown as background" in notices
    with open_slide(path) as slide:
        assert (slide.read(Rect(1, 17, 40, 10)) == wanted[17:27, 1:41]).all() and (slide.overview() == wanted).all()


def test_a_place_without_a_tile_is_no_pixels_of_the_files_head(tmp_path):
    numbers = np.random.default_rng(0).integers(0, 256, (32, 48, 3))
    options = {"tile": 16, "encode": zlib.compress, "missing": [5]}
    path = raw.write(tmp_path / "a.tif", numbers, 2, tags={raw.COMPRESSION: 8}, **options)
    with tifffile.TiffFile(path) as file:
        counts = list(file.pages[0].databytecounts)
    counts[5] = 300
    path = raw.write(tmp_path / "a.tif", numbers, 2, tags={raw.COMPRESSION: 8, raw.TILE_COUNTS: counts}, **options)
    pixels, _ = ours(path)
    assert (pixels[16:, 32:] == 255).all() and (pixels[:16] == numbers[:16]).all()


def test_a_file_without_any_tile_is_refused(tmp_path):
    path = raw.write(tmp_path / "a.tif", np.ones((32, 48, 3), int), 2, tile=16, missing=range(6))
    with pytest.raises(UnreadableImage, match="holds no pixels.*copy or export it again"):
        open_slide(path)


def test_holes_in_smaller_levels_too(tmp_path):
    image = np.random.default_rng(0).integers(0, 200, (512, 512, 3), dtype=np.uint8)
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as out:
        out.write(image, tile=(64, 64), photometric="rgb", subifds=1, metadata=None)
        out.write(image[::2, ::2], tile=(64, 64), photometric="rgb", subfiletype=1, metadata=None)
    with tifffile.TiffFile(path, mode="r+b") as file:
        for page in (file.pages[0], file.pages[0].pages[0]):
            for name in ("TileOffsets", "TileByteCounts"):
                tag = page.tags[name]
                tag.overwrite([0, *tag.value[1:]])
    with open_slide(path) as slide:
        assert [level.downsample for level in slide.levels] == [1, 2]
        assert (slide.read(Rect(0, 0, 64, 64)) == 255).all() and (slide.read(Rect(0, 0, 128, 128), 2) == 255).all()
        assert (slide.read(Rect(128, 0, 64, 64), 2) == image[:64:2, 128:192:2]).all()


# --- JPEG 2000


@pytest.mark.parametrize("boxed", [True, False])
@pytest.mark.parametrize(("dtype", "bits"), [(np.uint16, 16), (np.uint16, 12), (np.int16, 16), (np.int8, 8)])
@pytest.mark.parametrize("samples", [1, 3])
def test_jpeg_2000_of_more_bits_is_refused(tmp_path, boxed, dtype, bits, samples):
    imagecodecs = pytest.importorskip("imagecodecs")
    image = np.random.default_rng(0).integers(0, 100, (64, 64, samples)).astype(dtype)
    kind = "jp2" if boxed else "j2k"
    data = imagecodecs.jpeg2k_encode(image.squeeze(), codecformat=kind, bitspersample=bits)
    (tmp_path / f"a.{kind}").write_bytes(data)
    what = r"has (\d+ bits per sample|signed samples|more than 8 bits).*; save it as 8-bit"
    with pytest.raises(UnsupportedImage, match=what):
        open_slide(tmp_path / f"a.{kind}")


@pytest.mark.parametrize("kind", ["jp2", "j2k"])
@pytest.mark.parametrize("samples", [1, 3])
def test_jpeg_2000_of_eight_bits_is_read(tmp_path, kind, samples):
    imagecodecs = pytest.importorskip("imagecodecs")
    image = np.random.default_rng(0).integers(0, 256, (64, 64, samples), dtype=np.uint8).squeeze()
    (tmp_path / f"a.{kind}").write_bytes(imagecodecs.jpeg2k_encode(image, codecformat=kind, reversible=True))
    pixels, _ = ours(tmp_path / f"a.{kind}")
    assert (pixels == (image if image.ndim == 3 else image[..., None])).all()
