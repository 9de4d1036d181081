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

import cv2
import numpy as np
import torch

from hemalum.errors import UsageError

from .augment import photometric, sample_crop, stain_jitter
from .config import Config
from .cycle_losses import Batch, Labelled
from .data_config import Pseudo
from .datasets import LabelledImage, distance_map, load_labelled
from .method_config import Cycle
from .pseudo_labels import PseudoTile, load_pseudo, teacher_of, unlabelled_tiles
from .supervised import to_input
from .tile_store import load_labelled_rows


def _unchanged(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return pixels


def at_label_scale(name: str, pixels: np.ndarray) -> LabelledImage:
    """A tile at 0.5 µm/px (uint8 H×W×3) as an image at 0.25 µm/px, without nuclei."""
    big = cv2.resize(pixels, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    return LabelledImage(name, big, np.zeros(big.shape[:2], np.int32), np.zeros(big.shape[:2], np.float16))


@dataclass(frozen=True)
class StoredTile:
    """A tile on disk, read when it is drawn: thousands would not fit in memory.

    Attributes:
        image: file at 0.5 µm/px.
        pseudo: of a pseudo tile, else None.
        wanted: how its labels are learned from.
        weight: how often it is drawn, relative to the others.
    """

    name: str
    image: Path
    weight: float = 1.0
    pseudo: PseudoTile | None = None
    wanted: Pseudo | None = None

    @classmethod
    def of(cls, tile: PseudoTile, wanted: Pseudo, weight: float = 1.0) -> StoredTile:
        return cls(tile.name, tile.image, weight, tile, wanted)

    def own(self) -> LabelledImage:
        return self._shown(self.image)

    def in_target_stain(self) -> LabelledImage:
        return self._shown(self.pseudo.normalized)

    def _shown(self, image: Path) -> LabelledImage:
        shown = at_label_scale(self.name, _read(image))
        if self.pseudo is None:
            return shown
        labels, foreground, distance = (partial(_read, path, cv2.IMREAD_UNCHANGED)
                                        for path in (self.pseudo.labels, self.pseudo.foreground, self.pseudo.distance))
        shown.labels = labels().astype(np.int32)
        if self.wanted.soft:
            shown.foreground, shown.distance = foreground() / np.float16(255), distance() / np.float16(255)
        else:
            shown.distance = distance_map(shown.labels).astype(np.float16)
        if self.wanted.sure:
            shown.known = abs(2 * foreground().astype(np.int16) - 255) >= 255 * self.wanted.sure
        return shown


def _read(path: Path, flags: int = cv2.IMREAD_COLOR_RGB) -> np.ndarray:
    found = cv2.imread(str(path), flags)
    if found is None:
        raise UsageError(f"{path} is missing or damaged; delete {path.parent.parent} and run again.")
    return found


@dataclass
class Pools:
    """See the module.  Each list is drawn from by its items' `weight`.

    Attributes:
        labelled_by: the teacher of the pseudo labels.
        density: by name of a labelled image, how often the whole scheme draws it, so that X and Y show equally many nuclei; an image
            that is not in it is drawn by its `weight`.
    """

    x: list[LabelledImage]
    y: list[LabelledImage]
    x_unlabelled: list[StoredTile] = field(default_factory=list)
    pseudo: list[StoredTile] = field(default_factory=list)
    density: dict[str, float] = field(default_factory=dict)
    labelled_by: str = ""

    def __post_init__(self):
        for name, images, other in (("X", self.x, "fewer clusters or name another reference"), ("Y", self.y, "name a reference stain in [tiles]")):
            if not images:
                raise UsageError(f"domain {name} has no labelled tile, and both domains need some; {other}, or add labelled images.")

    def names(self) -> list[str]:
        """Of every tile, sorted."""
        return sorted(item.name for pool in (self.x, self.y, self.x_unlabelled, self.pseudo) for item in pool)

    @property
    def x_count(self) -> int:
        return len(self.x) + len(self.x_unlabelled)

    def batch(self, cycle: Cycle, rng: np.random.Generator, device: str = "cpu") -> Batch:
        """Tiles for a step of the whole scheme."""
        crop, count = cycle.cycle_crop or cycle.crop, cycle.cycle_batch or cycle.batch
        jitter = partial(stain_jitter, strength=cycle.stain_jitter) if cycle.stain_jitter else _unchanged
        others = _share(count, cycle.pseudo_share, rng) if self.x_unlabelled else 0
        sampled = partial(sample_crop, crop=crop, turned=cycle.turned)
        x = [sampled(image, rng=rng, colour=jitter) for image in _draw(self.x, count - others, rng, self.density)]
        x += [sampled(tile.own(), rng=rng, colour=jitter) for tile in _draw(self.x_unlabelled, others, rng)]
        pseudo = _share(count, cycle.pseudo_share, rng) if self.pseudo else 0
        y = [sampled(image, rng=rng, colour=_unchanged) for image in _draw(self.y, count - pseudo, rng, self.density)]
        own = []
        for tile in _draw(self.pseudo, pseudo, rng):
            seed = int(rng.integers(2**63))
            # one seed, one geometry: the pseudo label fits both images
            y.append(sampled(tile.in_target_stain(), rng=np.random.default_rng(seed), colour=_unchanged))
            own.append(sampled(tile.own(), rng=np.random.default_rng(seed), colour=jitter))
        (x_pixels, x_targets), (y_pixels, y_targets), (own_pixels, _) = (_stack(part, crop, device) for part in (x, y, own))
        place = torch.arange(count)
        return Batch(x_pixels, x_targets, place < count - others, y_pixels, y_targets, place >= count - pseudo, own_pixels)

    def labelled(self, cycle: Cycle, rng: np.random.Generator, device: str = "cpu") -> Labelled:
        """Tiles for a step of segmentation alone: what G_X2Y is supervised on in the whole scheme, with every augmentation."""
        hand = self.x + self.y if cycle.identity_segmentation else self.x
        pseudo = _share(cycle.batch, cycle.pseudo_share, rng) if self.pseudo and cycle.pseudo_own else 0
        images = _draw(hand, cycle.batch - pseudo * (not cycle.pseudo_added), rng) + [tile.own() for tile in _draw(self.pseudo, pseudo, rng)]
        colour = partial(photometric, stain=cycle.stain_jitter)
        return Labelled(*_stack([sample_crop(image, cycle.crop, rng, colour, turned=cycle.turned) for image in images], cycle.crop, device))


def load_pools(config: Config, data: Path, out: Path, pseudo: bool) -> Pools:
    """The labelled images by domain and, with `pseudo`, the unlabelled and pseudo-labelled tiles of OUT/tiles and OUT/pseudo.

    Raises:
        UsageError: the tiles or the pseudo labels are not made yet, a domain has no labelled image, or the labelled images are not
            those that the tiles were made beside.
    """
    images, rows = load_labelled(config, data), load_labelled_rows(out)
    if strange := [image.name for image in images if image.name not in rows]:
        raise UsageError(f"{strange[0]} is not in {Path(out) / 'tiles'}; run `hemalum train tiles` again with this configuration.")
    by_domain = {name: [image for image in images if rows[image.name].domain == name] for name in "XY"}
    density = {image.name: rows[image.name].weight for image in images}
    stored, unlabelled = [], []
    if pseudo:
        stored = [StoredTile.of(tile, config.pseudo) for tile in load_pseudo(out)]
        unlabelled = [StoredTile(t.tile, Path(out) / "tiles" / "images" / f"{t.tile}.png", t.weight) for t in unlabelled_tiles(out)]
    return Pools(by_domain["X"], by_domain["Y"], unlabelled, stored, density, teacher_of(out) if pseudo else "")


def _draw(pool: list, count: int, rng: np.random.Generator, weights: dict[str, float] | None = None) -> list:
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
