"""The teacher's averaged maps of labelled images: OUT/soft/DIGEST.npy, uint8 2×H×W, 255 · foreground and distance at 0.25 µm/px.

The digest is of the pixels, the teacher and the views, so an image that was changed is labelled again and nothing else is.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hemalum.errors import UsageError

from .config import Config
from .datasets import LabelledImage, load_labelled
from .labelling import load_teacher
from .store import write_bytes, write_json
from .views import averaged_maps


@dataclass(frozen=True)
class SoftImage:
    """A labelled image whose labels are the teacher's maps, which are read when it is drawn."""

    image: LabelledImage
    maps: Path
    weight: float

    @property
    def name(self) -> str:
        return self.image.name

    def own(self) -> LabelledImage:
        foreground, distance = np.load(self.maps, mmap_mode="r")
        return replace(self.image, foreground=foreground / np.float32(255), distance=distance / np.float32(255), known=None, sure=None)


def make_soft_maps(config: Config, data: Path, out: Path, init: str | None = None, device: str = "cpu", log=print) -> Path:
    """Write OUT/soft for all images that are learned from; those that this teacher has labelled already are not computed again.

    Raises:
        UsageError: there is no teacher, or it has no distance.
    """
    teacher, views, folder = load_teacher(out, init, device), config.soft.views, Path(out) / "soft"
    folder.mkdir(parents=True, exist_ok=True)
    images = load_labelled(config, data)
    write_json(folder / "teacher.json", {"teacher": teacher.name, "views": views})
    for number, image in enumerate(images, 1):
        path = folder / f"{_digest(image, teacher.name, views)}.npy"
        if not path.is_file():
            maps = averaged_maps(teacher, image.pixels, views, int(path.stem[:8], 16))
            if len(maps) != 2:
                raise UsageError(f"the teacher ({teacher.name}) has no distance; name one with two channels or take [soft] out.")
            _save(path, (255 * maps.clip(0, 1)).round().astype(np.uint8))
        if number % 25 == 0 or number == len(images):
            log(f"soft maps: {number}/{len(images)} images")
    return folder


def soft_images(images: list[LabelledImage], out: Path, share: float) -> list[SoftImage]:
    """The images once more with the teacher's maps, which get this share of each one's weight; their own weights become less.

    Raises:
        UsageError: an image has no maps yet.
    """
    noted = Path(out) / "soft" / "teacher.json"
    record = json.loads(noted.read_text(encoding="utf-8")) if noted.is_file() else {"teacher": "", "views": 0}
    found = []
    for image in images:
        path = Path(out) / "soft" / f"{_digest(image, record['teacher'], record['views'])}.npy"
        if not path.is_file():
            raise UsageError(f"{image.name} has no maps in {path.parent} yet; run `hemalum train pseudo-label` first.")
        found.append(SoftImage(image, path, share * image.weight))
        image.weight *= 1 - share
    return found


def _digest(image: LabelledImage, teacher: str, views: int) -> str:
    return hashlib.sha256(f"{teacher} {views} {image.pixels.shape}".encode() + image.pixels.tobytes()).hexdigest()[:24]


def _save(path: Path, maps: np.ndarray) -> None:
    content = io.BytesIO()
    np.save(content, maps)
    write_bytes(path, content.getvalue())
