"""Where there is tissue: a mask of the overview, made for skipping glass and for finding stains.

It rather takes too much than too little: a tile of glass costs time, a tile of missed tissue costs nuclei.  Optical
    densities
are base 10 and relative to the glass found in the same image, so a grey or tinted background is still glass.

>>> picture = np.full((200, 300, 3), 238, np.uint8)
>>> picture[50:150, 100:200] = (200, 140, 190)
>>> mask = tissue_mask(picture)
>>> mask.dtype, int(mask.sum()), bool(mask[100, 150]), bool(mask[10, 10])
(dtype('bool'), 10392, True, False)
"""

from __future__ import annotations

import cv2
import numpy as np

from hemalum.compiled import compiled

# glass: channels within 12 % of the largest, green within 3.5 %, since any stain absorbs green
TINT, GREEN_LOSS = 0.12, 0.035
DIMMEST = 50  # darker neutral pixels are ink, shadow or not scanned
# spread of optical density over the channels: never tissue below, always above (if H&E-like)
FAINTEST, ENOUGH = 0.025, 0.05
BLACK_SIDE = 33  # px: squares of nothing but 0 were never scanned; no light is ever wholly absorbed
UNSCANNED = 0.1  # of the neutral pixels: where fewer are not plain white, white is the glass of a bright scan
GREY_DENSITY = 0.06  # mean optical density of tissue in an image without colour


def tissue_mask(overview: np.ndarray, unread: np.ndarray | None = None) -> np.ndarray:
    """The tissue of a brightfield picture.

    Tissue absorbs green more than neutral glass would; ink (green, blue, strong red, black) and unscanned black are
    left out.  A picture without any colour is judged by darkness alone.  Specks of a few pixels are dropped, small gaps
    closed.

    Args:
        overview: uint8 h×w×3 RGB, any size.
        unread: bool h×w, areas that could not be decoded (`Slide.unread`); counted as tissue, so that nobody skips them
            in silence.

    Returns:
        bool h×w; all False for white, black or any other single grey.
    """
    smooth = cv2.GaussianBlur(overview, (3, 3), 0) if min(overview.shape[:2]) >= 16 else overview
    glass = glass_colour(smooth)
    channels = cv2.split(smooth)
    brightest, darkest = _largest(channels), _least(channels)
    if np.count_nonzero(brightest - darkest > 8) <= 0.001 * brightest.size:
        lightest = max(1.0, float(np.quantile(darkest, 0.99)))  # glass, or the lightest part of much tissue
        mask = (np.log10(lightest / np.maximum(darkest, 1)) > GREY_DENSITY) & (brightest > 20)
    else:
        spread, faint, inked = (np.empty(smooth.shape[:2], dtype) for dtype in (np.float32, bool, bool))
        _judge(smooth, _density_table(glass), spread, faint, inked)
        quiet = spread.ravel()[some(faint, 100_000)]
        noise = float(np.quantile(quiet, 0.9)) if quiet.size > 100 else 0.0
        mask = (spread > np.clip(2 * noise, FAINTEST, ENOUGH)) & (brightest > 30)
        mask &= ~_grown(inked)
    mask = _tidy(mask)
    return mask | unread if unread is not None else mask


def glass_colour(overview: np.ndarray) -> np.ndarray:
    """The colour of empty glass: the brightest common neutral colour; float32 (3,), 255s where there is none.

    >>> glass_colour(np.full((20, 20, 3), (228, 231, 229), np.uint8)).tolist()
    [228.0, 231.0, 229.0]
    """
    channels = cv2.split(overview)
    brightest = _largest(channels)
    levels = np.arange(256)
    tint, loss = (cv2.LUT(brightest, (share * levels).astype(np.uint8)) for share in (TINT, GREEN_LOSS))
    darkest = _least(channels)
    neutral = (brightest - darkest <= tint) & (brightest - channels[1] <= loss) & (brightest >= DIMMEST)
    if np.count_nonzero(neutral) < max(1, 0.005 * neutral.size):
        return np.full(3, 255, np.float32)
    scanned = neutral & (darkest < 255)  # scanners fill what they leave out with white, which is brighter than glass
    if np.count_nonzero(scanned) >= UNSCANNED * np.count_nonzero(neutral):
        neutral = scanned
    pixels = overview.reshape(-1, 3)[some(neutral, 100_000)]
    grey = pixels[:, 1].astype(int)
    histogram = np.convolve(np.bincount(grey, minlength=256), np.ones(5), "same")
    peak = np.flatnonzero(histogram >= 0.2 * histogram.max()).max()
    while peak and histogram[peak - 1] > histogram[peak]:  # from the flank up to the top
        peak -= 1
    return np.median(pixels[np.abs(grey - peak) <= 4], axis=0).astype(np.float32)


def never_scanned(pixels: np.ndarray) -> np.ndarray | None:
    """Where some scanners and programs fill with black what they leave out: bool h×w of uint8 h×w×3, None if nowhere.

    >>> picture = np.full((100, 100, 3), 200, np.uint8)
    >>> picture[:40, 50:], picture[70:75, 20:25] = 0, 0
    >>> hole = never_scanned(picture)
    >>> int(hole.sum()), bool(hole[0, 99]), bool(hole[72, 22]), never_scanned(picture[50:]) is None
    (2000, True, False, True)
    """
    dark = pixels[..., 1] == 0
    if np.count_nonzero(dark) < min(BLACK_SIDE, *dark.shape) ** 2:
        return None
    black = (dark & (pixels[..., 0] == 0) & (pixels[..., 2] == 0)).astype(np.uint8)
    square = np.ones((BLACK_SIDE, BLACK_SIDE), np.uint8)
    hole = cv2.morphologyEx(black, cv2.MORPH_OPEN, square).astype(bool)
    return hole if hole.any() else None


def densities(pixels: np.ndarray, glass) -> np.ndarray:
    """Optical density log10(glass ÷ pixel) of uint8 h×w×3, per channel; float32, negative where brighter than glass."""
    return cv2.LUT(pixels, _density_table(glass)[None])


def ink(density: np.ndarray) -> np.ndarray:
    """Pixels that look like felt pen rather than stain: bool h×w, from optical densities (float32 h×w×3, base 10)."""
    inked = np.empty(density.shape[:2], bool)
    _find_ink(np.ascontiguousarray(density, np.float32), inked)
    return inked


def some(mask: np.ndarray, most: int) -> np.ndarray:
    """Flat indices of at most about `most` of the pixels of a mask, evenly spread over them.

    >>> some(np.ones((2, 3), bool), 2).tolist()
    [0, 4]
    """
    indices = np.flatnonzero(mask)
    return indices[:: 1 + len(indices) // most]


def _density_table(glass) -> np.ndarray:
    """Optical density of each level 0…255 in each channel: float32 256×3."""
    levels = np.log10(np.maximum(np.arange(256, dtype=np.float32), 1))
    return np.log10(np.maximum(np.asarray(glass, np.float32), 1)) - levels[:, None]


@compiled
def _is_ink(red, green, blue):
    largest, least = max(red, green, blue), min(red, green, blue)
    if not largest > 0.15:
        return False
    if green < 0.9 * red and green < 0.9 * blue:
        return True  # green
    if red > 1.3 * green and blue < green:
        return True  # blue
    if red < 0.12 * green and blue > 0.8 * green and green > 0.5:
        return True  # red
    return least > 0.85 and largest - least < 0.2  # black


@compiled
def _find_ink(density, inked):
    for y in range(inked.shape[0]):
        for x in range(inked.shape[1]):
            inked[y, x] = _is_ink(density[y, x, 0], density[y, x, 1], density[y, x, 2])


@compiled
def _judge(pixels, table, spread, faint, inked):
    """Per pixel: the spread of its optical densities over the channels, whether they are glass's, whether it is ink."""
    for y in range(pixels.shape[0]):
        for x in range(pixels.shape[1]):
            red, green, blue = table[pixels[y, x, 0], 0], table[pixels[y, x, 1], 1], table[pixels[y, x, 2], 2]
            spread[y, x] = max(red, green, blue, 0) - max(min(red, green, blue), 0)
            faint[y, x] = red + green + blue < 0.09
            inked[y, x] = _is_ink(red, green, blue)


def _largest(channels) -> np.ndarray:
    return np.maximum(np.maximum(channels[0], channels[1]), channels[2])


def _least(channels) -> np.ndarray:
    return np.minimum(np.minimum(channels[0], channels[1]), channels[2])


def _grown(mask: np.ndarray) -> np.ndarray:
    """Strokes without lone pixels, and with their rims, where the ink is thin."""
    if min(mask.shape) < 16:
        return mask
    opened = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    return cv2.dilate(opened, np.ones((5, 5), np.uint8)).astype(bool)


def _tidy(mask: np.ndarray) -> np.ndarray:
    if min(mask.shape) < 32:
        return mask
    small = mask.astype(np.uint8)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    closed = cv2.morphologyEx(small, cv2.MORPH_CLOSE, disc, borderType=cv2.BORDER_REPLICATE)
    count, labels = cv2.connectedComponents(closed, connectivity=8)
    keep = np.bincount(labels.ravel(), minlength=count) >= max(4, mask.size // 500_000)
    if keep.all():
        return closed.astype(bool)
    keep[0] = False
    return keep[labels]
