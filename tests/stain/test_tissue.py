"""The tissue mask on backgrounds of every kind."""

from pathlib import Path

import numpy as np
import pytest

import hemalum
from hemalum.slides import open_slide
from hemalum.stain.tissue import glass_colour, tissue_mask

CMU = Path(hemalum.__file__).parent / "data" / "CMU-1-Small-Region.svs"
PINK, PALE, VIOLET = (205, 120, 175), (228, 208, 222), (95, 60, 140)


def picture(background, spots=(), size=(400, 500), noise=2):
    image = np.empty((*size, 3), np.float64)
    image[:] = background
    for (x0, y0, x1, y1), colour in spots:
        image[y0:y1, x0:x1] = colour
    image += np.random.default_rng(0).normal(0, noise, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    "background", [(255, 255, 255), (240, 240, 240), (243, 240, 228), (180, 180, 180), (225, 232, 226)]
)
def test_tissue_on_glass_of_any_grey(background):
    pale = np.array(PALE) * np.min(background) / 240
    spots = [((50, 50, 150, 150), PINK), ((200, 50, 300, 150), VIOLET), ((50, 200, 150, 300), pale)]
    mask = tissue_mask(picture(background, spots))
    for (x0, y0, x1, y1), _ in spots:
        assert mask[y0 + 3 : y1 - 3, x0 + 3 : x1 - 3].mean() > 0.97
        mask[y0 - 4 : y1 + 4, x0 - 4 : x1 + 4] = False
    assert mask.mean() < 0.001
    assert np.abs(glass_colour(picture(background, spots)) - background).max() <= 2


def test_what_a_scanner_left_out_in_white_is_not_taken_for_glass():
    slide = picture((241, 235, 238), [((50, 50, 250, 150), PINK), ((50, 200, 250, 300), VIOLET)], noise=1)
    slide[:, 350:] = 255
    assert np.abs(glass_colour(slide) - (241, 235, 238)).max() <= 1
    assert not tissue_mask(slide)[:, 310:].any()


@pytest.mark.parametrize("grey", [0, 1, 30, 128, 200, 255])
@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (40, 50)])
def test_a_single_grey_has_no_tissue(grey, size):
    assert not tissue_mask(np.full((*size, 3), grey, np.uint8)).any()


def test_ink_and_unscanned_black_are_not_tissue():
    inks = [(20, 140, 60), (30, 60, 190), (230, 20, 30), (25, 25, 25), (0, 0, 0)]
    spots = [((20 + 90 * i, 20, 80 + 90 * i, 380), colour) for i, colour in enumerate(inks)]
    assert tissue_mask(picture((244, 243, 245), spots)).mean() < 0.001
    mask = tissue_mask(picture((244, 243, 245), [*spots[:4], ((385, 20, 480, 380), PINK)]))
    assert mask[30:370, 395:470].all() and not mask[:, :370].any()


def test_a_picture_full_of_tissue_and_a_grey_one():
    rng = np.random.default_rng(1)
    full = picture(PINK, noise=6)
    assert tissue_mask(full).mean() > 0.99
    grey = picture((235, 235, 235), [((100, 100, 300, 300), (150, 150, 150))], noise=0)
    grey += rng.integers(0, 3, (*grey.shape[:2], 1), dtype=np.uint8)
    mask = tissue_mask(grey)
    assert mask[110:290, 110:290].all() and not mask[:90].any()


def test_a_real_slide_and_areas_that_could_not_be_read():
    with open_slide(CMU) as slide:
        overview = slide.overview()
    mask = tissue_mask(overview)
    assert 0.3 < mask.mean() < 0.42 and mask[:, -100:].mean() < 0.01
    unread = np.zeros(mask.shape, bool)
    unread[:50, :50] = True
    assert tissue_mask(overview, unread)[:50, :50].all()
