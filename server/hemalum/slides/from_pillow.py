"""Plain images through Pillow: PNG, JPEG, BMP and their like.  The pixels are decoded at the first read and kept.

>>> PillowSource(Path("tile.png")).fetch(0, 0, 0, 10, 10).shape                  # doctest: +SKIP
(10, 10, 3)
"""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
from PIL import Image

from hemalum.errors import TooMuch, UnreadableImage, UnsupportedImage
from hemalum.slides import transparency
from hemalum.slides.jpeg2000 import head_of
from hemalum.slides.orientation import turned
from hemalum.slides.resolution import NOTHING, by_density
from hemalum.slides.slide import Level

FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "GIF", "PPM", "JPEG2000", "TIFF")  # none that runs another program (EPS)
MODES = {"P": "palette", "PA": "palette"}  # what Pillow's names mean
ORIENTATION = 274
HEAD = 1 << 16  # bytes in which a JPEG 2000 file says what it holds
LARGEST = 4_000_000_000  # px; the decoded image is held in memory
_guard = threading.Lock()  # Pillow's size limit is global: lifted only while one of our files is opened


class PillowSource:
    """See `hemalum.slides.slide.Source`."""

    background = (255, 255, 255)
    series = 0

    def __init__(self, path: Path):
        self._path, self._lock = path, threading.Lock()
        self._pixels: np.ndarray | None = None
        self.notices: list[str] = []
        with self._image() as image:
            self.vendor = image.format or ""
            raw = [tile[3][0] if isinstance(tile[3], tuple) else tile[3] for tile in getattr(image, "tile", ())]
            if image.mode[0] in "IF" or any("16" in str(mode) or "32" in str(mode) for mode in raw):
                raise UnsupportedImage(f"{path.name} has more than 8 bits per sample; save it as 8-bit RGB")
            if image.format == "JPEG2000":
                self._check_codestream()
            if image.mode == "CMYK":
                raise UnsupportedImage(f"{path.name} has printing colours (CMYK); save it as RGB")
            width, height = image.size
            if width * height > LARGEST:
                raise TooMuch(f"{path.name} has {width} × {height} px in one piece; convert it to a pyramidal OME-TIFF")
            self.levels = (Level(width, height, 1),)
            self._alpha = image.mode in ("LA", "PA", "La", "RGBA", "RGBa") or "transparency" in image.info
            if image.mode in ("1", "L", "LA", "La"):
                self.notices.append("grey image, converted to RGB")
            elif image.mode not in ("RGB", "RGBA", "RGBa"):
                self.notices.append(f"{MODES.get(image.mode, image.mode)} image, converted to RGB")
            frames = getattr(image, "n_frames", 1)
            if frames > 1 and image.format != "MPO":
                self.notices.append(f"the first of {frames} pictures in the file is used")
            self.notices += turned(_orientation(image))
            self.icc_profile: bytes | None = image.info.get("icc_profile")
            dpi = image.info.get("dpi", (None, None))
        names = {"PNG": "PNG pHYs", "JPEG": "JPEG density", "TIFF": "TIFF resolution"}
        source = names.get(self.vendor, f"{self.vendor} resolution")
        self.resolution = NOTHING if dpi[0] is None else by_density(dpi[0], dpi[1], "inch", source)

    def _check_codestream(self) -> None:
        """Raises `UnsupportedImage` where JPEG 2000 holds what Pillow would make something else of."""
        name = self._path.name
        with open(self._path, "rb") as file:
            head = head_of(file.read(HEAD))
        if head.bits > 8 or head.signed:
            what = "signed samples" if head.signed else f"{head.bits} bits per sample"
            raise UnsupportedImage(f"{name} has {what}; save it as 8-bit RGB")
        if head.colours:
            raise UnsupportedImage(f"{name} has {head.colours}; save it as RGB")

    def _image(self) -> Image.Image:
        with _guard:
            limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            try:
                return Image.open(self._path, formats=FORMATS)
            except Image.UnidentifiedImageError:
                raise UnreadableImage(
                    f"{self._path.name} is not an image Hemalum can read, or it is damaged; use a slide, TIFF, PNG or "
                    "JPEG"
                ) from None
            except (OSError, SyntaxError, ValueError) as error:
                raise UnreadableImage(f"{self._path.name} is damaged ({error}); copy or export it again") from None
            finally:
                Image.MAX_IMAGE_PIXELS = limit

    def fetch(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        with self._lock:
            if self._pixels is None:
                self._pixels = self._decode()
        return self._pixels[y : y + height, x : x + width].copy()

    def _decode(self) -> np.ndarray:
        with self._image() as image:
            try:
                wanted = "RGBA" if self._alpha else "RGB"
                pixels = np.array(image if image.mode == wanted else image.convert(wanted))
            except (OSError, SyntaxError, ValueError, EOFError) as error:
                raise UnreadableImage(
                    f"{self._path.name} is truncated or damaged ({error}); copy or export it again"
                ) from None
        if not self._alpha:
            return pixels
        if not pixels[..., 3].any():
            self.notices.append(transparency.IGNORED)
            return np.ascontiguousarray(pixels[..., :3])
        self.notices.append(transparency.SHOWN)
        return transparency.composite(pixels, self.background)

    def close(self) -> None:
        self._pixels = None


def _orientation(image: Image.Image):
    """EXIF tag 274; None where there is none, or where it cannot be read."""
    try:
        return image.getexif().get(ORIENTATION)
    except (OSError, SyntaxError, ValueError, TypeError, KeyError):  # damaged EXIF is no reason to refuse the picture
        return None
