"""What the tags of a TIFF page say its numbers mean: each kind is read as that, or refused by name.

The table of kinds is in docs/slides.md; `tests/slides/test_tiff_pixels.py` generates each of them and compares with
other decoders.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from tifffile import COMPRESSION, PHOTOMETRIC, TIFF, TiffPage

from hemalum.errors import UnsupportedImage

GREY = (PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.MINISBLACK)
COLOURS = {PHOTOMETRIC.RGB: 3, PHOTOMETRIC.YCBCR: 3, PHOTOMETRIC.PALETTE: 1, **dict.fromkeys(GREY, 1)}
NAMES = {
    PHOTOMETRIC.SEPARATED: "printing colours (CMYK)",
    PHOTOMETRIC.CIELAB: "CIELAB colours",
    PHOTOMETRIC.ICCLAB: "CIELAB colours (ICC)",
    PHOTOMETRIC.ITULAB: "CIELAB colours (ITU)",
    PHOTOMETRIC.LOGL: "logarithmic luminance (LogL)",
    PHOTOMETRIC.LOGLUV: "logarithmic colours (LogLuv)",
    PHOTOMETRIC.CFA: "raw pixels of a camera (CFA)",
    PHOTOMETRIC.LINEAR_RAW: "raw pixels of a camera",
    PHOTOMETRIC.MASK: "a mask of transparency",
}
UNSPECIFIED, PREMULTIPLIED, STRAIGHT = 0, 1, 2  # TIFF's ExtraSamples
JPEG = (COMPRESSION.JPEG, COMPRESSION.ALT_JPEG, COMPRESSION.JPEG_LOSSY)  # their decoder turns YCbCr into RGB
PLAIN = (
    COMPRESSION.NONE, COMPRESSION.LZW, COMPRESSION.ADOBE_DEFLATE, COMPRESSION.DEFLATE, COMPRESSION.PACKBITS,
    COMPRESSION.LZMA, COMPRESSION.ZSTD, COMPRESSION.ZSTD_DEPRECATED,
)  # fmt: skip
FULL_RANGE = (0.0, 255.0, 128.0, 255.0, 128.0, 255.0)  # reference black and white of Y, Cb, Cr if not stated
BT601 = (0.299, 0.587, 0.114)  # shares of red, green, blue in Y if not stated


@dataclass
class PageColours:
    """How a page's numbers become RGB.

    Attributes:
        samples: numbers a pixel, of which `colours` are colour.  alpha: which of them is transparency, or None.
        premultiplied: colours are multiplied by it already.
        notices: what is said to the user.
    """

    photometric: int
    samples: int
    colours: int
    bits: int = 8
    alpha: int | None = None
    premultiplied: bool = False
    palette: np.ndarray | None = None
    to_rgb: tuple[np.ndarray, np.ndarray] | None = None  # YCbCr: matrix 3×3 and offset, float64
    notices: list[str] = field(default_factory=list)

    def rgb(self, pixels: np.ndarray) -> np.ndarray:
        """Numbers h×w or h×w×samples (uint8, bool) → uint8 h×w×3, or h×w×4 where there is transparency."""
        if pixels.ndim == 2:
            pixels = pixels[..., None]
        colour = pixels[..., : self.colours]
        if self.palette is not None:
            colour = self.palette[colour[..., 0].astype(np.uint8)]
        else:
            colour = _eight_bits(colour, self.bits)
            if self.photometric == PHOTOMETRIC.MINISWHITE:
                colour = 255 - colour
            if self.to_rgb is not None:
                matrix, offset = self.to_rgb
                colour = np.clip(np.rint(colour @ matrix.T + offset), 0, 255).astype(np.uint8)
            if self.colours == 1:
                colour = np.repeat(colour, 3, axis=2)
        if self.alpha is None:
            return np.ascontiguousarray(colour)
        return np.concatenate([colour, _eight_bits(pixels[..., self.alpha, None], self.bits)], axis=2)


def page_colours(page: TiffPage, name: str, as_rgb: bool = False) -> PageColours:
    """How to read a page.

    Args:
        name: of the file, for sentences.
        as_rgb: three grey planes are red, green and blue, as an OME header says by their names.

    Raises:
        UnsupportedImage: a kind that is not read.
    """
    kind = _photometric(page, name)
    if kind not in COLOURS:
        what = NAMES.get(kind, f"pixels of an unknown kind (photometric interpretation {int(kind)})")
        raise UnsupportedImage(f"{name} has {what}; save it as RGB")
    bits = _bits(page, name)
    samples, colours = page.samplesperpixel, COLOURS[kind]
    if as_rgb:
        return PageColours(kind, 3, 3, bits)
    extra = tuple(page.extrasamples)
    if samples < colours:
        raise UnsupportedImage(f"{name} has {samples} samples a pixel where its kind needs {colours}; save it as RGB")
    if colours == 1 and not extra and samples > 1 or samples > colours + 1:
        raise UnsupportedImage(f"{name} has {samples} channels (fluorescence?); export it as brightfield RGB")
    if page.compression == COMPRESSION.OJPEG:
        raise UnsupportedImage(f"{name} is compressed by the JPEG of TIFF 5, which was given up; save it as RGB again")
    found = PageColours(kind, samples, colours, bits)
    if samples > colours:
        _extra(found, extra[0] if extra else STRAIGHT, name)
    if kind == PHOTOMETRIC.PALETTE:
        found.palette = _palette(page, name)
        found.notices.append("palette image, converted to RGB")
    elif kind in GREY:
        found.notices.append("grey image, converted to RGB")
    elif kind == PHOTOMETRIC.YCBCR:
        found.to_rgb = _from_ycbcr(page, name)
    elif page.compression == COMPRESSION.APERIO_JP2000_YCBC:
        raise UnsupportedImage(f"{name} has YCbCr pixels in JPEG 2000 and is no Aperio slide; save it as RGB")
    return found


def _photometric(page: TiffPage, name: str) -> int:
    if 262 in page.tags or page.compression == COMPRESSION.OJPEG:
        return page.photometric
    if page.samplesperpixel == 3:  # a tag that must be there is not; as libtiff guesses
        return page.photometric or PHOTOMETRIC.RGB
    raise UnsupportedImage(f"{name} does not say what its numbers mean (no photometric interpretation); save it as RGB")


def _bits(page: TiffPage, name: str) -> int:
    dtype, bits = page.dtype, page.bitspersample
    if dtype is None or isinstance(bits, tuple) or dtype.kind not in "bu" or dtype.itemsize > 1 or bits > 8:
        what = f"{dtype} pixels" if dtype is not None and dtype != np.uint8 else f"pixels of {bits} bits"
        raise UnsupportedImage(f"{name} has {what}; save it as 8-bit RGB")
    return bits


def _extra(found: PageColours, kind: int, name: str) -> None:
    if found.photometric == PHOTOMETRIC.YCBCR:
        raise UnsupportedImage(f"{name} has YCbCr pixels with an extra channel; save it as RGB")
    if kind == UNSPECIFIED:
        if found.colours == 1:
            raise UnsupportedImage(f"{name} has {found.samples} channels (fluorescence?); export it as brightfield RGB")
        found.notices.append("a fourth channel that is not said to be transparency is left out")
        return
    if kind not in (PREMULTIPLIED, STRAIGHT):
        raise UnsupportedImage(f"{name} has an extra channel of an unknown kind ({kind}); save it as RGB")
    if kind == PREMULTIPLIED and found.photometric in (PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.PALETTE):
        raise UnsupportedImage(f"{name} has colours multiplied by transparency that are no RGB; save it as RGB")
    found.alpha, found.premultiplied = found.colours, kind == PREMULTIPLIED


def _palette(page: TiffPage, name: str) -> np.ndarray:
    if page.colormap is None or page.colormap.shape != (3, 2**page.bitspersample):
        raise UnsupportedImage(f"{name} has a palette of the wrong size; save it as RGB")
    colours = page.colormap.T
    return (colours >> 8 if colours.max() > 255 else colours).astype(np.uint8)  # some programs write 8 bits, not 16


def _from_ycbcr(page: TiffPage, name: str) -> tuple[np.ndarray, np.ndarray] | None:
    """TIFF 6.0, section 21, and section 20 for reference black and white."""
    if page.compression in JPEG and page.planarconfig == 1:
        return None
    if page.compression not in PLAIN or page.bitspersample != 8:
        compression = getattr(page.compression, "name", page.compression)
        raise UnsupportedImage(f"{name} has YCbCr pixels with {compression} compression; save it as RGB")
    if page.subsampling is None:  # which means 2 × 2, and many programs did not know it
        page.subsampling = (1, 1) if _full_colour(page) else (2, 2)
    across, down = page.subsampling
    if (across, down) != (1, 1):
        raise UnsupportedImage(
            f"{name} has YCbCr pixels with one colour for {across} × {down} px (subsampling); save it as RGB"
        )
    red, green, blue = _fractions(page, "YCbCrCoefficients", BT601)
    black_white = _fractions(page, "ReferenceBlackWhite", FULL_RANGE)
    black, white = np.array(black_white[::2]), np.array(black_white[1::2])
    spread = white - black
    if not (green > 0 and (spread != 0).all()):
        raise UnsupportedImage(f"{name} has YCbCr pixels with impossible coefficients; save it as RGB")
    scale = np.array([255.0, 127.0, 127.0]) / spread
    of_cr, of_cb = 2 - 2 * red, 2 - 2 * blue
    matrix = np.array([[1, 0, of_cr], [1, -blue * of_cb / green, -red * of_cr / green], [1, of_cb, 0]]) * scale
    return matrix, -matrix @ black


def _full_colour(page: TiffPage) -> bool:
    """Whether a tile or strip is as long as one whose colour is stored for every px."""
    places = zip(page.dataoffsets, page.databytecounts, strict=True)
    start, length = next(((start, length) for start, length in places if start and length), (0, 0))
    if not length:
        return False
    file = page.parent.filehandle
    file.seek(start)
    data = TIFF.DECOMPRESSORS[page.compression](file.read(length))
    height, width = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
    planes = 1 if page.planarconfig == 2 else page.samplesperpixel
    return len(data) >= min(height, page.imagelength if not page.is_tiled else height) * width * planes


def _fractions(page: TiffPage, tag: str, default: tuple[float, ...]) -> tuple[float, ...]:
    value = page.tags.valueof(tag)
    if value is None:
        return default
    flat = [float(number) for number in value]
    if len(flat) == 2 * len(default):  # numerators and denominators
        flat = [above / below if below else 0.0 for above, below in zip(flat[::2], flat[1::2], strict=True)]
    return tuple(flat) if len(flat) == len(default) else default


def _eight_bits(pixels: np.ndarray, bits: int) -> np.ndarray:
    if pixels.dtype == np.bool_:
        return pixels.astype(np.uint8) * np.uint8(255)
    if bits == 8:
        return pixels
    most = 2**bits - 1
    return ((pixels.astype(np.uint16) * 255 + most // 2) // most).astype(np.uint8)
