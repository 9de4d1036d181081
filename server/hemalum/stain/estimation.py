"""`Stain`, its estimation on an overview, and colour deconvolution.

>>> REFERENCE.matrix[0], REFERENCE.method
((0.62, 0.709, 0.336), 'reference')
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np

from hemalum.errors import UsageError
from hemalum.stain import METHODS
from hemalum.stain.methods import macenko, vahadane
from hemalum.stain.tissue import densities, glass_colour, ink, some

DEFAULT_MATRIX = ((0.651, 0.701, 0.29), (0.216, 0.801, 0.558))  # Ruifrok & Johnston 2001, as QuPath's "H&E default"
SAMPLE = 60_000  # px: more change no third digit
FEWEST = 300  # px of tissue below which nothing is estimated
FAINT, DARK = 0.12, 2.2  # length of an optical density: noise below, clipped sensor above
# What averaging leaves of haematoxylin's and eosin's 99th percentile and of CIELAB deviations; measured on 60 images of
# the TNBC, NuInsSeg and CoNSeP sets, box-meaned from 0.25 µm/px.
CONTRAST_MPP = (0.5, 1, 2, 4, 8, 16)
CONTRAST = ((1, 0.94, 0.83, 0.68, 0.55, 0.42), (1, 0.95, 0.89, 0.82, 0.76, 0.68), (1, 0.95, 0.9, 0.8, 0.68, 0.53))
TURN = (35.0, 40.0)  # degrees haematoxylin and eosin may lie away from the default …
APART = 8.0  # … and must lie from each other
ALONE = 15.0  # degrees between the two below which both may be one stain, if that has one's colour only
# (red − blue) ÷ density of dark less light pixels: above 0.02 in each of 197 H&E pictures of nine sets, below −0.02 if
# red and blue are swapped
SWAPPED = -0.01


@dataclass(frozen=True)
class Stain:
    """How an image is stained.  Everything is rounded to 3 digits, so that it can be written down and given again.

    Attributes:
        method: one of `hemalum.stain.METHODS`, or "reference".
        matrix: 2 × 3, unit rows: optical density of haematoxylin and eosin in red, green, blue.
        maxima: 99th percentile of the amounts of the two (optical density along its row).
        background: RGB of empty glass, 0–255.
        lab_mean, lab_std: mean and deviation of tissue in CIELAB (L 0–100), for Reinhard.
        note: "" or a sentence that says why the default matrix stands in.
    """

    method: str
    matrix: tuple[tuple[float, float, float], tuple[float, float, float]]
    maxima: tuple[float, float]
    background: tuple[int, int, int]
    lab_mean: tuple[float, float, float]
    lab_std: tuple[float, float, float]
    note: str = ""

    def record(self) -> dict:
        """Plain numbers for `run.json`; `Stain.from_record` reads them back."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: dict) -> Stain:
        """Raises `UsageError` where a field is missing or of the wrong shape."""
        try:
            method, note = str(record["method"]), str(record.get("note", ""))
            rows = [_numbers(row) for row in record["matrix"]]
            maxima, lab_mean, lab_std = (_numbers(record[name]) for name in ("maxima", "lab_mean", "lab_std"))
            background: Any = tuple(int(value) for value in record["background"])
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(f"the stain cannot be read ({error!r}); give one that a run has recorded") from None
        if [len(values) for values in (maxima, background, lab_mean, lab_std, *rows)] != [2, 3, 3, 3, 3, 3]:
            raise UsageError("the stain has the wrong number of values; give one that a run has recorded")
        return cls(method, (rows[0], rows[1]), maxima, background, lab_mean=lab_mean, lab_std=lab_std, note=note)


# A clear violet and pink, chosen by eye between the matrices of well-stained TCGA slides; CIELAB: median over the CC0
# images (NuCLS sample, CMU-1-Small-Region) after they were shown in that matrix.
REFERENCE = Stain(
    method="reference",
    matrix=((0.62, 0.709, 0.336), (0.13, 0.903, 0.409)),
    maxima=(0.95, 0.5),
    background=(245, 245, 245),
    lab_mean=(54.0, 33.0, -21.5),
    lab_std=(15.5, 8.3, 7.7),
)


def estimate(overview: np.ndarray, mask: np.ndarray, method: str = "macenko", mpp: float | None = None) -> Stain:
    """The stain of an image.

    Args:
        overview: uint8 h×w×3.
        mask: bool h×w, tissue (`hemalum.stain.tissue.tissue_mask`); ink inside it is left out.
        method: one of `hemalum.stain.METHODS`; "none" takes the default matrix, "reinhard" and "learned" take
            Macenko's.
        mpp: µm per *overview* px, if known.  A coarse overview averages nuclei with their surroundings; amounts and
            deviations are corrected for that (see `_contrast`), so that one reference serves slides and single tiles.

    Returns:
        The stain; with a `note` and the default matrix where tissue is too little or not H&E.

    Raises:
        UsageError: an unknown method.
    """
    if method not in METHODS:
        raise UsageError(f"stain {method!r} is not known; choose one of {', '.join(METHODS)}")
    red, green, blue = (int(level) for level in glass_colour(overview))
    background = red, green, blue
    pixels = overview.reshape(-1, 3)[some(mask, SAMPLE)]
    note, matrix, maxima = "", np.array(DEFAULT_MATRIX), np.array(REFERENCE.maxima)
    mean, deviation = np.array(REFERENCE.lab_mean), np.array(REFERENCE.lab_std)
    clear = np.empty((0, 3))
    if len(pixels):
        density = densities(pixels[None], background)
        length = np.linalg.norm(density, axis=2)
        kept = ~ink(density)
        pixels = pixels[kept[0]]
        clear = density[kept & (length > FAINT) & (length < DARK)].astype(np.float64)
    if len(clear) < FEWEST:
        note = "too little tissue to estimate the stain from; the default is used"
    else:
        if method != "none":
            estimated = vahadane(clear) if method == "vahadane" else macenko(clear)
            note = _doubt(estimated, clear)
            if not note:
                matrix = estimated
        matrix = np.round(matrix, 3)
        contrast = _contrast(mpp)
        amounts = clear @ unmixing(matrix)
        maxima = np.maximum(np.percentile(amounts, 99, axis=0), 0.05) / contrast[:2]
        lab = cv2.cvtColor(pixels[None].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0]
        mean, deviation = lab.mean(0), np.maximum(lab.std(0), 0.5) / contrast[2]
    return Stain(
        method,
        (_rounded(matrix[0]), _rounded(matrix[1])),
        _rounded(maxima),
        background,
        lab_mean=_rounded(mean),
        lab_std=_rounded(deviation),
        note=note,
    )


def _numbers(values) -> Any:
    """A tuple of floats, of whatever length was written."""
    return tuple(float(value) for value in values)


def _rounded(values: np.ndarray) -> Any:
    """A tuple of floats with three digits."""
    return tuple(round(float(value), 3) for value in values)


def unmix(pixels: np.ndarray, matrix, background=(255, 255, 255)) -> np.ndarray:
    """Colour deconvolution (Ruifrok & Johnston 2001), as QuPath does it.

    Args:
        pixels: uint8 h×w×3.
        matrix: 2 × 3, rows haematoxylin and eosin; the residual is their cross product.
        background: RGB of empty glass.

    Returns:
        float32 h×w×2: optical density of haematoxylin and of eosin; slightly negative values occur.

    >>> unmix(np.array([[[255, 255, 255]]], np.uint8), DEFAULT_MATRIX).tolist()
    [[[0.0, 0.0]]]
    """
    density = np.maximum(densities(pixels, background), 0)
    to_amounts = np.ascontiguousarray(unmixing(matrix).T.astype(np.float32))
    return cv2.transform(density, to_amounts).reshape(*pixels.shape[:2], 2)


def with_residual(matrix: np.ndarray) -> np.ndarray:
    """3 × 3: unit rows haematoxylin, eosin and the direction that neither of them has."""
    rows = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    residual = np.cross(rows[0], rows[1])
    return np.vstack([rows, residual / np.linalg.norm(residual)])


def unmixing(matrix) -> np.ndarray:
    """Optical densities (R, G, B) → amounts of the two stains, the residual taken up by their cross product, as in
    QuPath.

    Args:
        matrix: 2 × 3, rows haematoxylin and eosin of any length.

    Returns:
        float64 3 × 2, to be multiplied from the right.

    Raises:
        ValueError: the two stains are (nearly) parallel or not finite.
    """
    rows = np.asarray(matrix, np.float64).reshape(-1, 3)[:2]
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    if not np.linalg.norm(np.cross(unit[0], unit[1])) >= 0.05:  # also refuses NaN
        raise ValueError("the two stain vectors are not different enough to be told apart")
    return np.ascontiguousarray(np.linalg.inv(with_residual(rows))[:, :2])


def _doubt(matrix: np.ndarray, clear: np.ndarray) -> str:
    """Why an estimated matrix (2 × 3) is not one of H&E, or ""; `clear`: the densities it is from, n × 3."""
    apart = np.degrees(np.arccos(np.clip(matrix[0] @ matrix[1], -1, 1)))
    red_over_blue = matrix[:, 0] - matrix[:, 2]
    if apart < ALONE and (red_over_blue < 0).all():
        return "only eosin is to be seen, no haematoxylin; the default stain matrix is used"
    if apart < ALONE and (red_over_blue > 0).all():
        return "only haematoxylin is to be seen, no eosin; the default stain matrix is used"
    if not _plausible(matrix):
        return "the colours are not those of H&E; the default stain matrix is used"
    if _turn(clear) < SWAPPED:
        return (
            "dark places absorb blue rather than red, which is not H&E (another stain, or red and blue are swapped); "
            "the default stain matrix is used"
        )
    return ""


def _turn(clear: np.ndarray) -> float:
    """How (red − blue) ÷ density changes from the lighter half of the pixels to the darkest tenth: nuclei are dark and
    absorb red, so that it rises in H&E."""
    length = np.linalg.norm(clear, axis=1)
    share = (clear[:, 0] - clear[:, 2]) / length
    half, dark = np.percentile(length, (50, 90))
    return float(np.median(share[length >= dark]) - np.median(share[length <= half]))


def _plausible(matrix: np.ndarray) -> bool:
    defaults = np.array(DEFAULT_MATRIX) / np.linalg.norm(DEFAULT_MATRIX, axis=1, keepdims=True)
    angles = np.degrees(np.arccos(np.clip((matrix * defaults).sum(1), -1, 1)))
    apart = np.degrees(np.arccos(np.clip(matrix[0] @ matrix[1], -1, 1)))
    return bool(angles[0] <= TURN[0] and angles[1] <= TURN[1] and apart >= APART)


def _contrast(mpp: float | None) -> np.ndarray:
    """What is left at `mpp` µm/px of haematoxylin's and eosin's 99th percentile and of CIELAB deviations; 1 at 0.5."""
    if mpp is None or mpp <= 0.5:
        return np.ones(3)
    return np.array([np.interp(np.log2(mpp), np.log2(CONTRAST_MPP), row) for row in CONTRAST])
