"""Teachers that each leave a part of the labelled images out, so each image is labelled by one that never saw it.

OUT/folds/K holds the training of each, as OUT/teacher does.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from hemalum.errors import UsageError
from hemalum_training.config.config import Config
from hemalum_training.data.labelled import LabelledImage, load_labelled
from hemalum_training.loops.cycle_run import CycleRun
from hemalum_training.loops.pools import load_pools


def parts_of(x: list[LabelledImage], y: list[LabelledImage], count: int) -> list[list[LabelledImage]]:
    """The images of both domains in `count` parts: a patient's lie in one, and each domain is spread over all of them.

    Raises:
        UsageError: a domain has fewer patients than there are parts.
    """
    owners: dict[str, list[LabelledImage]] = {}
    for image in [*x, *y]:
        owners.setdefault(_owner(image), []).append(image)
    in_x, in_y = {_owner(image) for image in x}, {_owner(image) for image in y}
    for domain, there in (("X", in_x), ("Y", in_y)):
        if len(there) < count:
            raise UsageError(f"{count} folds need as many patients or images in each domain, "
                             f"and {domain} has {len(there)}; ask for fewer folds.")
    parts: list[list[LabelledImage]] = [[] for _ in range(count)]
    for there in (in_y, set(owners) - in_y):
        in_order = sorted(there, key=lambda name: hashlib.sha256(name.encode()).digest())
        for number, owner in enumerate(in_order):
            parts[number % count] += owners[owner]
    return parts


def _owner(image: LabelledImage) -> str:
    return f"{image.name.split('/')[0]}/{image.group or image.name}"


def train_folds(config: Config, data: Path, out: Path, count: int, device: str = "cpu",
                log=print) -> list[tuple[Path, list[LabelledImage]]]:
    """Train the teachers, going on where they were stopped.

    Returns:
        of each, its weights and the images it never saw.

    Raises:
        UsageError: no [method], too few images; as `train_method`.
    """
    if config.method is None:
        raise UsageError(f"configuration {config.name} has no table [method], which describes the teacher; "
                         "add one, or compare without --folds.")
    network = config.method.teacher.with_weights_in(data)
    pools = load_pools(config, data, out, pseudo=False)
    validation = load_labelled(config, data, "validation")
    folds = []
    for number, part in enumerate(parts_of(pools.x, pools.y, count)):
        log(f"teacher {number + 1}/{count}, without {len(part)} images")
        apart = {image.name for image in part}
        x = [image for image in pools.x if image.name not in apart]
        y = [image for image in pools.y if image.name not in apart]
        folder = Path(out) / "folds" / str(number)
        own = replace(pools, x=x, y=y)
        run = CycleRun(network, config, own, validation, out=folder, device=device, log=log)
        folds.append((run.train(), part))
    return folds
