"""The tiles that a cycle training draws from, and its batches (METHOD S2, S3).

| domain | with hand labels | beside them |
|---|---|---|
| X, many stains | `x` | `x_unlabelled`: GAN and cycle losses only |
| Y, one stain | `y` | `pseudo`: normalized tiles with pseudo labels, and each tile's own image |
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch

from hemalum.errors import UsageError
from hemalum_training.config.config import Config
from hemalum_training.config.method import Cycle
from hemalum_training.data.augment import photometric, sample_crop, stain_jitter
from hemalum_training.data.labelled import LabelledImage, load_labelled
from hemalum_training.data.pseudo_store import StoredTile, load_pseudo, teacher_of, unlabelled_tiles
from hemalum_training.data.tile_store import load_labelled_rows
from hemalum_training.loops.cycle_losses import Batch, Labelled
from hemalum_training.networks.pixels import to_input


def _unchanged(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return pixels


@dataclass
class Pools:
    """See the module.  Each list is drawn from by its items' `weight`.

    Attributes:
        labelled_by: the teacher of the pseudo labels.
        density: by name of a labelled image, how often the whole scheme draws it, so that X and Y show equally many
            nuclei; an image that is not in it is drawn by its `weight`.
    """

    x: list[LabelledImage]
    y: list[LabelledImage]
    x_unlabelled: list[StoredTile] = field(default_factory=list)
    pseudo: list[StoredTile] = field(default_factory=list)
    density: dict[str, float] = field(default_factory=dict)
    labelled_by: str = ""

    def __post_init__(self):
        if not self.x:
            raise UsageError("domain X has no labelled tile, and both domains need some; "
                             "fewer clusters or name another reference, or add labelled images.")
        if not self.y:
            raise UsageError("domain Y has no labelled tile, and both domains need some; "
                             "name a reference stain in [tiles], or add labelled images.")

    def names(self) -> list[str]:
        """Of every tile, sorted."""
        return sorted(tile.name for tile in [*self.x, *self.y, *self.x_unlabelled, *self.pseudo])

    @property
    def x_count(self) -> int:
        return len(self.x) + len(self.x_unlabelled)

    def batch(self, cycle: Cycle, rng: np.random.Generator, device: str = "cpu") -> Batch:
        """Tiles for a step of the whole scheme."""
        crop, count = cycle.cycle_crop or cycle.crop, cycle.cycle_batch or cycle.batch
        jitter = partial(stain_jitter, strength=cycle.stain_jitter) if cycle.stain_jitter else _unchanged
        sampled = partial(sample_crop, crop=crop, turned=cycle.turned)
        others = _share(count, cycle.pseudo_share, rng) if self.x_unlabelled else 0
        x = []
        for image in _sample(self.x, count - others, rng, self.density):
            x.append(sampled(image, rng=rng, colour=jitter))
        for tile in _sample(self.x_unlabelled, others, rng):
            x.append(sampled(tile.own(), rng=rng, colour=jitter))
        pseudo = _share(count, cycle.pseudo_share, rng) if self.pseudo else 0
        y, own = [], []
        for image in _sample(self.y, count - pseudo, rng, self.density):
            y.append(sampled(image, rng=rng, colour=_unchanged))
        for tile in _sample(self.pseudo, pseudo, rng):
            seed = int(rng.integers(2**63))
            # one seed, one geometry: the pseudo label fits both images
            y.append(sampled(tile.in_target_stain(), rng=np.random.default_rng(seed), colour=_unchanged))
            own.append(sampled(tile.own(), rng=np.random.default_rng(seed), colour=jitter))
        x_pixels, x_targets = _stack(x, crop, device)
        y_pixels, y_targets = _stack(y, crop, device)
        place = torch.arange(count)
        return Batch(
            x=x_pixels,
            x_targets=x_targets,
            x_labelled=place < count - others,
            y=y_pixels,
            y_targets=y_targets,
            y_pseudo=place >= count - pseudo,
            own=_stack(own, crop, device)[0],
        )

    def labelled(self, cycle: Cycle, rng: np.random.Generator, device: str = "cpu") -> Labelled:
        """Tiles for a step of segmentation alone.

        They are what G_X2Y is supervised on in the whole scheme, with every augmentation.
        """
        hand = self.x + self.y if cycle.identity_segmentation else self.x
        pseudo = _share(cycle.batch, cycle.pseudo_share, rng) if self.pseudo and cycle.pseudo_own else 0
        images = _sample(hand, cycle.batch - pseudo * (not cycle.pseudo_added), rng)
        images += [tile.own() for tile in _sample(self.pseudo, pseudo, rng)]
        colour = partial(photometric, stain=cycle.stain_jitter)
        crops = [sample_crop(image, cycle.crop, rng, colour, turned=cycle.turned) for image in images]
        return Labelled(*_stack(crops, cycle.crop, device))


def load_pools(config: Config, data: Path, out: Path, pseudo: bool) -> Pools:
    """The labelled images by domain and, with `pseudo`, the tiles of OUT/tiles without labels and of OUT/pseudo.

    Raises:
        UsageError: the tiles or the pseudo labels are not made yet, a domain has no labelled image, or the labelled
            images are not those that the tiles were made beside.
    """
    images, rows = load_labelled(config, data), load_labelled_rows(out)
    if strange := [image.name for image in images if image.name not in rows]:
        raise UsageError(f"{strange[0]} is not in {Path(out) / 'tiles'}; "
                         "run `hemalum train tiles` again with this configuration.")
    stored, unlabelled = [], []
    if pseudo:
        stored = [StoredTile.of(tile, config.pseudo) for tile in load_pseudo(out)]
        for tile in unlabelled_tiles(out):
            path = Path(out) / "tiles" / "images" / f"{tile.tile}.png"
            unlabelled.append(StoredTile(tile.tile, path, tile.weight))
    return Pools(
        x=[image for image in images if rows[image.name].domain == "X"],
        y=[image for image in images if rows[image.name].domain == "Y"],
        x_unlabelled=unlabelled,
        pseudo=stored,
        density={image.name: rows[image.name].weight for image in images},
        labelled_by=teacher_of(out) if pseudo else "",
    )


def _sample(pool: list, count: int, rng: np.random.Generator, weights: dict[str, float] | None = None) -> list:
    if not count:
        return []
    share = np.array([(weights or {}).get(item.name, item.weight) for item in pool])
    if not share.any():     # none of these shows a density that the other domain has, too
        share = np.array([item.weight for item in pool])
    return [pool[i] for i in rng.choice(len(pool), count, p=share / share.sum())]


def _share(count: int, share: float, rng: np.random.Generator) -> int:
    """share · count, rounded up or down so that its mean is right."""
    return min(count, int(share * count + rng.random()))


def _stack(crops: list, crop: int, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    if not crops:
        return torch.zeros(0, 3, crop, crop, device=device), torch.zeros(0, 4, 2 * crop, 2 * crop, device=device)
    pixels = to_input(np.stack([c[0] for c in crops]), device).contiguous(memory_format=torch.channels_last)
    return pixels, torch.from_numpy(np.stack([c[1] for c in crops])).to(device)
