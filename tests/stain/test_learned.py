"""The learned normalization that ships: what it leaves alone, what it depends on, that it brings stains together."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import hemalum
from hemalum.slides import open_slide
from hemalum.stain.estimation import REFERENCE, estimate
from hemalum.stain.learned import bundled, statistics
from hemalum.stain.table import apply_table, colour_table, normalized
from hemalum.stain.tissue import tissue_mask

DATA = Path(hemalum.__file__).parent / "data"


@pytest.fixture(scope="module")
def overview():
    with open_slide(DATA / "CMU-1-Small-Region.svs") as slide:
        return slide.overview()


@pytest.fixture(scope="module")
def stain(overview):
    return estimate(overview, tissue_mask(overview), "learned", 1.0)


def shifted(overview, gain, warm):
    """The overview as another laboratory would have stained it: more or less of both dyes, redder or bluer."""
    density = -np.log10((overview + 1.0) / 256) * gain * np.array([1 / warm, 1.0, warm])
    return np.clip(np.rint(256 * 10**-density - 1), 0, 255).astype(np.uint8)


def test_it_is_small_and_learned_from_open_images_only():
    assert (DATA / "learned_stain.npz").stat().st_size < 200_000
    licences = set(bundled().card["sets"].values())
    assert licences and licences <= {"CC0", "CC BY 4.0", "Apache-2.0"}


def test_pen_pigment_and_glass_stay_on_a_real_slide(overview, stain):
    table = colour_table(stain, REFERENCE)
    drawn = overview.copy()
    pens = {"green": (20, 140, 60), "blue": (20, 90, 210), "brown pigment": (90, 60, 30), "yellow": (230, 220, 60)}
    for number, colour in enumerate(pens.values()):
        drawn[100 + 40 * number : 120 + 40 * number, 50:400] = colour
    normal = apply_table(drawn, table)
    for number, (name, colour) in enumerate(pens.items()):
        assert np.abs(normal[100 + 40 * number : 120 + 40 * number, 50:400].astype(int) - colour).max() <= 6, name
    glass = np.array([[stain.background, (255, 255, 255)]], np.uint8)
    assert np.abs(apply_table(glass, table).astype(int) - glass).max() <= 3


def test_darker_stays_darker(stain):
    """Along each colour of tissue, from glass to its double density, nothing gets lighter by more than rounding."""
    rng = np.random.default_rng(0)
    directions = rng.random((200, 2)) * stain.maxima @ np.array(stain.matrix)
    steps = np.linspace(0, 1.2, 40)[:, None, None]
    colours = (np.array(stain.background) + 1) * 10 ** -(steps * directions) - 1
    grey = normalized(np.clip(colours, 0, 255).reshape(-1, 3), stain, REFERENCE).reshape(colours.shape).mean(2)
    assert np.diff(grey, axis=0).max() < 0.5


def test_neighbouring_colours_stay_neighbours(stain):
    colours = np.random.default_rng(0).integers(0, 255, (20000, 3))
    table = colour_table(stain, REFERENCE)
    here, beside = (apply_table(c[None].astype(np.uint8), table) for c in (colours, colours + [1, 0, 0]))
    step = beside.astype(int) - here
    assert np.abs(step).max() <= 16 and np.quantile(np.abs(step), 0.999) <= 9


def test_it_depends_on_the_whole_images_stain(stain):
    other = replace(stain, maxima=(stain.maxima[0] * 1.5, stain.maxima[1] * 1.3), lab_mean=(50.0, 30.0, -10.0))
    assert statistics(stain).shape == (14,)
    colours = np.array([[150, 90, 160], [210, 140, 190]], float)
    assert np.abs(normalized(colours, stain, REFERENCE) - normalized(colours, other, REFERENCE)).max() > 3


def test_a_stain_far_from_all_that_was_learned_is_no_adventure(stain):
    far = replace(stain, lab_mean=(500.0, 300.0, -400.0), lab_std=(90.0, 90.0, 90.0))
    assert np.isfinite(normalized(np.random.default_rng(0).uniform(0, 255, (500, 3)), far, REFERENCE)).all()


def test_the_same_stain_gives_the_same_table_and_no_seam(overview, stain):
    table = colour_table(stain, REFERENCE)
    assert hashlib.sha256(table.tobytes()).digest() == hashlib.sha256(colour_table(stain, REFERENCE).tobytes()).digest()
    whole = apply_table(overview, table)
    halves = np.hstack([apply_table(np.ascontiguousarray(half), table) for half in np.array_split(overview, 2, axis=1)])
    assert (whole == halves).all()


def test_laboratories_come_together(overview):
    pictures = [shifted(overview, gain, warm) for gain, warm in ((0.75, 1.0), (1.0, 1.12), (1.3, 0.92))]
    mask = tissue_mask(overview)
    normal = [apply_table(p, colour_table(estimate(p, mask, "learned", 1.0), REFERENCE)) for p in pictures]
    before = [picture[mask].astype(float).mean(0) for picture in pictures]
    after = [picture[mask].astype(float).mean(0) for picture in normal]
    assert np.ptp(after, axis=0).mean() < 0.7 * np.ptp(before, axis=0).mean()


def test_another_reference_is_followed(overview, stain):
    pale = replace(REFERENCE, maxima=(0.6, 0.3))
    mask = tissue_mask(overview)
    usual, light = (apply_table(overview, colour_table(stain, target))[mask].mean() for target in (REFERENCE, pale))
    assert light > usual + 10
