"""Thresholds of a network in training are chosen with its epoch, and used wherever it labels or is scored."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch

from hemalum.grid.resample import box_mean
from hemalum_training.config.data import Pseudo
from hemalum_training.networks import Generator
from hemalum_training.networks.pixels import to_input
from hemalum_training.pseudo.teacher import from_weights, label_tile
from hemalum_training.scoring.predict import INSTANCES, fitted_parameters, fitted_scores, score_images


def unsure(narrow, share: float) -> Generator:
    """Finds what is dark with probability `share`, and a low distance: a decoder that looks at the tile itself."""
    generator = Generator(narrow(), imagenet=False).eval()

    class Dark(torch.nn.Module):
        def forward(self, y, skips, image):
            dark = torch.nn.functional.interpolate((image[:, :1] < 0.2).float(), scale_factor=2.0)
            logit = (4 + math.log(share / (1 - share))) * dark - 4
            return torch.cat([logit, 0.3 * torch.nn.functional.avg_pool2d(dark, 13, 1, 6)], 1)

    generator.segmentation = Dark()
    return generator


def test_a_network_that_is_right_but_not_sure_finds_its_nuclei(narrow, drawn):
    images = [drawn(1), drawn(2)]
    generator = unsure(narrow, 0.4)
    parameters, found = fitted_scores(generator, images)
    assert np.mean([s.aji for s in score_images(generator, images)]) < 0.1
    assert np.mean([s.aji for s in found]) > 0.7 and parameters.foreground < 0.4


def test_a_teacher_labels_with_the_thresholds_of_its_epoch(narrow, drawn, tmp_path):
    tile = drawn(1)
    generator = Generator(narrow(), imagenet=False)
    state = {"config": {"network": generator.config.as_dict()}, "network": generator.state_dict()}
    torch.save({**state, "best": {"epoch": 3, "foreground": 0.35}}, tmp_path / "weights.pt")
    teacher = from_weights(tmp_path / "weights.pt")
    assert teacher.parameters == replace(INSTANCES, foreground=0.35)
    assert teacher.parameters == fitted_parameters(tmp_path / "weights.pt")
    weak = unsure(narrow, 0.4)

    def look(pixels):
        with torch.no_grad():
            logits = weak(to_input(pixels))["segmentation"]
        return torch.cat([logits[:, :1].sigmoid(), logits[:, 1:]], 1).numpy()

    for known, nuclei in ((teacher.parameters, True), (INSTANCES, False)):
        labels, _, _ = label_tile(
            replace(teacher, maps=look, parameters=known), box_mean(tile.pixels, 2), Pseudo(jitters=1), seed=1
        )
        assert bool(labels.max() > 5) == nuclei
