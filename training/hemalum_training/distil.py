"""A generator distilled into a function of colour, conditioned on the stain of the whole image (`hemalum.stain.learned`).

A generator looks at a neighbourhood, so it can invent structure, and its tiles have seams.  What of it is a function of a pixel's
colour and of the image's stain can do neither.  Each source is shown to the generator in its own stain and in jittered ones; the stain
is estimated on all of the source's tiles together, as it is on an overview in use; a small perceptron then learns, from single
pixels, which colour the generator made of which colour.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from hemalum.errors import UsageError
from hemalum.stain import Stain, estimate
from hemalum.stain.learned import FURTHEST, ColourFunction, statistics
from hemalum.stain.table import tissue_weight
from hemalum.tissue import tissue_mask

from .augment import stain_jitter
from .config import Config
from .export import load_generator
from .normalizer import train_normalizer, translate
from .normalizer_config import ColourFit
from .tiles import TILE_MPP, load_domains, load_tiles, tile_pixels


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

    def of(self, chosen: set[str]) -> Pairs:
        """The pairs of these sources."""
        kept = np.array([name in chosen for name in self.sources])
        place, mine = np.cumsum(kept) - 1, kept[self.view]
        return Pairs(self.density[mine], self.translated[mine], place[self.view[mine]],
                     [s for s, k in zip(self.stains, kept, strict=True) if k], [s for s in self.sources if s in chosen])


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


def pairs_of(sources: Iterable[tuple[str, list[np.ndarray]]], translator: Callable[[np.ndarray], np.ndarray], target: Stain, fit: ColourFit,
             mpp: float | None, seed: int) -> Pairs:
    """Pixels of all sources in `fit.views` stains, through `translator` (uint8 h×w×3 → the same).  A view without a stain is left out."""
    density, translated, view, stains, names = [], [], [], [], []
    for number, (name, tiles) in enumerate(sources):
        for shown in range(fit.views):
            key = [seed, number, shown]
            jittered = [stain_jitter(t, np.random.default_rng(key), fit.jitter) if shown else t for t in tiles]
            stain = stain_of_tiles(jittered, mpp)
            if stain.note:
                continue
            rng = np.random.default_rng(key)
            for tile in jittered:
                chosen = rng.integers(0, tile.shape[0] * tile.shape[1], fit.pixels)
                density.append(density_of(tile.reshape(-1, 3)[chosen], stain.background))
                translated.append(density_of(translator(tile).reshape(-1, 3)[chosen], target.background))
                view.append(np.full(fit.pixels, len(stains)))
            stains.append(stain)
            names.append(name)
    if not stains:
        raise UsageError("no tile shows a stain that can be estimated, so nothing can be distilled; add tiles of H&E.")
    return Pairs(np.concatenate(density), np.concatenate(translated), np.concatenate(view), stains, names)


def fit_function(pairs: Pairs, target: Stain, fit: ColourFit, seed: int, card: dict | None = None) -> ColourFunction:
    """The perceptron that repeats the pairs best (mean squared error of transmitted light), darker for darker."""
    torch.manual_seed(seed)
    values = np.array([statistics(stain) for stain in pairs.stains])
    mean, deviation = values.mean(0), values.std(0)
    scale = 1 / np.maximum(deviation, 1e-3) if fit.conditioned else np.zeros_like(mean)
    known = torch.from_numpy(np.clip((values - mean) * scale, -FURTHEST, FURTHEST)).float()
    inner = (nn.Linear(fit.hidden, fit.hidden), nn.Tanh(), nn.Linear(fit.hidden, 3))
    network = nn.Sequential(nn.Linear(3 + known.shape[1], fit.hidden), nn.Tanh(), *inner)
    nn.init.zeros_(network[-1].weight)
    optimizer = torch.optim.AdamW(network.parameters(), fit.learning_rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, fit.learning_rate, total_steps=fit.steps)
    density, wanted, view = torch.from_numpy(pairs.density), torch.from_numpy(pairs.translated), torch.from_numpy(pairs.view)
    gate = torch.from_numpy(tissue_weight(pairs.density)).float()
    random = torch.Generator().manual_seed(seed)

    def result(d, s):
        return d + network(torch.cat([d, s], 1))

    for _ in range(fit.steps):
        some = torch.randint(len(density), (fit.batch,), generator=random)
        d, s = density[some], known[view[some]]
        light = 10 ** -(gate[some] * result(d, s) + (1 - gate[some]) * d)
        loss = (light - 10 ** -wanted[some]).square().mean()
        # along the way from glass through a colour of the image to twice its density
        ray = d.clamp(min=0.01) * torch.rand(len(d), 1, generator=random) * 2
        longer = 1.05 * ray
        slope = (result(longer, s) - result(ray, s)).mean(1) / (longer - ray).mean(1)
        loss = loss + fit.monotone * (0.3 - slope).clamp(min=0).square().mean() * 0.01
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    linear = [m for m in network if isinstance(m, nn.Linear)]
    layers = tuple((m.weight.detach().numpy().T.astype(np.float64), m.bias.detach().numpy().astype(np.float64)) for m in linear)
    return ColourFunction(layers, mean, scale, target, card or {})


def error_of(function: ColourFunction | None, pairs: Pairs) -> float:
    """Root mean squared difference from the generator's colours, in grey levels; None: of leaving the colours as they are."""
    squares = []
    for number, stain in enumerate(pairs.stains):
        mine = pairs.view == number
        d = pairs.density[mine].astype(np.float64)
        if function is not None:
            weight = tissue_weight(d)
            d = weight * function.density(d, stain) + (1 - weight) * d
        squares.append(np.square(255 * (10**-d - 10 ** -pairs.translated[mine].astype(np.float64))).mean())
    return round(float(np.sqrt(np.mean(squares))), 2)


def distil(config: Config, data: Path, out: Path, log=print) -> Path:
    """Train the configuration's normalizer if it is not trained yet and distil it; returns OUT/learned_stain.npz.

    Beside the function for use, one is fitted on four fifths of the sources and measured on the last fifth; the card has both errors.
    """
    weights = train_normalizer(config, data, out, log)
    fit, target = config.normalizer.function, load_domains(out).reference
    generator = load_generator(weights)
    tiles = [t for t in load_tiles(out) if t.part == "train"]
    sources = sorted({(t.set, t.source) for t in tiles})
    log(f"distil: {len(tiles)} tiles of {len(sources)} sources in {fit.views} stains")
    loaded = ((f"{s}/{n}", [tile_pixels(out, t.tile) for t in tiles if (t.set, t.source) == (s, n)]) for s, n in sources)
    pairs = pairs_of(loaded, lambda tile: translate(generator, tile), target, fit, TILE_MPP, config.seed)
    names = sorted(set(pairs.sources))
    apart = set(np.random.default_rng(config.seed).permutation(names)[: len(names) // 5])
    card = {"sources": len(sources), "tiles": len(tiles),
            "sets": {name: entry.licence for name, entry in config.unlabelled.items()}, "configuration": config.name}
    if apart:
        trial = fit_function(pairs.of(set(names) - apart), target, fit, config.seed)
        card["error"] = {"unit": "grey levels from the generator, sources not fitted", "function": error_of(trial, pairs.of(apart)),
                         "unchanged": error_of(None, pairs.of(apart))}
        log(f"distil: {json.dumps(card['error'])}")
    path = out / "learned_stain.npz"
    fit_function(pairs, target, fit, config.seed, card).write(path)
    return path
