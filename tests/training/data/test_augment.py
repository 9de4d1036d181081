"""Crops in pairs, and what lies on a slide and is no nucleus."""

from __future__ import annotations

import numpy as np
import torch

from hemalum_training.data.augment import sample_shifted
from hemalum_training.data.dirt import soiled
from hemalum_training.loops.losses import shift_loss


def test_pairs_of_crops_show_the_same_tissue(drawn):
    pixels, targets, places = sample_shifted([drawn(3)], np.ones(1), 64, 4, np.random.default_rng(2), fold=2)
    assert pixels.shape == (4, 128, 128, 3) and targets.shape == (4, 4, 128, 128)
    assert float(shift_loss(torch.from_numpy(targets), places)) == 0
    assert float(shift_loss(torch.from_numpy(targets), places[::-1])) > 0


def test_dirt_covers_what_it_darkens():
    pixels, covered = soiled(np.full((96, 96, 3), 220, np.uint8), np.random.default_rng(4))
    assert covered.any() and pixels[covered].mean() < 150
