"""Losses of the method against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from hemalum_training.loops.losses import (
    consistency_loss,
    cycle_loss,
    fit_targets,
    gan_discriminator,
    gan_generator,
    segmentation_loss,
)
from hemalum_training.loops.replay import ReplayPool
from hemalum_training.scoring.similarity import mae, rmse, ssim


def test_least_squares_gan():
    fake, real = torch.tensor([0.0, 0.5]), torch.tensor([1.0, 0.5])
    assert gan_generator(fake).item() == pytest.approx(0.5 * (1 + 0.25) / 2)
    assert gan_discriminator(real, fake).item() == pytest.approx(0.5 * (0 + 0.25) / 2 + 0.5 * (0 + 0.25) / 2)


def test_cycle_loss_is_the_sum_of_both_directions_means():
    x, y = torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2)
    assert cycle_loss(x, x + 0.25, y, y - 0.5).item() == pytest.approx(0.75)


def test_segmentation_is_the_patents_cross_entropy_when_the_added_terms_are_off():
    logits = torch.tensor([0.0, 2.0, -1.0, 3.0]).view(1, 1, 2, 2)
    targets = torch.zeros(1, 2, 2, 2)
    targets[0, 0] = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    by_hand = (math.log(2) + math.log(1 + math.exp(-2)) + math.log(1 + math.exp(-1)) + math.log(1 + math.exp(3))) / 4
    assert segmentation_loss(logits, targets, 0, 0).item() == pytest.approx(by_hand, abs=1e-6)


def test_added_terms_of_the_segmentation():
    logits, targets = torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 2, 2)
    targets[0, 0, 0] = 1
    logits[0, 1, 0, 0] = 0.5        # |error| 0.5 over 0.1 is linear: 0.5 - 0.05; the other three are 0
    plain = segmentation_loss(logits, targets, 0, 0).item()
    assert plain == pytest.approx(math.log(2))
    assert segmentation_loss(logits, targets, 1, 0).item() - plain == pytest.approx(1 - (2 * 1 + 1) / (2 + 2 + 1))
    assert segmentation_loss(logits, targets, 0, 2).item() - plain == pytest.approx(2 * 0.45 / 4, abs=1e-6)


def test_pixels_that_are_not_known_count_for_nothing():
    logits, targets = (
        torch.randn(2, 2, 4, 4, generator=torch.Generator().manual_seed(0), requires_grad=True),
        torch.zeros(2, 3, 4, 4),
    )
    targets[:, 0, :2], targets[:, 1, :2], targets[:, 2, :, :3] = 1, 0.5, 1
    loss = segmentation_loss(logits, targets)
    loss.backward()
    assert (logits.grad[..., 3] == 0).all() and (logits.grad[..., :3] != 0).all()
    assert loss.item() == pytest.approx(segmentation_loss(logits[..., :3], targets[:, :2, :, :3]).item(), abs=1e-6)
    assert segmentation_loss(logits, targets * torch.tensor([1.0, 1, 0]).view(3, 1, 1)).item() == pytest.approx(
        0, abs=1e-6
    )


def test_a_probability_as_label_is_best_answered_by_itself():
    target, losses = torch.zeros(1, 2, 4, 4), {}
    target[:, 0] = 0.3
    for p in (0.1, 0.2, 0.3, 0.4, 0.5):
        losses[p] = segmentation_loss(torch.full((1, 1, 4, 4), math.log(p / (1 - p))), target).item()
    assert min(losses, key=losses.get) == 0.3


def test_targets_are_brought_to_the_logits_size():
    targets = torch.zeros(1, 2, 4, 4)
    targets[0, 0, :2, :2], targets[0, 0, 0, 2] = 1, 1
    targets[0, 1, :2, :2] = 0.5
    small = fit_targets(targets, torch.zeros(1, 1, 2, 2))
    assert small[0, 0].tolist() == [[1, 0.25], [0, 0]] and small[0, 1].tolist() == [[0.5, 0], [0, 0]]
    assert fit_targets(targets, torch.zeros(1, 2, 4, 4)) is targets


def test_consistency_moves_the_translations_segmentation_only():
    first, second = (
        torch.zeros(1, 2, 2, 2, requires_grad=True),
        torch.full((1, 2, 2, 2), math.log(3), requires_grad=True),
    )
    loss = consistency_loss(first, second)
    loss.backward()
    assert loss.item() == pytest.approx((0.75 - 0.5) ** 2)
    assert first.grad is None and second.grad.abs().sum() > 0


class TestReplayPool:
    def test_gives_back_new_fakes_until_it_is_full(self):
        pool, rng = ReplayPool(3), np.random.default_rng(0)
        for k in range(3):
            assert pool.exchange(torch.full((1, 3, 2, 2), k / 127.5 - 1), rng)[0, 0, 0, 0].item() == pytest.approx(
                k / 127.5 - 1
            )

    def test_then_half_of_what_it_gives_is_old_and_nothing_is_lost(self):
        pool, rng, given = ReplayPool(5), np.random.default_rng(1), []
        for k in range(200):
            value = pool.exchange(torch.full((1, 3, 2, 2), k / 127.5 - 1), rng)[0, 0, 0, 0].item()
            given.append(round((value + 1) * 127.5))
        assert 70 < sum(g != k for k, g in enumerate(given)) < 130
        assert len(pool.images) == 5

    def test_continues_from_its_state(self):
        first = ReplayPool(4)
        rng = np.random.default_rng(2)
        first.exchange(torch.rand(6, 3, 4, 4, generator=torch.Generator().manual_seed(0)), rng)
        second = ReplayPool(4)
        second.load(first.state())
        more = torch.rand(8, 3, 4, 4, generator=torch.Generator().manual_seed(1)) * 2 - 1
        assert torch.equal(
            first.exchange(more, np.random.default_rng(3)), second.exchange(more, np.random.default_rng(3))
        )

    def test_of_no_size_passes_fakes_through(self):
        images = torch.rand(2, 3, 4, 4) * 2 - 1
        assert torch.allclose(ReplayPool(0).exchange(images, np.random.default_rng(0)), images, atol=1 / 127)


class TestSimilarity:
    def test_ssim_equals_scikit_image(self):
        skimage = pytest.importorskip("skimage.metrics")
        rng = np.random.default_rng(0)
        first = rng.random((40, 50))
        second = np.clip(first + rng.normal(0, 0.1, first.shape), 0, 1)
        expected, whole = skimage.structural_similarity(
            first, second, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1.0, full=True
        )
        assert ssim(first, second) == pytest.approx(whole[5:-5, 5:-5].mean(), abs=1e-9)

    def test_a_change_of_colour_alone_keeps_the_structure(self):
        tile = np.random.default_rng(1).random((32, 32))
        assert ssim(tile, tile) == pytest.approx(1) and ssim(tile, np.random.default_rng(2).random((32, 32))) < 0.2

    def test_differences(self):
        assert mae(np.array([0.0, 1.0]), np.array([0.5, 1.0])) == 0.25
        assert rmse(np.array([0.0, 1.0]), np.array([0.6, 1.0])) == pytest.approx(0.6 / math.sqrt(2))


def test_a_tile_carried_to_the_target_stain_is_nearer_to_it_and_one_left_alone_is_not(drawn):
    from hemalum.stain.estimation import REFERENCE, estimate
    from hemalum.stain.table import apply_table, colour_table
    from hemalum.stain.tissue import tissue_mask
    from hemalum_training.scoring.patent_table import stain_distance

    tile = drawn(4, eosin=(240, 190, 190), haematoxylin=(70, 60, 150)).pixels
    carried = apply_table(tile, colour_table(estimate(tile, tissue_mask(tile), "macenko", 0.5), REFERENCE))
    assert stain_distance(carried, REFERENCE) < 0.7 * stain_distance(tile, REFERENCE)


def test_where_a_label_may_be_several_nuclei_its_distance_is_not_learned():
    logits, targets = torch.zeros(1, 2, 4, 4), torch.ones(1, 4, 4, 4)
    targets[:, 1], targets[:, 3, :2] = 0.5, 0
    changed = targets.clone()
    changed[:, 1, :2] = 0.9
    assert segmentation_loss(logits, targets) == segmentation_loss(logits, changed)
    changed[:, 0, :2] = 0
    assert segmentation_loss(logits, targets) != segmentation_loss(logits, changed)
