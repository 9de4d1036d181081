"""What `pseudo-label` leaves in OUT/soft, as the trainings read it.

The files are described at `hemalum_training.pseudo.soft_maps`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hemalum.errors import UsageError
from hemalum_training.data.labelled import LabelledImage


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
        try:
            foreground, distance = np.load(self.maps) / np.float32(255)
        except (OSError, ValueError, EOFError) as error:
            raise UsageError(f"{self.maps} is missing or damaged ({error}); "
                             f"delete {self.maps.parent} and run again.") from None
        return replace(self.image, foreground=foreground, distance=distance, known=None, sure=None)


def soft_path(out: Path, image: LabelledImage, teacher: str, views: int) -> Path:
    """Where an image's maps lie, by its pixels, the teacher and the views."""
    digest = hashlib.sha256(f"{teacher} {views} {image.pixels.shape}".encode() + image.pixels.tobytes())
    return Path(out) / "soft" / f"{digest.hexdigest()[:24]}.npy"


def soft_images(images: list[LabelledImage], out: Path, share: float) -> list[SoftImage]:
    """The images once more with the teacher's maps, which get this share of each one's weight.

    Their own weights become less.

    Raises:
        UsageError: an image has no maps yet.
    """
    noted = Path(out) / "soft" / "teacher.json"
    record = json.loads(noted.read_text(encoding="utf-8")) if noted.is_file() else {"teacher": "", "views": 0}
    found = []
    for image in images:
        path = soft_path(out, image, record["teacher"], record["views"])
        if not path.is_file():
            raise UsageError(f"{image.name} has no maps in {path.parent} yet; run `hemalum train pseudo-label` first.")
        found.append(SoftImage(image, path, share * image.weight))
        image.weight *= 1 - share
    return found
