"""Stains found again in pictures whose stain is known, and in real ones."""

from pathlib import Path

import numpy as np
import pytest

import hemalum
from hemalum.errors import UsageError
from hemalum.slides import open_slide
from hemalum.stain import METHODS
from hemalum.stain.estimation import DEFAULT_MATRIX, REFERENCE, Stain, estimate, unmix, unmixing
from hemalum.stain.table import apply_table, colour_table
from hemalum.stain.tissue import tissue_mask

CMU = Path(hemalum.__file__).parent / "data" / "CMU-1-Small-Region.svs"
MATRICES = [
    ((0.65, 0.70, 0.29), (0.11, 0.94, 0.33)),
    ((0.56, 0.74, 0.37), (0.20, 0.84, 0.50)),
    ((0.72, 0.66, 0.22), (0.07, 0.99, 0.11)),
]


def stained(matrix, glass=(243, 242, 244), scale=1.0, seed=0, side=240):
    """A picture with glass on its left half and tissue of this stain on its right; also the amounts, h×w×2."""
    rng = np.random.default_rng(seed)
    rows = np.array(matrix) / np.linalg.norm(matrix, axis=1, keepdims=True)
    amounts = rng.gamma(2, 0.12 * scale, (side, side, 2)) + 0.05
    amounts[rng.random((side, side)) < 0.15, 1] = 0.02  # nuclei with little eosin
    amounts[rng.random((side, side)) < 0.4, 0] = 0.02  # eosin alone
    amounts[:, : side // 2] = 0
    pixels = np.array(glass) * 10 ** -(amounts @ rows) + rng.normal(0, 1, (side, side, 3))
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8), amounts


def apart(a, b):
    """Degrees between matching rows."""
    a, b = (np.array(m) / np.linalg.norm(m, axis=1, keepdims=True) for m in (a, b))
    return np.degrees(np.arccos(np.clip((a * b).sum(1), -1, 1)))


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("method", ["macenko", "vahadane"])
def test_a_known_stain_is_found(matrix, method):
    picture, amounts = stained(matrix)
    stain = estimate(picture, tissue_mask(picture), method)
    assert not stain.note and apart(stain.matrix, matrix).max() < 6
    maxima = np.percentile(amounts[:, 120:].reshape(-1, 2), 99, axis=0)
    assert np.allclose(stain.maxima, maxima, rtol=0.15)
    assert np.abs(np.subtract(stain.background, (243, 242, 244))).max() <= 1


def test_estimates_are_repeatable_and_can_be_given_again():
    with open_slide(CMU) as slide:
        overview = slide.overview()
    for method in METHODS:
        stain = estimate(overview, tissue_mask(overview), method)
        assert stain == estimate(overview, tissue_mask(overview), method) == Stain.from_record(stain.record())
        assert all(round(v, 3) == v for row in stain.matrix for v in row) and not stain.note
    with pytest.raises(UsageError, match="give one that a run has recorded"):
        Stain.from_record({"method": "macenko", "matrix": [[1, 2], [3, 4]]})


@pytest.mark.parametrize("method", ["macenko", "vahadane"])
def test_what_is_normalized_has_the_reference_stain(method):
    with open_slide(CMU) as slide:
        overview = slide.overview()
    mask = tissue_mask(overview)
    table = colour_table(estimate(overview, mask, method), REFERENCE)
    again = estimate(apply_table(overview, table), mask, method)
    assert apart(again.matrix, REFERENCE.matrix).max() < 5
    assert np.allclose(again.maxima, REFERENCE.maxima, rtol=0.15)


def test_two_laboratories_look_alike_afterwards():
    pictures = [stained(m, scale=s, seed=1)[0] for m, s in zip(MATRICES, (0.8, 1.0, 1.3), strict=True)]
    for method in ("macenko", "vahadane", "reinhard"):
        normal = [apply_table(p, colour_table(estimate(p, tissue_mask(p), method), REFERENCE)) for p in pictures]
        before = [picture[:, 125:].reshape(-1, 3).mean(0) for picture in pictures]
        after = [picture[:, 125:].reshape(-1, 3).mean(0) for picture in normal]
        assert np.ptp(after, axis=0).max() < 0.45 * np.ptp(before, axis=0).max(), method


def test_reinhard_meets_the_references_mean():
    with open_slide(CMU) as slide:
        overview = slide.overview()
    mask = tissue_mask(overview)
    normal = apply_table(overview, colour_table(estimate(overview, mask, "reinhard"), REFERENCE))
    again = estimate(normal, mask, "reinhard")
    assert np.abs(np.subtract(again.lab_mean, REFERENCE.lab_mean)).max() < 4


@pytest.mark.parametrize("value", [0, 128, 255])
@pytest.mark.parametrize("shape", [(1, 1), (1, 200), (64, 64)])
def test_nothing_to_estimate_from_gives_the_default_and_says_so(value, shape):
    picture = np.full((*shape, 3), value, np.uint8)
    for method in METHODS:
        stain = estimate(picture, tissue_mask(picture), method)
        assert "too little tissue" in stain.note and stain.matrix == DEFAULT_MATRIX
        assert np.abs(apply_table(picture, colour_table(stain, REFERENCE)).astype(int) - value).max() <= 1


def test_colours_that_are_not_he_give_the_default():
    picture, _ = stained(((0.2, 0.2, 0.95), (0.95, 0.25, 0.1)))
    stain = estimate(picture, np.ones(picture.shape[:2], bool))
    assert "not those of H&E" in stain.note and stain.matrix == DEFAULT_MATRIX


def test_a_coarse_overview_is_corrected():
    picture, _ = stained(MATRICES[0])
    fine, coarse = (estimate(picture, tissue_mask(picture), mpp=mpp) for mpp in (0.5, 8))
    assert fine == estimate(picture, tissue_mask(picture))
    assert 1.6 < coarse.maxima[0] / fine.maxima[0] < 2.0 and coarse.matrix == fine.matrix


def test_unknown_methods():
    picture = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(UsageError, match="choose one of"):
        estimate(picture, picture[..., 0] > 0, "magic")


@pytest.mark.parametrize("matrix", MATRICES)
def test_unmix_gives_the_amounts_back(matrix):
    picture, amounts = stained(matrix)
    unmixed = unmix(picture, matrix, (243, 242, 244))
    assert unmixed.dtype == np.float32 and unmixed.shape == amounts.shape
    clear = picture.min(2) > 15  # below, one grey level is a large step in density
    assert np.abs(unmixed - amounts)[clear].mean() < 0.02


def test_stains_too_near_to_each_other_are_not_taken_apart():
    nearly_parallel, nothing = ((0.6, 0.7, 0.3), (0.61, 0.7, 0.3)), ((0.0, 0.0, 0.0), (0.1, 0.9, 0.4))
    for matrix in (nearly_parallel, nothing, ((np.nan, 1, 1), (0, 1, 0))):
        with np.errstate(invalid="ignore"), pytest.raises(ValueError, match="not different enough"):
            unmixing(matrix)


def test_unmix_as_scikit_image_does():
    from skimage.color import hed_from_rgb, separate_stains

    picture, _ = stained(MATRICES[0])
    matrix = np.linalg.inv(hed_from_rgb)[:2]
    residual = np.cross(*matrix)
    full = np.linalg.inv(np.vstack([matrix, residual / np.linalg.norm(residual)]))
    # scikit-image works with natural logarithms, rescaled: compare what is proportional
    theirs, ours = separate_stains(picture, full)[..., :2].ravel(), unmix(picture, matrix).ravel()
    keep = (theirs > 0.01) & (ours > 0.01)
    assert np.corrcoef(theirs[keep], ours[keep])[0, 1] > 0.999
