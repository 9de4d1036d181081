"""How far each normalization brings images of many laboratories together, on sets that nothing was learned from.

    python -m benchmarks.normalizers DATA SET... [--tiles N]

Each tile is its own overview.  *Spread*: deviation over tiles of the mean colour of their tissue, in CIELAB units, mean
over L, a, b. *Kept*: SSIM of the luminance to the tile itself.  Tables are applied as in use.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from hemalum.scoring.metrics import bootstrap
from hemalum.stain.estimation import REFERENCE, estimate
from hemalum.stain.table import apply_table, colour_table
from hemalum.stain.tissue import tissue_mask
from hemalum_training.scoring.similarity import luminance, ssim

METHODS = ("none", "reinhard", "macenko", "vahadane", "learned")


def tiles_of(folder: Path, count: int) -> list[np.ndarray]:
    paths = sorted(p for p in (folder / "images").rglob("*") if p.suffix in (".png", ".jpg"))
    paths = [paths[i] for i in np.linspace(0, len(paths) - 1, min(count, len(paths))).round().astype(int)]
    return [np.array(Image.open(p).convert("RGB")) for p in paths]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("sets", nargs="+")
    parser.add_argument("--tiles", type=int, default=30)
    given = parser.parse_args()
    tiles = [tile for name in given.sets for tile in tiles_of(given.data / name, given.tiles)]
    masks = [tissue_mask(tile) for tile in tiles]
    print(f"{len(tiles)} tiles of {len(given.sets)} sets\n{'':10}{'spread':>8}{'kept':>24}")
    for method in METHODS:
        shown = [
            apply_table(t, colour_table(estimate(t, m, method), REFERENCE)) for t, m in zip(tiles, masks, strict=True)
        ]
        means = [
            cv2.cvtColor(s.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[m].mean(0)
            for s, m in zip(shown, masks, strict=True)
            if m.any()
        ]
        kept = bootstrap([ssim(luminance(s), luminance(t)) for s, t in zip(shown, tiles, strict=True)])
        print(
            f"{method:10}{np.std(means, axis=0).mean():8.2f}{kept.mean:10.3f} [{kept.low:.3f}, {kept.high:.3f}]",
            flush=True,
        )


if __name__ == "__main__":
    main()
