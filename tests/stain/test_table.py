"""The colour table: how exactly it stands for its function, and what it leaves alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from hemalum.stain import METHODS
from hemalum.stain.estimation import REFERENCE, Stain
from hemalum.stain.table import apply_table, colour_table, normalized

STAINS = [
    Stain(method, matrix, maxima, (243, 242, 244), (60.0, 25.0, -15.0), (13.0, 9.0, 7.0))
    for method, matrix, maxima in [
        ("macenko", ((0.65, 0.70, 0.29), (0.11, 0.94, 0.33)), (0.7, 0.35)),
        ("vahadane", ((0.56, 0.74, 0.37), (0.20, 0.84, 0.50)), (1.4, 0.8)),
        ("reinhard", ((0.65, 0.70, 0.29), (0.11, 0.94, 0.33)), (0.7, 0.35)),
        ("learned", ((0.65, 0.70, 0.29), (0.11, 0.94, 0.33)), (0.7, 0.35)),
        ("none", ((0.65, 0.70, 0.29), (0.11, 0.94, 0.33)), (0.7, 0.35)),
    ]
]


def tissue_colours(stain, count=20000):
    """Colours of this stain with every amount of both dyes up to the 99th percentile and a little off the plane."""
    rng = np.random.default_rng(0)
    density = rng.random((count, 2)) * stain.maxima @ np.array(stain.matrix) + rng.normal(0, 0.01, (count, 3))
    return np.clip(np.rint(np.array(stain.background) * 10**-density), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("stain", STAINS, ids=METHODS)
@pytest.mark.parametrize(("size", "mean", "most"), [(33, 0.6, 4), (65, 0.45, 2)])
def test_interpolation_error(stain, size, mean, most):
    colours = tissue_colours(stain)
    exact = normalized(colours.astype(float), stain, REFERENCE)
    interpolated = apply_table(colours[None], colour_table(stain, REFERENCE, size))[0]
    error = np.abs(interpolated - exact)
    assert error.mean() < mean and np.quantile(error, 0.99) < most


@pytest.mark.parametrize("stain", STAINS[:4], ids=METHODS[:4])
def test_glass_ink_and_pigment_stay_as_they_are(stain):
    table = colour_table(stain, REFERENCE)
    alone = {
        "glass": (243, 242, 244),
        "white": (255, 255, 255),
        "green ink": (20, 140, 60),
        "blue ink": (20, 90, 210),
        "brown": (120, 75, 40),
        "yellow": (230, 220, 60),
    }
    for name, colour in alone.items():
        result = apply_table(np.array([[colour]], np.uint8), table)[0, 0]
        assert np.abs(result.astype(int) - colour).max() <= 6, name
    changed = apply_table(np.array([[[150, 100, 170], [200, 120, 170]]], np.uint8), table)[0]
    assert np.abs(changed.astype(int) - [[150, 100, 170], [200, 120, 170]]).max(1).min() > 8


@pytest.mark.parametrize("stain", STAINS[:4], ids=METHODS[:4])
def test_neighbouring_colours_stay_neighbours(stain):
    """No step in the function of colour: it would draw contours into smooth tissue."""
    colours = np.random.default_rng(0).integers(0, 255, (20000, 3))
    table = colour_table(stain, REFERENCE)
    here, beside = (apply_table(c[None].astype(np.uint8), table) for c in (colours, colours + [1, 0, 0]))
    step = beside.astype(int) - here
    assert np.abs(step).max() <= 16 and np.quantile(np.abs(step), 0.999) <= 9


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 65), st.integers(0, 99))
def test_a_linear_table_is_exact_and_threads_change_nothing(size, seed):
    rng = np.random.default_rng(seed)
    axis = np.linspace(0, 255, size)
    identity = np.rint(np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1)).astype(np.uint8)
    pixels = rng.integers(0, 256, (300, 500, 3), dtype=np.uint8)
    one = apply_table(pixels, identity, threads=1)
    assert np.abs(one.astype(int) - pixels).max() <= 1
    assert (one == apply_table(pixels, identity, threads=2)).all()


def test_close_to_pillows_trilinear_table():
    table = colour_table(STAINS[0], REFERENCE)
    pixels = tissue_colours(STAINS[0])[None]
    theirs = ImageFilter.Color3DLUT(33, (np.swapaxes(table, 0, 2).reshape(-1) / 255).tolist())
    error = np.abs(np.asarray(Image.fromarray(pixels).filter(theirs)).astype(int) - apply_table(pixels, table))
    assert error.mean() < 0.5 and error.max() <= 6


def test_wrong_shapes_are_refused():
    table = colour_table(STAINS[0], REFERENCE, 9)
    with pytest.raises(ValueError, match="pixels must be uint8"):
        apply_table(np.zeros((2, 2, 4), np.uint8), table)
    with pytest.raises(ValueError, match="colour table must be"):
        apply_table(np.zeros((2, 2, 3), np.uint8), table[:5])
    with pytest.raises(ValueError, match="2…129"):
        colour_table(STAINS[0], REFERENCE, 1)
