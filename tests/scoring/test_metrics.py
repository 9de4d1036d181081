"""Every metric by known geometry, and against an independent scorer where it is at hand."""

from __future__ import annotations

import importlib.util
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hemalum.scoring import metrics
from hemalum.scoring.metrics import bootstrap, score

PEER = Path(__file__).parents[2] / ".." / "shared" / "peers" / "score_instances.py"


def squares(*boxes, shape=(40, 40)):
    labels = np.zeros(shape, np.int32)
    for number, (y, x, height, width) in enumerate(boxes, 1):
        labels[y : y + height, x : x + width] = number
    return labels


def test_equal_images_score_one():
    labels = squares((0, 0, 5, 5), (10, 10, 6, 7))
    scores = score(labels, labels * 3)
    assert all(value == 1 for name, value in scores.as_dict().items() if not name.startswith("n_"))
    assert (scores.n_ref, scores.n_pred) == (2, 2)


@pytest.mark.parametrize(
    "reference, predicted, expected",
    [([], [], 1.0), ([(0, 0, 2, 2)], [], 0.0), ([], [(0, 0, 2, 2)], 0.0)],
)
def test_empty_sides(reference, predicted, expected):
    scores = score(squares(*reference), squares(*predicted))
    assert all(value == expected for name, value in scores.as_dict().items() if not name.startswith("n_"))


def test_labels_apart_score_zero():
    scores = score(squares((0, 0, 4, 4)), squares((20, 20, 4, 4)))
    assert all(value == 0 for name, value in scores.as_dict().items() if not name.startswith("n_"))


def test_one_shifted_pair_and_one_missed():
    # 4×4 against the same shifted by one: 12 shared of 20; a second reference nucleus of 10 px is missed
    scores = score(squares((0, 0, 4, 4), (20, 20, 2, 5)), squares((0, 1, 4, 4)))
    assert scores.aji == pytest.approx(12 / 30)
    assert scores.aji_plus == pytest.approx(12 / 30)
    assert (scores.dq, scores.f1, scores.sq) == pytest.approx((2 / 3, 2 / 3, 0.6))
    assert scores.pq == pytest.approx(0.4)
    assert scores.dice == pytest.approx(24 / 42)
    assert scores.fg_iou == pytest.approx(12 / 30)


def test_aji_lets_two_share_a_prediction_and_aji_plus_does_not():
    # one prediction over two touching reference nuclei of 4 px
    scores = score(squares((0, 0, 2, 2), (0, 2, 2, 2)), squares((0, 0, 2, 4)))
    assert scores.aji == pytest.approx(8 / 16)
    assert scores.aji_plus == pytest.approx(4 / 12)
    assert scores.dq == 0 and scores.dice == 1


def test_an_iou_of_exactly_one_half_is_no_match():
    scores = score(squares((0, 0, 2, 2)), squares((0, 0, 2, 4)))
    assert scores.aji == 0.5 and scores.pq == 0


def test_refuses_what_cannot_be_compared():
    with pytest.raises(ValueError, match="shapes"):
        score(np.zeros((2, 2), int), np.zeros((2, 3), int))
    with pytest.raises(ValueError, match="integers"):
        score(np.zeros((2, 2)), np.zeros((2, 2), int))


@settings(max_examples=60, deadline=None)
@given(arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(4, 5)), elements=st.floats(0, 1, width=16)))
def test_assignment_is_the_best_of_all(gain):
    rows = np.arange(gain.shape[0])
    best = max(gain[rows, columns].sum() for columns in permutations(range(gain.shape[1]), gain.shape[0]))
    partner = metrics._hungarian(-gain)
    assert len(set(partner.tolist())) == gain.shape[0]
    assert gain[rows, partner].sum() == pytest.approx(best)


@pytest.mark.skipif(not PEER.exists(), reason="the independent scorer ../shared/peers/score_instances.py is not here")
@pytest.mark.parametrize("seed", range(6))
def test_agrees_with_the_independent_scorer_to_six_digits(seed):
    pytest.importorskip("scipy")
    spec = importlib.util.spec_from_file_location("score_instances", PEER)
    peer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(peer)
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:300, :300]
    reference, predicted = np.zeros((2, 300, 300), np.int32)
    for number in range(1, 150):
        cy, cx = rng.integers(0, 300, 2)
        ry, rx = rng.integers(4, 14, 2)
        reference[((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1] = number * 2
        dy, dx, grown = rng.normal(0, 3), rng.normal(0, 3), rng.uniform(0.5, 1.5)
        if rng.random() < 0.8:
            predicted[((y - cy - dy) / ry) ** 2 + ((x - cx - dx) / rx) ** 2 < grown] = 500 - number
    ours = score(reference, predicted).as_dict()
    theirs = peer.score(reference.astype(np.int64), predicted.astype(np.int64))
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(value, abs=5e-7), name


def test_bootstrap_covers_the_mean_and_repeats():
    values = np.random.default_rng(1).normal(0.6, 0.1, 40)
    interval = bootstrap(values)
    assert interval.low < values.mean() < interval.high
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * values.std() / np.sqrt(40), rel=0.2)
    assert bootstrap(values) == interval


def test_paired_bootstrap_is_about_the_difference():
    values = np.random.default_rng(1).normal(0.6, 0.1, 40)
    assert bootstrap(values + 0.01, values) == pytest.approx((0.01, 0.01, 0.01))
    with pytest.raises(ValueError, match="paired"):
        bootstrap([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="at least one"):
        bootstrap([])
