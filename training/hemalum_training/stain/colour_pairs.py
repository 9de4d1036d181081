"""Pixels and what a teacher makes of them: what a function of colour is fitted to (`distil`).

Teachers are a generator, which looks at whole tiles, and transport, which knows colours alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from hemalum.errors import UsageError
from hemalum.stain.estimation import Stain, estimate
from hemalum.stain.tissue import tissue_mask
from hemalum_training.config.normalizer import ColourFit
from hemalum_training.data.augment import stain_jitter
from hemalum_training.data.tile_store import TileRow
from hemalum_training.networks import Generator
from hemalum_training.stain.normalizer import translate
from hemalum_training.stain.transport import transported

ALIKE = 10  # Y tiles that a source's colours are carried to


@dataclass
class Pairs:
    """Pixels and what a generator made of them.

    Attributes:
        density, translated: float32 n×3, optical densities against the image's and the target's glass.
        view: int n, which of the stains the pixel's image has.
        stains: of the views, m.  sources: their names, m.
    """

    density: np.ndarray
    translated: np.ndarray
    view: np.ndarray
    stains: list[Stain]
    sources: list[str]

    def __post_init__(self):
        pixels, pairs = len(self.density), (len(self.translated), len(self.view))
        assert pairs == (pixels, pixels), f"{pixels} pixels, {pairs} translated and with a view"
        assert len(self.stains) == len(self.sources), f"{len(self.stains)} stains of {len(self.sources)} sources"

    def of(self, names: set[str]) -> Pairs:
        """The pairs of these sources."""
        kept = np.array([name in names for name in self.sources])
        place, mine = np.cumsum(kept) - 1, kept[self.view]
        return Pairs(
            density=self.density[mine],
            translated=self.translated[mine],
            view=place[self.view[mine]],
            stains=[stain for stain, keep in zip(self.stains, kept, strict=True) if keep],
            sources=[name for name in self.sources if name in names],
        )


def mosaic(tiles: list[np.ndarray]) -> np.ndarray:
    """Tiles side by side, cut to the lowest: an overview of their source."""
    height = min(tile.shape[0] for tile in tiles)
    return np.hstack([tile[:height] for tile in tiles])


def stain_of_tiles(tiles: list[np.ndarray], mpp: float | None) -> Stain:
    """The stain of a source, from its tiles."""
    overview = mosaic(tiles)
    return estimate(overview, tissue_mask(overview), "learned", mpp)


def density_of(pixels: np.ndarray, glass) -> np.ndarray:
    """float32 n×3, base 10; one grey level is added to both, as in `hemalum.stain.table`."""
    return np.log10((np.asarray(glass, np.float32) + 1) / (pixels.reshape(-1, 3).astype(np.float32) + 1))


Teaching = Callable[[str, list[np.ndarray], Stain, np.ndarray], np.ndarray]     # see `pairs_of`


def pairs_of(sources: Iterable[tuple[str, list[np.ndarray]]], teacher: Teaching, fit: ColourFit, mpp: float | None,
             seed: int) -> Pairs:
    """`fit.pixels` pixels a tile, of all sources in `fit.views` stains, and what a teacher makes of them.

    The teacher gets a source's name, its tiles as shown (uint8 h×w×3), their stain and the flat places (tiles × pixels)
    of the pixels, and answers float n×3, optical densities against the target's glass.  A view whose stain cannot be
    estimated is left out.
    """
    density, translated, view, stains, names = [], [], [], [], []
    for number, (name, tiles) in enumerate(sources):
        for variant in range(fit.views):
            key = [seed, number, variant]
            jittered = tiles
            if variant:
                jittered = [stain_jitter(tile, np.random.default_rng(key), fit.jitter) for tile in tiles]
            stain = stain_of_tiles(jittered, mpp)
            if stain.note:
                continue
            rng = np.random.default_rng(key)
            places = np.stack([rng.integers(0, tile.shape[0] * tile.shape[1], fit.pixels) for tile in jittered])
            density.append(at_places(jittered, places, stain.background))
            translated.append(teacher(name, jittered, stain, places).astype(np.float32))
            view.append(np.full(len(density[-1]), len(stains)))
            stains.append(stain)
            names.append(name)
    if not stains:
        raise UsageError("no tile shows a stain that can be estimated, so nothing can be distilled; add tiles of H&E.")
    return Pairs(np.concatenate(density), np.concatenate(translated), np.concatenate(view), stains, names)


def at_places(tiles: list[np.ndarray], places: np.ndarray, glass) -> np.ndarray:
    """float32 n×3: optical densities at the flat places, tile by tile."""
    return np.concatenate([density_of(tile.reshape(-1, 3)[at], glass) for tile, at in zip(tiles, places, strict=True)])


def by_generator(generator: Generator, target: Stain) -> Teaching:
    """A teacher that looks at whole tiles."""
    def teacher(name, tiles, stain, places):
        return at_places([translate(generator, tile) for tile in tiles], places, target.background)

    return teacher


def by_transport(goal: Callable[[str], np.ndarray], seed: int) -> Teaching:
    """A teacher that knows colours alone; `goal` gives the target's optical densities (n×3) that suit a source."""
    def teacher(name, tiles, stain, places):
        return transported(at_places(tiles, places, stain.background), goal(name), seed)

    return teacher


def goal_of_density(tiles: list[TileRow], pixels_of: Callable[[TileRow], np.ndarray], target: Stain, count: int,
                    seed: int) -> Callable[[str], np.ndarray]:
    """For a source, densities of the Y tiles that show about as many nuclei as its own tiles.

    `ALIKE` of them, `count` px in all.
    """
    own = {}
    for tile in tiles:
        own.setdefault(f"{tile.set}/{tile.source}", []).append(tile.density)
    there = [tile for tile in tiles if tile.domain == "Y"]
    dense = np.array([tile.density for tile in there])
    rng = np.random.default_rng(seed)
    colours = [pixels_of(tile).reshape(-1, 3) for tile in there]
    clouds = [density_of(c[rng.integers(0, len(c), count // ALIKE)], target.background) for c in colours]

    def goal(name: str) -> np.ndarray:
        nearest = np.argsort(np.abs(dense - np.mean(own[name])), kind="stable")[:ALIKE]
        return np.concatenate([clouds[i] for i in nearest])

    return goal
