"""The teacher's averaged maps of labelled images.

    OUT/soft/DIGEST.npy     uint8 2×H×W, 255 · foreground and distance at 0.25 µm/px
    OUT/soft/teacher.json   which teacher, and over how many views

The digest is of the pixels, the teacher and the views, so an image that was changed is labelled again and nothing else.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hemalum.errors import UsageError
from hemalum.files import commit
from hemalum_training.config.config import Config
from hemalum_training.data.labelled import load_labelled
from hemalum_training.data.soft_store import soft_path
from hemalum_training.pseudo.teacher import load_teacher
from hemalum_training.pseudo.views import averaged_maps
from hemalum_training.store import write_json


def make_soft_maps(config: Config, data: Path, out: Path, init: str | None = None, *, device: str = "cpu",
                   log=print) -> Path:
    """Write OUT/soft for all images that are learned from.

    Those that this teacher has labelled already are not computed again.

    Raises:
        UsageError: there is no teacher, or it has no distance.
    """
    teacher, views, folder = load_teacher(out, init, device), config.soft.views, Path(out) / "soft"
    folder.mkdir(parents=True, exist_ok=True)
    images = load_labelled(config, data)
    write_json(folder / "teacher.json", {"teacher": teacher.name, "views": views})
    for number, image in enumerate(images, 1):
        path = soft_path(out, image, teacher.name, views)
        if not path.is_file():
            maps = averaged_maps(teacher, image.pixels, views, int(path.stem[:8], 16))
            if len(maps) != 2:
                raise UsageError(f"the teacher ({teacher.name}) has no distance; "
                                 "name one with two channels or take [soft] out.")
            _save(path, (255 * maps.clip(0, 1)).round().astype(np.uint8))
        if number % 25 == 0 or number == len(images):
            log(f"soft maps: {number}/{len(images)} images")
    return folder


def _save(path: Path, maps: np.ndarray) -> None:
    commit(path, lambda file: np.save(file, maps))
