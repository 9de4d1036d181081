"""An experiment: pictures of one scanner shown as another's, beside the classical normalizations.

Scored on pairs of one tissue.  Their folder holds `images/aperio/STEM.png`, `images/hamamatsu/STEM.png` (registered
onto the first) and `pairs.csv` (stem, slide, frame, valid_x0, valid_y0, valid_x1, valid_y1: the half-open rectangle
that counts).  X is Aperio, Y Hamamatsu.

Nothing is fitted on pairs.  In each fold all methods know the same: the Y tiles of the other slides are the target, the
X tiles of the scored slide are its overview.  Learned are, on the other folds' slides: a generator (GAN and cycle
losses), its distilled colour function, and a colour function fitted directly to the unpaired colours by optimal
transport.
"""

from __future__ import annotations

import csv
import dataclasses
import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from hemalum.errors import UsageError
from hemalum.scoring.metrics import score
from hemalum.stain.estimation import estimate
from hemalum.stain.learned import ColourFunction
from hemalum.stain.table import apply_table, colour_table
from hemalum.stain.tissue import tissue_mask
from hemalum_training.config.config import Config
from hemalum_training.networks.deployed import load_generator
from hemalum_training.stain.colour_pairs import (
    Teaching,
    by_generator,
    by_transport,
    density_of,
    mosaic,
    pairs_of,
    stain_of_tiles,
)
from hemalum_training.stain.distil import fit_function
from hemalum_training.stain.normalizer import Picture, train_generator, translate
from hemalum_training.stain.pair_scores import (
    CLASSICAL,
    PROTOCOL,
    ROWS,
    NucleiFinder,
    Pair,
    likeness,
    milliseconds,
    summary,
    text,
)

SIZE = 65  # of the colour tables
SCANNERS = ("aperio", "hamamatsu")  # X, Y
TRANSPORTED = 60_000  # px of either side


def load_pairs(folder: Path) -> list[Pair]:
    """All pairs of a folder.

    Raises:
        UsageError: no `pairs.csv`, or an image that it names is missing.
    """
    try:
        with open(folder / "pairs.csv", encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        return [_pair(folder / "images", row) for row in rows]
    except FileNotFoundError as error:
        raise UsageError(f"there is no {error.filename}; give the folder that holds the sets with --data.") from None


def _pair(images: Path, row: dict[str, str]) -> Pair:
    rows = slice(int(row["valid_y0"]), int(row["valid_y1"]))
    columns = slice(int(row["valid_x0"]), int(row["valid_x1"]))
    x, y = (np.array(Image.open(images / scanner / f"{row['stem']}.png").convert("RGB")) for scanner in SCANNERS)
    return Pair(
        stem=row["stem"],
        slide=row["slide"],
        frame=f"{row['slide']}/{row['frame']}",
        x=x,
        y=y,
        inside=(rows, columns),
    )


def methods_of(config: Config, learned_from: list[Pair], scored: list[Pair], out: Path,
               log) -> Callable[[str], dict[str, Callable]]:
    """For a slide of `scored`, each method as a function of a tile.

    All know the unpaired `learned_from` and the slide's X tiles.
    """
    table = config.normalizer
    x, y = [pair.x for pair in learned_from], [pair.y[pair.inside] for pair in learned_from]
    pictures_x, pictures_y = [Picture(tile) for tile in x], [Picture(tile) for tile in y]
    weights = train_generator(
        config.network, table.cycle, pictures_x, pictures_y, out=out, seed=config.seed, log=log
    )
    generator = load_generator(weights)
    target = stain_of_tiles(y, None)
    by_slide: dict[str, list[np.ndarray]] = {}
    for pair in learned_from:
        by_slide.setdefault(pair.slide, []).append(pair.x)

    def fitted(sources: list[tuple[str, list[np.ndarray]]], teacher: Teaching) -> ColourFunction:
        pairs = pairs_of(sources, teacher, table.function, None, config.seed)
        return fit_function(pairs, target, table.function, config.seed)

    cloud = density_of(mosaic(y), target.background)
    cloud = cloud[np.random.default_rng(config.seed).integers(0, len(cloud), TRANSPORTED)]
    # one scanner to another is one function: transport carries all slides together, so that each keeps its own stain
    functions = {
        "distilled": fitted(sorted(by_slide.items()), by_generator(generator, target)),
        "transport": fitted([("all", x)], by_transport(lambda name: cloud, config.seed)),
    }

    def of(slide: str) -> dict[str, Callable]:
        overview, reference = mosaic([pair.x for pair in scored if pair.slide == slide]), mosaic(y)
        mask, reference_mask = tissue_mask(overview), tissue_mask(reference)
        methods = {"identity": lambda tile: tile, "generator": lambda tile: translate(generator, tile)}
        for name in CLASSICAL:
            own, goal = estimate(overview, mask, name), estimate(reference, reference_mask, name)
            methods[name] = _through(colour_table(own, goal, SIZE))
        stain = estimate(overview, mask, "learned")
        for name, function in functions.items():
            methods[name] = _through(colour_table(stain, target, SIZE, function))
        return methods

    return of


def _through(table: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    return lambda tile: apply_table(tile, table)


def compare_on_pairs(config: Config, data: Path, out: Path, model: str = "nuclei", log=print) -> Path:
    """Train and score every fold; prints the table and writes OUT/scores.json.

    Beside it lie pairs.csv (worst SSIM first) and pairs.png.

    Raises:
        UsageError: no table [normalizer.pairs], or a slide that lies in no fold or in two.
    """
    if config.normalizer is None or config.normalizer.pairs is None:
        raise UsageError(f"configuration {config.name} has no table [normalizer.pairs]; "
                         "see training/configs/scanner-pairs.toml.")
    table = config.normalizer.pairs
    config = dataclasses.replace(config, network=config.network.with_weights_in(data))
    pairs = load_pairs(Path(data) / table.folder)
    slides = sorted({pair.slide for pair in pairs})
    if sorted(itertools.chain.from_iterable(table.folds)) != slides:
        raise UsageError(f"[normalizer.pairs] folds must hold each of the slides {', '.join(slides)} once.")
    out.mkdir(parents=True, exist_ok=True)
    rows, pages, times = [], [], {}
    nuclei = NucleiFinder(model)
    for number, fold in enumerate(table.folds):
        learned_from = [pair for pair in pairs if pair.slide not in fold and pair.slide not in table.apart]
        scored = [pair for pair in pairs if pair.slide in fold]
        log(f"fold {number + 1}/{len(table.folds)}: {len(learned_from)} tiles of each scanner from other slides, "
            f"scored on {', '.join(fold)}")
        of = methods_of(config, learned_from, scored, out / f"fold{number + 1}", log)
        for slide in fold:
            methods = of(slide)
            own = [pair for pair in scored if pair.slide == slide]
            first = own[0]
            times = times or milliseconds(methods, first.x)
            rows += _scores_of(own, methods, nuclei)
            translated = [methods[name](first.x) for name in ROWS[1:]]
            pages.append(np.vstack([first.x, *translated, first.y]))
    Image.fromarray(np.hstack(pages)).save(out / "pairs.png")
    with open(out / "pairs.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(sorted(rows, key=lambda row: row["ssim"]))
    apart = set(table.apart)
    result = {
        "protocol": PROTOCOL,
        "main": summary(rows, set(slides) - apart),
        "apart": summary(rows, apart),
        "milliseconds_per_megapixel": times,
        "folds": table.folds,
    }
    (out / "scores.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
    log(text(result))
    return out / "scores.json"


def _scores_of(pairs: list[Pair], methods: dict[str, Callable], nuclei: NucleiFinder) -> list[dict]:
    """A row a pair and method; nuclei are compared with those of the unchanged tile."""
    tiles = []
    for pair in pairs:
        tiles += [methods[name](pair.x) for name in ROWS]
    labels = iter(nuclei.labels(tiles))
    rows, tiles = [], iter(tiles)
    for pair in pairs:
        labels_of_pair = {name: next(labels) for name in ROWS}
        for name in ROWS:
            row = {"stem": pair.stem, "slide": pair.slide, "frame": pair.frame, "method": name}
            row |= likeness(next(tiles), pair)
            row["nuclei_f1"] = score(labels_of_pair["identity"], labels_of_pair[name]).f1
            rows.append(row)
    return rows
