"""Box mean and resampling: against an oracle, the golden file shared with QuPath's side, and tile against tile."""

import base64
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hemalum.grid.resample import box_mean, model_tile
from hemalum.grid.tiling import plan_tiles

GOLDEN = Path(__file__).parent.parent / "data" / "box_mean.json"
sizes = st.integers(1, 40)


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def crop(image, rect):
    return image[rect.y : rect.y + rect.height, rect.x : rect.x + rect.width]


def tile_of(image, tile, plan):
    return model_tile(box_mean(crop(image, tile.read), plan.scale.n), tile, plan)


@settings(deadline=None)
@given(sizes, sizes, st.integers(1, 9), st.integers(0, 99))
def test_box_mean_is_the_rounded_mean_of_the_pixels_that_exist(height, width, n, seed):
    pixels = noise(height, width, seed)
    boxed = box_mean(pixels, n)
    assert boxed.shape == (-(-height // n), -(-width // n), 3)
    for y in range(boxed.shape[0]):
        for x in range(boxed.shape[1]):
            block = pixels[y * n : (y + 1) * n, x * n : (x + 1) * n].reshape(-1, 3).astype(int)
            m = len(block)
            assert boxed[y, x].tolist() == [(2 * int(s) + m) // (2 * m) for s in block.sum(0)]


def test_golden_file_shared_with_qupath():
    for case in json.loads(GOLDEN.read_text())["cases"]:
        pixels = np.frombuffer(base64.b64decode(case["pixels"]), np.uint8).reshape(case["height"], case["width"], 3)
        assert box_mean(pixels, case["n"]).tobytes() == base64.b64decode(case["boxed"])


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 300), st.integers(1, 300), st.floats(0.12, 1.3), st.integers(0, 40))
def test_overlapping_tiles_agree_to_the_bit(width, height, mpp, offset):
    image = noise(height, width)
    plan = plan_tiles((width, height), mpp, 0.5, core=32, halo=16, offset=(offset, offset // 2))
    whole_width, whole_height = plan.model_size
    seen = np.full((whole_height, whole_width, 3), -1)
    for tile in plan.tiles:
        pixels = tile_of(image, tile, plan)
        left, top, width, height = plan.window(tile)
        assert pixels.shape == (height, width, 3) and pixels.dtype == np.uint8
        before = seen[top : top + height, left : left + width]
        assert before.shape == pixels.shape and ((before == -1) | (before == pixels)).all()
        seen[top : top + height, left : left + width] = pixels
    assert (seen >= 0).all()


@pytest.mark.parametrize("mpp", [0.25, 0.3, 0.4, 0.5, 0.8])
def test_a_flat_image_stays_flat_and_a_ramp_stays_a_ramp(mpp):
    flat = np.full((90, 110, 3), 37, np.uint8)
    plan = plan_tiles((110, 90), mpp, 0.5, core=64, halo=16)
    assert all((tile_of(flat, tile, plan) == 37).all() for tile in plan.tiles)
    ramp = np.broadcast_to((2 * np.arange(110))[None, :, None], (90, 110, 3)).astype(np.uint8)
    tile = plan.tiles[0]
    row = tile_of(ramp, tile, plan)[40, 8:30, 0].astype(float)
    expected = 2 * ((np.arange(8, 30) + 0.5) * plan.to_level0 - 0.5)
    assert np.abs(row - expected).max() <= 1.01


def test_what_the_grid_cannot_hold_is_suppressed():
    stripes = np.zeros((64, 512, 3), np.uint8)
    stripes[:, ::2] = 255
    plan = plan_tiles((512, 64), 0.5 / 1.9, 0.5, core=256, halo=0)
    row = tile_of(stripes, plan.tiles[0], plan)[16, 8:248, 0].astype(float)
    assert row.std() < 30  # the stripes' own deviation is 127


def test_wrong_shapes_are_refused():
    plan = plan_tiles((100, 100), 0.25, 0.5)
    with pytest.raises(ValueError, match="needs 50×50 boxed px"):
        model_tile(noise(50, 49), plan.tiles[0], plan)
    with pytest.raises(ValueError, match="uint8"):
        box_mean(np.zeros((4, 4), np.uint8), 2)
