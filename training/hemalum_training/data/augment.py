"""Crops with random geometry, stain, focus and compression.

Geometry: any angle, flips, scale e^±0.25 and random sub-pixel offsets, so that shifting the tissue changes nothing a
user would notice.  A crop may be a coarser scan's, or have dust and pen on it (`dirt`).  Stain: the two stains'
concentrations are scaled and shifted (Tellez et al. 2018, doi 10.1109/TMI.2018.2820199) with the stain vectors of
Ruifrok and Johnston 2001.
"""

from __future__ import annotations

from functools import partial

import cv2
import numpy as np

from hemalum_training.data.dirt import soiled
from hemalum_training.data.labelled import LabelledImage

RUIFROK = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]], np.float32)
REACH = 16      # px at 0.5 µm/px between the crops of a pair, at most
UNMIX = np.linalg.inv(RUIFROK).astype(np.float32)
_OD = -np.log(np.clip(np.arange(256, dtype=np.float32) / 255, 1 / 255, 1))


def stain_jitter(pixels: np.ndarray, rng: np.random.Generator, strength: float = 1.0) -> np.ndarray:
    """Scale and shift the concentrations of haematoxylin, eosin and residual; uint8 H×W×3 → uint8 H×W×3."""
    scale = np.exp(rng.uniform(-0.33, 0.33, 3) * strength).astype(np.float32)
    shift = (rng.uniform(-0.08, 0.08, 3) * strength).astype(np.float32)
    od = _OD[pixels] @ (UNMIX * scale @ RUIFROK) + shift @ RUIFROK
    return (np.exp(-np.clip(od, 0, 6)) * 255 + 0.5).astype(np.uint8)


def photometric(pixels: np.ndarray, rng: np.random.Generator, fold: int = 1, stain: float = 1.0) -> np.ndarray:
    """Stain (with this strength), brightness, contrast, gamma, then focus, sharpening, noise or none, and JPEG.

    uint8 H×W×3 RGB at 0.5 ÷ fold µm/px → the same.
    """
    if stain and rng.random() < 0.85:
        pixels = stain_jitter(pixels, rng, stain)
    if rng.random() < 0.5:
        table = np.arange(256, dtype=np.float32)
        table = 255 * (table / 255) ** np.exp(rng.uniform(-0.2, 0.2))
        table = (table - 128) * rng.uniform(0.8, 1.2) + 128 + rng.uniform(-20, 20, (3, 1)) * 0.4 + rng.uniform(-15, 15)
        pixels = cv2.LUT(pixels, np.clip(table, 0, 255).astype(np.uint8).T[None])
    choice = rng.random()
    if choice < 0.15:
        pixels = cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.4, 1.1) * fold)
    elif choice < 0.25:
        amount = rng.uniform(0.2, 0.8)
        pixels = cv2.addWeighted(pixels, 1 + amount, cv2.GaussianBlur(pixels, (0, 0), 1.0 * fold), -amount, 0)
    elif choice < 0.33:
        pixels = np.clip(pixels + rng.normal(0, rng.uniform(2, 10), pixels.shape), 0, 255).astype(np.uint8)
    if rng.random() < 0.2:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(35, 90))]
        pixels = cv2.imdecode(cv2.imencode(".jpg", pixels[..., ::-1], quality)[1], cv2.IMREAD_COLOR_RGB)
    return pixels


def enlarged(pixels: np.ndarray, fold: int) -> np.ndarray:
    """uint8 H×W×3 at 0.5 µm/px → fold·H×fold·W×3, for a network that reads finer pixels."""
    return cv2.resize(pixels, None, fx=fold, fy=fold, interpolation=cv2.INTER_CUBIC) if fold > 1 else pixels


def coarser(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """As a scan of 0.28 to 0.55 µm/px shows it, brought back to the size it had (0.25).

    Every other time the scan is of exactly 0.5.
    """
    factor = 2.0 if rng.random() < 0.5 else rng.uniform(1.1, 2.2)
    side = round(pixels.shape[0] / factor)
    small = cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, pixels.shape[:2], interpolation=cv2.INTER_CUBIC)


def sample_crop(image: LabelledImage, crop: int, rng: np.random.Generator, colour=photometric, fold: int = 1,
                turned: bool = True, dirt: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """One augmented crop of 0.5 · `crop` µm.

    Returns:
        uint8 at 0.5 ÷ fold µm/px; float32 4×2crop×2crop at 0.25 µm/px: foreground, distance, and 1 where each is to be
        learned from.

    `colour` is applied last, so two images of one tile get one geometry from generators of one seed.  With fold 2 every
    third crop is a coarser scan's.  `dirt`: share of the crops with dust or pen on them.
    """
    height, width = image.labels.shape
    scale, flip = np.exp(rng.uniform(-0.25, 0.25)), rng.choice([-1, 1])
    angle = rng.uniform(0, 2 * np.pi) if rng.random() < 0.4 else rng.integers(4) * np.pi / 2
    if not turned:
        flip, angle = 1, 0.0
    half = crop * scale
    centre = [rng.uniform(min(half, side / 2), max(side - half, side / 2)) for side in (width, height)]
    c, s = np.cos(angle) * scale, np.sin(angle) * scale
    linear = np.array([[c * flip, -s], [s * flip, c]])
    matrix = np.hstack([linear, (centre - linear @ np.full(2, crop - 0.5))[:, None]])

    def warp(x):
        return cv2.warpAffine(x, matrix, (2 * crop, 2 * crop), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                              borderMode=cv2.BORDER_REFLECT_101)

    def where(mask: np.ndarray | None) -> np.ndarray:
        return np.ones((2 * crop, 2 * crop), bool) if mask is None else warp(mask.astype(np.float32)) > 0.5

    pixels, known = warp(image.pixels), where(image.known)
    if image.foreground is None:
        foreground = warp((image.labels > 0).astype(np.float32)) > 0.5
    else:
        foreground = warp(image.foreground.astype(np.float32))
    maps = [foreground, warp(image.distance.astype(np.float32)), known, known & where(image.sure)]
    targets = np.stack(maps).astype(np.float32)
    if dirt and rng.random() < dirt:
        pixels, covered = soiled(pixels, rng)
        targets[:2, covered], targets[2:, covered] = 0, 1
    if fold == 1:
        pixels = cv2.resize(pixels, (crop, crop), interpolation=cv2.INTER_AREA)
    elif rng.random() < 0.35:
        pixels = coarser(pixels, rng)
    return colour(pixels, rng), targets


def sample_batch(images, weights, crop: int, batch: int, rng: np.random.Generator, fold: int = 1,
                 dirt: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """`batch` crops drawn by weight: uint8 B×fold·crop×fold·crop×3, float32 B×4×2crop×2crop."""
    colour = partial(photometric, fold=fold)
    drawn = rng.choice(len(images), batch, p=weights)
    pairs = [sample_crop(images[i].own(), crop, rng, colour, fold, dirt=dirt) for i in drawn]
    return np.stack([p[0] for p in pairs]), np.stack([p[1] for p in pairs])


def sample_shifted(images, weights, crop: int, batch: int, rng: np.random.Generator, fold: int = 1,
                   dirt: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`batch` crops as of `sample_batch`, the second half showing the tissue of the first a few px further.

    Returns:
        the crops, their targets, and int B×2: where each begins in the tissue of its pair, row and column, 0…30 px at
        0.25 µm/px (even ones where the network reads 0.5 µm/px).
    """
    step = 2 // fold
    pixels, targets = sample_batch(images, weights, crop + REACH, batch // 2, rng, fold, dirt)
    places = rng.integers(0, 2 * REACH // step, (batch // 2 * 2, 2)) * step
    side, seen, wanted = 2 * crop, [], []
    for number, (y, x) in enumerate(places):
        tile = number % (batch // 2)
        seen.append(pixels[tile, y // step:(y + side) // step, x // step:(x + side) // step])
        wanted.append(targets[tile, :, y:y + side, x:x + side])
    return np.stack(seen), np.stack(wanted), places
