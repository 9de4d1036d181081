"""An experiment: pictures of one scanner shown as another's, beside the classical normalizations, on pairs of the same tissue.

Folder of the pairs: `images/aperio/STEM.png`, `images/hamamatsu/STEM.png` (registered onto the first) and `pairs.csv` (stem, slide, frame,
valid_x0, valid_y0, valid_x1, valid_y1: the half-open rectangle that counts).  X is Aperio, Y Hamamatsu.

Nothing is fitted on pairs.  In each fold all methods know the same: the Y tiles of the other slides are the target, the X tiles of the
scored slide are its overview.  Learned are, on the other folds' slides: a generator (GAN and cycle losses), its distilled colour
function, and a colour function fitted directly to the unpaired colours by optimal transport.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from hemalum.errors import UsageError
from hemalum.scoring.metrics import score
from hemalum.stain import apply_table, colour_table, estimate
from hemalum.stain.learned import ColourFunction
from hemalum.stain.tissue import tissue_mask
from hemalum_training.config.config import Config
from hemalum_training.networks.deployed import load_generator
from hemalum_training.stain.colour_pairs import (
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
TRANSPORTED = 60_000  # px of either side


def load_pairs(folder: Path) -> list[Pair]:
    """All pairs of a folder.

    Raises:
        UsageError: no `pairs.csv`, or an image that it names is missing.
    """
    try:
        with open(folder / "pairs.csv", encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        images = {(s, r["stem"]): np.array(Image.open(folder / "images" / s / f"{r['stem']}.png").convert("RGB"))
                  for r in rows for s in ("aperio", "hamamatsu")}
    except FileNotFoundError as error:
        raise UsageError(f"there is no {error.filename}; give the folder that holds the sets with --data.") from None
    return [Pair(r["stem"], r["slide"], f"{r['slide']}/{r['frame']}", images["aperio", r["stem"]], images["hamamatsu", r["stem"]],
                 (slice(int(r["valid_y0"]), int(r["valid_y1"])), slice(int(r["valid_x0"]), int(r["valid_x1"])))) for r in rows]


def methods_of(config: Config, learned_from: list[Pair], scored: list[Pair], out: Path, log) -> Callable[[str], dict[str, Callable]]:
    """For a slide of `scored`, each method as a function of a tile; all know the unpaired `learned_from` and the slide's X tiles."""
    wanted = config.normalizer
    x, y = [p.x for p in learned_from], [p.y[p.inside] for p in learned_from]
    weights = train_generator(config.network, wanted.cycle, [Picture(t) for t in x], [Picture(t) for t in y], out, config.seed, log=log)
    generator = load_generator(weights)
    target = stain_of_tiles(y, None)
    slides = sorted({p.slide for p in learned_from})
    sources = [(slide, [p.x for p in learned_from if p.slide == slide]) for slide in slides]

    def fitted(sources: list[tuple[str, list[np.ndarray]]], teacher: Callable) -> ColourFunction:
        return fit_function(pairs_of(sources, teacher, wanted.function, None, config.seed), target, wanted.function, config.seed)

    cloud = density_of(mosaic(y), target.background)
    cloud = cloud[np.random.default_rng(config.seed).integers(0, len(cloud), TRANSPORTED)]
    # one scanner to another is one function: transport carries all slides together, so that each keeps its own stain
    functions = {"distilled": fitted(sources, by_generator(generator, target)),
                 "transport": fitted([("all", x)], by_transport(lambda name: cloud, config.seed))}

    def of(slide: str) -> dict[str, Callable]:
        overview = mosaic([p.x for p in scored if p.slide == slide])
        mask, reference = tissue_mask(overview), mosaic(y)
        found = {"identity": lambda t: t, "generator": lambda t: translate(generator, t)}
        for method in CLASSICAL:
            found[method] = _through(colour_table(estimate(overview, mask, method), estimate(reference, tissue_mask(reference), method), SIZE))
        stain = estimate(overview, mask, "learned")
        for name, function in functions.items():
            found[name] = _through(colour_table(stain, target, SIZE, function))
        return found

    return of


def _through(table: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    return lambda tile: apply_table(tile, table)


def run_experiment(config: Config, data: Path, out: Path, model: str = "nuclei", log=print) -> Path:
    """Train and score every fold; prints the table and writes OUT/scores.json, pairs.csv (worst SSIM first) and pairs.png.

    Raises:
        UsageError: no table [normalizer.pairs], or a slide that lies in no fold or in two.
    """
    if config.normalizer is None or config.normalizer.pairs is None:
        raise UsageError(f"configuration {config.name} has no table [normalizer.pairs]; see training/configs/scanner-pairs.toml.")
    wanted = config.normalizer.pairs
    pairs = load_pairs(Path(data) / wanted.folder)
    slides = sorted({p.slide for p in pairs})
    if sorted(s for fold in wanted.folds for s in fold) != slides:
        raise UsageError(f"[normalizer.pairs] folds must hold each of the slides {', '.join(slides)} once.")
    out.mkdir(parents=True, exist_ok=True)
    rows, pages, times = [], [], {}
    nuclei = NucleiFinder(model)
    for number, fold in enumerate(wanted.folds):
        learned_from = [p for p in pairs if p.slide not in fold and p.slide not in wanted.apart]
        scored = [p for p in pairs if p.slide in fold]
        log(f"fold {number + 1}/{len(wanted.folds)}: {len(learned_from)} tiles of each scanner from other slides, scored on {', '.join(fold)}")
        of = methods_of(config, learned_from, scored, out / f"fold{number + 1}", log)
        for slide in fold:
            methods = of(slide)
            mine = [p for p in scored if p.slide == slide]
            times = times or milliseconds(methods, mine[0].x)
            shown = [(pair, name, methods[name](pair.x)) for pair in mine for name in ROWS]
            found = nuclei.labels([tile for _, _, tile in shown])
            before = {pair.stem: labels for (pair, name, _), labels in zip(shown, found, strict=True) if name == "identity"}
            rows += [{"stem": pair.stem, "slide": slide, "frame": pair.frame, "method": name, **likeness(tile, pair),
                      "nuclei_f1": score(before[pair.stem], labels).f1} for (pair, name, tile), labels in zip(shown, found, strict=True)]
            pages.append(np.vstack([mine[0].x, *(methods[name](mine[0].x) for name in ROWS[1:]), mine[0].y]))
    Image.fromarray(np.hstack(pages)).save(out / "pairs.png")
    with open(out / "pairs.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(sorted(rows, key=lambda row: row["ssim"]))
    result = {"protocol": PROTOCOL, "main": summary(rows, lambda s: s not in wanted.apart), "apart": summary(rows, lambda s: s in wanted.apart),
              "milliseconds_per_megapixel": times, "folds": wanted.folds}
    (out / "scores.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
    log(text(result))
    return out / "scores.json"
