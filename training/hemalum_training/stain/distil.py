"""A generator distilled into a function of colour, conditioned on the whole image's stain (`hemalum.stain.learned`).

A generator looks at a neighbourhood, so it can invent structure, and its tiles have seams.  What of it is a function of
a pixel's colour and of the image's stain can do neither.  Each source is shown to the generator in its own stain and in
jittered ones; the stain is estimated on all of the source's tiles together, as it is on an overview in use; a small
perceptron then learns, from single pixels, which colour the generator made of which colour.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from hemalum.errors import RunLost
from hemalum.stain.estimation import Stain
from hemalum.stain.learned import FURTHEST, ColourFunction, statistics
from hemalum.stain.table import tissue_weight
from hemalum_training.config.config import Config
from hemalum_training.config.normalizer import ColourFit
from hemalum_training.data.tile_store import TILE_MPP, TileRow, load_domains, load_tiles, tile_pixels
from hemalum_training.data.tiles import make_tiles
from hemalum_training.networks.deployed import load_generator
from hemalum_training.stain.colour_pairs import ALIKE, Pairs, by_generator, by_transport, goal_of_density, pairs_of
from hemalum_training.stain.normalizer import train_normalizer


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
    density, translated = torch.from_numpy(pairs.density), torch.from_numpy(pairs.translated)
    view = torch.from_numpy(pairs.view)
    gate = torch.from_numpy(tissue_weight(pairs.density)).float()
    random = torch.Generator().manual_seed(seed)

    def result(d, s):
        return d + network(torch.cat([d, s], 1))

    for _ in range(fit.steps):
        some = torch.randint(len(density), (fit.batch,), generator=random)
        d, s = density[some], known[view[some]]
        light = 10 ** -(gate[some] * result(d, s) + (1 - gate[some]) * d)
        loss = (light - 10 ** -translated[some]).square().mean()
        # along the way from glass through a colour of the image to twice its density
        ray = d.clamp(min=0.01) * (0.05 + 1.95 * torch.rand(len(d), 1, generator=random))
        longer = 1.05 * ray
        slope = (result(longer, s) - result(ray, s)).mean(1) / (longer - ray).mean(1)
        loss = loss + fit.monotone * (0.3 - slope).clamp(min=0).square().mean() * 0.01
        if not torch.isfinite(loss):
            raise RunLost("the loss of the distillation is not a number; "
                          "lower [normalizer.function] learning_rate and run again.")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    layers = []
    for layer in network:
        if isinstance(layer, nn.Linear):
            weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
            layers.append((weight.T.astype(np.float64), bias.astype(np.float64)))
    return ColourFunction(tuple(layers), mean, scale, target, card or {})


def error_of(function: ColourFunction | None, pairs: Pairs) -> float:
    """Root mean squared difference from the teacher's colours, in grey levels.

    Without a function: of leaving the colours as they are.
    """
    squares = []
    for number, stain in enumerate(pairs.stains):
        of_view = pairs.view == number
        density = pairs.density[of_view].astype(np.float64)
        translated = pairs.translated[of_view].astype(np.float64)
        if function is not None:
            weight = tissue_weight(density)
            density = weight * function.density(density, stain) + (1 - weight) * density
        squares.append(np.square(255 * (10**-density - 10**-translated)).mean())
    return round(float(np.sqrt(np.mean(squares))), 2)


def distil_normalizer(config: Config, data: Path, out: Path, log=print) -> Path:
    """Train the configuration's normalizer if it is not trained yet and distil it; returns OUT/learned_stain.npz.

    Beside the function for use, one is fitted on four fifths of the sources and measured on the last fifth; the card
    has both errors.
    """
    fit, seed = config.normalizer.function if config.normalizer else ColourFit(), config.seed
    if config.normalizer is None or fit.teacher == "generator":
        weights = train_normalizer(config, data, out, log)
    elif not (out / "tiles" / "manifest.csv").is_file():
        make_tiles(config, data, out, log)
    domains, tiles = load_domains(out), [tile for tile in load_tiles(out) if tile.part == "train"]
    target = domains.reference
    if fit.teacher == "generator":
        teacher = by_generator(load_generator(weights), target)
    else:
        goal = goal_of_density(tiles, lambda tile: tile_pixels(out, tile.tile), target, ALIKE * fit.pixels, seed)
        teacher = by_transport(goal, seed)
    by_source: dict[tuple[str, str], list[TileRow]] = {}
    for tile in tiles:
        by_source.setdefault((tile.set, tile.source), []).append(tile)
    log(f"distil: {len(tiles)} tiles of {len(by_source)} sources in {fit.views} stains, teacher: {fit.teacher}")
    pairs = pairs_of(_sources(by_source, out), teacher, fit, TILE_MPP, seed)
    names = sorted(set(pairs.sources))
    apart = set(np.random.default_rng(seed).permutation(names)[: len(names) // 5])
    card = {
        "sources": len(by_source),
        "tiles": len(tiles),
        "teacher": fit.teacher,
        "domain Y": domains.rule,
        "sets": {name: entry.licence for name, entry in config.unlabelled.items()},
        "configuration": config.name,
    }
    if apart:
        trial = fit_function(pairs.of(set(names) - apart), target, fit, seed)
        card["error"] = {
            "unit": "grey levels from the teacher, sources not fitted",
            "function": error_of(trial, pairs.of(apart)),
            "unchanged": error_of(None, pairs.of(apart)),
        }
        log(f"distil: {json.dumps(card['error'])}")
    path = out / "learned_stain.npz"
    fit_function(pairs, target, fit, seed, card).write(path)
    return path


def _sources(by_source: dict[tuple[str, str], list[TileRow]], out: Path) -> Iterator[tuple[str, list[np.ndarray]]]:
    """SET/SOURCE and the pixels of its tiles, in memory only while they are looked at."""
    for set_name, source in sorted(by_source):
        tiles = by_source[set_name, source]
        yield f"{set_name}/{source}", [tile_pixels(out, tile.tile) for tile in tiles]
