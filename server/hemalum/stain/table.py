"""The colour table: a normalization as S × S × S colours, and the loop that applies one.

Table axes are red, green, blue of the input, S equally spaced values from 0 to 255 each; entries are RGB.  Between them
colours are interpolated in tetrahedra (Kasson et al. 1995), which keeps greys grey if the table does.

>>> grey = np.linspace(0, 255, 17).round().astype(np.uint8)
>>> identity = np.stack(np.meshgrid(grey, grey, grey, indexing="ij"), -1)
>>> int(np.abs(apply_table(np.full((2, 2, 3), 77, np.uint8), identity).astype(int) - 77).max())
0
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise

import cv2
import numpy as np

from hemalum.compiled import compiled, cores
from hemalum.stain.estimation import Stain, with_residual
from hemalum.stain.learned import ColourFunction, bundled

NEAR, FAR = 0.15, 0.35  # distance from the H&E cone ÷ optical density: treated as H&E below, left alone above
OFFSET = 0.04  # optical density added before that division: near glass a direction means nothing
STRETCH = (0.4, 2.5)  # amounts and deviations are never changed by more
BITS = 12
MINIMUM_STRIP = 65536  # px a thread takes at least


def colour_table(stain: Stain, reference: Stain, size: int = 33, learned: ColourFunction | None = None) -> np.ndarray:
    """The function of colour that shows `stain` as `reference`.

    Optical densities (against the image's own glass, which therefore stays as it is) are split into haematoxylin, eosin
    and a residual; the amounts are scaled to the reference's 99th percentiles and put together with the reference's
    matrix.  For method "reinhard" means and deviations in CIELAB are matched instead (Reinhard et al., IEEE CG&A 2001),
    fading out towards glass.  For method "learned" a function that was distilled from a generator first shows the
    colours in the stain it was taught, and that stain's amounts are scaled.  Method "none" gives the identity, and so
    does a stain that could not be estimated (`note`).

    Colours far from the image's H&E cone, such as ink and pigment, stay as they are; between there is a smooth passage.

    Args:
        stain: of the image.  reference: what it shall look like.
        size: S, 2…129; 33 is accurate to about one grey level.
        learned: the function for method "learned"; the bundled one by default.

    Returns:
        uint8 S×S×S×3.

    Raises:
        ValueError: another size.
    """
    if not 2 <= size <= 129:
        raise ValueError(f"a colour table of size {size} is not possible; 2…129 are")
    axis = np.linspace(0, 255, size)
    colours = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    return np.rint(normalized(colours, stain, reference, learned)).astype(np.uint8).reshape(size, size, size, 3)


def normalized(
    colours: np.ndarray, stain: Stain, reference: Stain, learned: ColourFunction | None = None
) -> np.ndarray:
    """The function behind the table, exactly: float64 n×3 in 0–255 → float64 n×3 in 0–255."""
    if stain.method == "none" or stain.note:
        return colours
    glass = np.maximum(np.array(stain.background, float), 1)
    # one grey level is added to both, so that black has a density and the slope there stays finite
    density = np.log10((glass + 1) / (colours + 1))
    rows = with_residual(np.array(stain.matrix))
    amounts = density @ np.linalg.inv(rows)
    if stain.method == "reinhard":
        result = _reinhard(colours, density, stain, reference)
    elif stain.method == "learned":
        learned = learned or bundled()
        weight = tissue_weight(density)
        taught = weight * learned.density(density, stain) + (1 - weight) * density
        taught_amounts = taught @ np.linalg.inv(with_residual(np.array(learned.target.matrix)))
        result = _linear(taught_amounts, learned.target, reference, glass)
    else:
        result = _linear(amounts, stain, reference, glass)
    # the nearest density that two non-negative amounts can give
    inside = np.maximum(amounts[:, :2], 0)
    for row in range(2):
        alone = amounts[:, 1 - row] < 0
        inside[alone, row] = np.maximum(density[alone] @ rows[row], 0)
    distance = np.linalg.norm(density - inside @ rows[:2], axis=1) / (np.linalg.norm(density, axis=1) + OFFSET)
    weight = 1 - _smooth((distance - NEAR) / (FAR - NEAR))[:, None]
    return np.clip(weight * result + (1 - weight) * colours, 0, 255)


def _linear(amounts, stain, reference, glass):
    scale = np.append(np.clip(np.divide(reference.maxima, stain.maxima), *STRETCH), 1)
    return (glass + 1) * 10 ** -((amounts * scale) @ with_residual(np.array(reference.matrix))) - 1


def _reinhard(colours, density, stain, reference):
    lab = cv2.cvtColor((colours[None] / 255).astype(np.float32), cv2.COLOR_RGB2LAB)[0]
    stretch = np.clip(np.divide(reference.lab_std, stain.lab_std), *STRETCH)
    lab = (lab - np.array(stain.lab_mean)) * stretch + np.array(reference.lab_mean)
    lab[:, 0] = np.clip(lab[:, 0], 0, 100)
    result = cv2.cvtColor(lab[None].astype(np.float32), cv2.COLOR_LAB2RGB)[0] * 255.0
    tissue = tissue_weight(density)
    return tissue * result + (1 - tissue) * colours


def tissue_weight(density: np.ndarray) -> np.ndarray:
    """n×1 for densities n×3: 0 for glass, 1 for tissue, a smooth passage between them."""
    return _smooth(density.mean(1, keepdims=True) / 0.1)


def _smooth(x):
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def apply_table(pixels: np.ndarray, table: np.ndarray, threads: int | None = None) -> np.ndarray:
    """Every pixel through the table; independent of `threads` to the bit.

    Args:
        pixels: uint8 h×w×3.  table: uint8 S×S×S×3.
        threads: None takes the cores this process may use.

    Returns:
        uint8 h×w×3.

    Raises:
        ValueError: another shape or dtype.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"pixels must be uint8 h×w×3, not {pixels.dtype} {'×'.join(map(str, pixels.shape))}")
    if table.dtype != np.uint8 or table.ndim != 4 or table.shape != (len(table),) * 3 + (3,) or len(table) < 2:
        raise ValueError(f"a colour table must be uint8 S×S×S×3, not {table.dtype} {'×'.join(map(str, table.shape))}")
    size = len(table)
    # the three channels of an entry side by side in one integer, so that one multiplication weighs them all
    packed = (table.astype(np.int64) @ np.array([1, 1 << 21, 1 << 42])).ravel()
    cell, part = _positions(size)
    flat = np.ascontiguousarray(pixels).reshape(-1, 3)
    out = np.empty_like(flat)
    threads = min(threads or cores(), max(1, len(flat) // MINIMUM_STRIP))
    edges = np.linspace(0, len(flat), threads + 1).astype(int)
    strips = [(flat[a:b], packed, size, cell, part, out[a:b]) for a, b in pairwise(edges)]
    if threads == 1:
        _apply(*strips[0])
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda strip: _apply(*strip), strips))
    return out.reshape(pixels.shape)


@lru_cache(maxsize=8)
def _positions(size: int) -> tuple[np.ndarray, np.ndarray]:
    """For each grey level its cell along an axis (0…size − 2) and how far it lies in it, in 1/4096."""
    position = np.arange(256) * (size - 1) / 255
    cell = np.minimum(np.floor(position + 1e-9).astype(np.int64), size - 2)
    return cell, np.rint((position - cell) * (1 << BITS)).astype(np.int64)


@compiled
def _apply(pixels, packed, size, cell, part, out):
    whole = 1 << BITS
    half = (whole >> 1) * (1 + (1 << 21) + (1 << 42))
    dr, dg, db = size * size, size, 1
    for i in range(pixels.shape[0]):
        r, g, b = pixels[i, 0], pixels[i, 1], pixels[i, 2]
        origin = cell[r] * dr + cell[g] * dg + cell[b]
        fr, fg, fb = part[r], part[g], part[b]
        # walk from the cell's dark corner to its bright one along the axes in falling order of their fractions
        if fr >= fg:
            if fg >= fb:
                f1, f2, f3, d1, d2 = fr, fg, fb, dr, dg
            elif fr >= fb:
                f1, f2, f3, d1, d2 = fr, fb, fg, dr, db
            else:
                f1, f2, f3, d1, d2 = fb, fr, fg, db, dr
        elif fr >= fb:
            f1, f2, f3, d1, d2 = fg, fr, fb, dg, dr
        elif fg >= fb:
            f1, f2, f3, d1, d2 = fg, fb, fr, dg, db
        else:
            f1, f2, f3, d1, d2 = fb, fg, fr, db, dg
        value = half + (whole - f1) * packed[origin] + (f1 - f2) * packed[origin + d1]
        value += (f2 - f3) * packed[origin + d1 + d2] + f3 * packed[origin + dr + dg + db]
        out[i, 0] = (value >> BITS) & 255
        out[i, 1] = (value >> (21 + BITS)) & 255
        out[i, 2] = (value >> (42 + BITS)) & 255
