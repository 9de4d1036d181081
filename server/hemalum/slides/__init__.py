"""One way to open any image: `open_slide`.

Frame: level-0 px as QuPath shows them (x right, y down, pixel-corner convention): cropped to `openslide.bounds-*`,
alpha composited over the slide's background colour.  Pixels are uint8 h×w×3 RGB.

OpenSlide reads the scanners' formats; tifffile with zarr reads OME-TIFF, big TIFF and other tiled TIFF; Pillow reads
PNG, JPEG, BMP and other plain images.  Seen with real files: Aperio SVS (JPEG and JPEG 2000), plain images, pyramidal
OME-TIFF of our own making.  Untested for want of a file: Hamamatsu NDPI, MIRAX MRXS, Leica SCN, Ventana BIF, Philips
TIFF, Zeiss CZI, DICOM.

>>> import hemalum, pathlib
>>> from hemalum.grid.tiling import Rect
>>> with open_slide(pathlib.Path(hemalum.__file__).parent / "data" / "CMU-1-Small-Region.svs") as slide:
...     slide.size, slide.mpp, slide.mpp_source, slide.read(Rect(0, 0, 100, 50), 2).shape, slide.overview().shape
((2220, 2967), 0.499, 'openslide.mpp-x', (25, 50, 3), (1484, 1110, 3))
"""

from __future__ import annotations

from pathlib import Path

from hemalum.errors import UnreadableImage, UsageError
from hemalum.grid.tiling import check_mpp
from hemalum.slides.inputs import images_in, left_out, stem
from hemalum.slides.pyramid import write_pyramid
from hemalum.slides.slide import Level, Slide

__all__ = ["Level", "Slide", "images_in", "left_out", "open_slide", "stem", "write_pyramid"]

TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def open_slide(path: str | Path, mpp: float | None = None, series: int | None = None) -> Slide:
    """Open a slide or a plain image; reads the header only.

    Args:
        path: a file.
        mpp: µm per level-0 px, 0.05–4; overrides what the file says (both are recorded).
        series: which image of a TIFF, from 0; None is the largest that is no label, macro or thumbnail.

    Raises:
        UsageError: `mpp` outside 0.05–4, a series that is not there.
        UnreadableImage: missing, empty, a folder, damaged, or no image.
        UnsupportedImage: 16-bit, several channels (fluorescence), CMYK.
    """
    path = Path(path)
    if mpp is not None:
        check_mpp(mpp)
    try:
        if path.is_dir():
            raise UnreadableImage(f"{path} is a folder; name an image in it")
        if path.exists() and not path.is_file():  # reading a pipe would wait for ever
            raise UnreadableImage(f"{path} is a pipe or a device; name a file")
        with open(path, "rb") as file:
            magic = file.read(4)
    except FileNotFoundError:
        raise UnreadableImage(f"{path} does not exist; check the path") from None
    except OSError as error:
        raise UnreadableImage(f"{path} cannot be opened ({error.strerror}); check that you may read it") from None
    if not magic:
        raise UnreadableImage(f"{path} is empty; copy it again")
    return Slide(path, _source(path, magic, series), mpp)


def _source(path: Path, magic: bytes, series: int | None):
    # each library is imported for its own formats only: tifffile and zarr take a third of a second
    from hemalum.slides import from_openslide

    if from_openslide.detects(path):
        if series:
            raise UsageError(f"{path.name} holds one scan, 0, beside label and macro; leave out --series {series}")
        return from_openslide.OpenSlideSource(path)
    if magic in TIFF_MAGIC:
        from hemalum.slides import from_tiff

        return from_tiff.TiffSource(path, series)
    if series:
        raise UsageError(f"{path.name} holds one image; leave out --series {series}")
    from hemalum.slides import from_pillow

    return from_pillow.PillowSource(path)
