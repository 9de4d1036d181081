"""What was never scanned is glass to the network, whatever a file holds there."""

import numpy as np
import pytest

from hemalum.grid.resample import model_tile
from hemalum.grid.tiling import plan_tiles
from hemalum.stain.tissue import never_scanned


@pytest.mark.parametrize("mpp", [0.25, 0.5, 0.4])
def test_black_is_white_to_the_network(mpp):
    picture = np.random.default_rng(0).integers(60, 220, (600, 600, 3), dtype=np.uint8)
    black, white = picture.copy(), picture.copy()
    black[:, 320:], white[:, 320:] = 0, 255
    black[40:60, 40:60] = white[40:60, 40:60] = 0  # dark, but no larger than a nucleus
    plan = plan_tiles((600, 600), image_mpp=mpp, model_mpp=0.5, core=256, halo=64)
    n = plan.scale.n
    for tile in plan.tiles:
        x, y, width, height = tile.read
        part = np.s_[y : y + height : n, x : x + width : n]
        assert (model_tile(black[part].copy(), tile, plan) == model_tile(white[part].copy(), tile, plan)).all()


def test_only_areas_without_any_light_count():
    picture = np.zeros((200, 200, 3), np.uint8)
    assert never_scanned(picture).all()
    picture[..., 2] = 1
    assert never_scanned(picture) is None
    picture[..., 2] = 0
    picture[::10] = 1  # strokes
    assert never_scanned(picture) is None
