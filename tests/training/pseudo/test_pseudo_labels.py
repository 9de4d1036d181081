"""Rules that choose pseudo labels, on constructed maps; the bundled model as teacher, on a real CC0 slide."""

import dataclasses
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hemalum_training.pseudo import labels as pseudo_labels

pytest.importorskip("torch", reason="the extra `training` is not installed")

import hemalum
from hemalum.errors import UsageError
from hemalum_training.config.config import load_config
from hemalum_training.config.data import Pseudo
from hemalum_training.data.augment import sample_crop
from hemalum_training.data.labelled import LabelledImage, load_labelled
from hemalum_training.data.pseudo_store import StoredTile, load_pseudo
from hemalum_training.data.tile_store import load_tiles, tile_pixels
from hemalum_training.data.tiles import make_tiles
from hemalum_training.loops.supervised import train_supervised
from hemalum_training.pseudo.labels import make_pseudo_labels
from hemalum_training.pseudo.rules import TileScores, choose, confidence, mean_softmax, score_tile
from hemalum_training.pseudo.teacher import load_teacher, view_maps
from hemalum_training.studies import cross_fit
from hemalum_training.studies.rules import compare, compare_rules, partial_spearman

DATA = Path(__file__).parents[2] / "data"
SLIDE = Path(hemalum.__file__).parent / "data" / "CMU-1-Small-Region.svs"
CONFIG = """
[network]
encoder = "tf_efficientnet_lite0"
bottleneck = 32
widths = [32, 24, 16, 16]
fine = 8
transformer_depth = 1
[schedule]
steps = 2
cooldown = 1
batch = 4
crop = 64
[tiles]
tile = 128
region_min = 300
region_max = 1200
regions = 1
clusters = 2
[pseudo]
jitters = 1
pool = 5
keep = 3
threshold = 0.2
bins = 2
weight = 0.5
[sets.nucls_sample]
licence = "CC0"
validation = ["nucls_train_1"]
[unlabelled.slides]
licence = "CC0"
"""


def quiet(*_):
    pass


def discs(*centres, radius=12, side=128):
    labels = np.zeros((side, side), np.int32)
    for i, centre in enumerate(centres, 1):
        cv2.circle(labels, centre, radius, i, -1)
    return labels


def scores_of(labels, sure=0.98, views=None):
    """Scores of maps that are `sure` of these nuclei, in every view or in those given."""
    maps = [np.where(v > 0, sure, 1 - sure) for v in (views or [labels] * 4)]
    return score_tile(maps[0], np.stack(maps), labels, views or [labels] * 4, 6)


def test_the_patents_rule_loves_a_tile_without_nuclei_and_the_other_one_does_not():
    nothing, nuclei = discs(), discs((30, 30), (80, 80), (30, 90))
    empty, full = scores_of(nothing, 0.99), scores_of(nuclei, 0.9)
    assert empty.mean_softmax > full.mean_softmax
    assert empty.of("agreement") == 0 < full.of("agreement") and empty.empty and not full.empty


def test_doubt_about_a_few_nuclei_is_seen_although_the_tile_is_mostly_background():
    labels = discs((60, 60))
    sharp = np.where(labels > 0, 0.98, 0.01)
    doubtful = np.where(labels > 0, 0.6, 0.01)
    assert mean_softmax(sharp) - mean_softmax(doubtful) < 0.02
    assert confidence(sharp, 6) - confidence(doubtful, 6) > 0.2


def test_views_that_show_other_nuclei_lower_the_score():
    labels = discs((30, 30), (80, 80))
    same, merged = (
        scores_of(labels),
        scores_of(labels, views=[labels, labels, discs((30, 30)), discs((90, 84), (30, 100))]),
    )
    assert same.agreement == 1 and merged.agreement < 0.8
    assert merged.of("agreement") < same.of("agreement") and merged.mean_softmax == same.mean_softmax


def tile(agreement=0.9, density=0.2, nuclei=10, softmax=0.95):
    return TileScores(softmax, 1.0, agreement, density, nuclei)


def test_neither_sparse_nor_dense_tiles_take_over():
    rng = np.random.default_rng(1)
    density = rng.uniform(0.02, 0.6, 90)
    scores = [tile(agreement=float(d) + 0.3, density=float(d)) for d in density]      # the denser, the better
    for count in (30, 31):
        kept = density[[not reason for reason in choose(scores, "agreement", 0.1, count, bins=3)]]
        assert len(kept) == count
        low, high = np.quantile(density, [1 / 3, 2 / 3])
        assert min((kept < low).sum(), (kept > high).sum()) >= 10


def test_tiles_without_nuclei_are_few_and_every_discarded_tile_has_a_reason():
    scores = [tile(softmax=0.9)] * 20 + [tile(0, 0, 0, softmax=0.99)] * 30 + [tile(0.1)] * 5
    reasons = choose(scores, "agreement", 0.5, 100, bins=2, empty_share=0.1)
    assert [not r for r in reasons] == [True] * 20 + [True] * 2 + [False] * 33
    assert "no nuclei" in reasons[30] and "not above 0.5" in reasons[-1]
    plain = choose(scores, "mean_softmax", 0.8, 30)
    assert [not r for r in plain[20:50]] == [True] * 30 and "better score" in plain[0]


@given(
    st.lists(st.builds(tile, st.floats(0, 1), st.floats(0, 1), st.integers(0, 3), st.floats(0.5, 1)), max_size=40),
    st.integers(1, 20),
    st.integers(1, 5),
    st.sampled_from(["mean_softmax", "agreement"]),
)
def test_never_more_than_asked_for_and_none_below_the_threshold(scores, keep, bins, rule):
    reasons = choose(scores, rule, 0.7, keep, bins, 0.2)
    kept = [s for s, reason in zip(scores, reasons, strict=True) if not reason]
    assert len(kept) <= keep
    assert all(s.of(rule) > 0.7 for s in kept if not (rule == "agreement" and s.empty))
    if rule == "mean_softmax":
        assert len(kept) == min(keep, sum(s.mean_softmax > 0.7 for s in scores))


def test_a_score_that_only_follows_density_earns_nothing():
    rng = np.random.default_rng(2)
    density, quality = rng.uniform(0, 1, (2, 300))
    aji = 0.5 * quality + 0.5 * density
    assert abs(partial_spearman(density + rng.normal(0, 0.05, 300), aji, density)) < 0.15
    assert partial_spearman(quality, aji, density) > 0.9
    rows = [{"tile": f"set/{i // 10}-0-{i}", "aji": a, "true_density": d, **vars(tile(q, d, softmax=d))}
            for i, (a, d, q) in enumerate(zip(aji, density, quality, strict=True))]
    found = compare(rows + [{**rows[0], "true_density": 0.0}])
    assert found["tiles"] == 300 and found["images"] == 30 and found["tiles_without_nuclei"] == 1
    assert (
        found["rules"]["agreement"]["interval"][0] > 0.8 > 0.2 > abs(found["rules"]["mean_softmax"]["partial_spearman"])
    )
    assert found["agreement_minus_mean_softmax"]["interval"][0] > 0
    with pytest.raises(UsageError, match="held out"):
        compare(rows[:5])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Tiles of a slide, labelled by the bundled model."""
    folder = tmp_path_factory.mktemp("pseudo")
    shutil.copytree(DATA / "nucls_sample", folder / "nucls_sample")
    (folder / "slides").mkdir()
    shutil.copy(SLIDE, folder / "slides")
    (folder / "small.toml").write_text(CONFIG)
    config = load_config(folder / "small.toml")
    make_tiles(config, folder, folder / "out", log=quiet)
    make_pseudo_labels(config, folder / "out", "nuclei", log=quiet)
    return config, folder, folder / "out"


def test_kept_tiles_have_their_image_twice_and_their_nuclei_at_twice_the_size(run):
    _, _, out = run
    kept = load_pseudo(out)
    assert len(kept) == 3
    for item in kept:
        image, normalized, labels = (
            cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in (item.image, item.normalized, item.labels)
        )
        assert (
            image.shape == normalized.shape == (128, 128, 3) and (image[..., ::-1] == tile_pixels(out, item.name)).all()
        )
        assert labels.dtype == np.uint16 and labels.shape == (256, 256) and labels.max() > 0
        dark = cv2.resize(image, (256, 256)).mean(2)
        assert dark[labels > 0].mean() < dark[labels == 0].mean() - 20, "nuclei are darker than what is around them"
    record = json.loads((out / "pseudo" / "teacher.json").read_text())
    assert (
        record["teacher"].startswith("model nuclei")
        and record["normalizer"] == "colour table"
        and record["rule"] == "agreement"
    )


def test_another_rule_or_count_is_chosen_without_labelling_again(run, monkeypatch):
    config, _, out = run
    monkeypatch.setattr(pseudo_labels, "label_tile", lambda *_: pytest.fail("labelled again"))
    before = (out / "pseudo" / "manifest.csv").read_bytes()
    other = dataclasses.replace(
        config, pseudo=dataclasses.replace(config.pseudo, rule="mean_softmax", keep=2, threshold=0.5)
    )
    make_pseudo_labels(other, out, "nuclei", log=quiet)
    assert len(load_pseudo(out)) == 2
    make_pseudo_labels(config, out, "nuclei", log=quiet)
    assert (out / "pseudo" / "manifest.csv").read_bytes() == before


def test_a_run_killed_half_way_gives_the_same_pseudo_labels(run, tmp_path, monkeypatch):
    config, _, out = run
    stopped = tmp_path / "out"
    shutil.copytree(out / "tiles", stopped / "tiles")
    calls = []

    def two(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(*arguments)

    original = pseudo_labels.label_tile
    monkeypatch.setattr(pseudo_labels, "label_tile", two)
    with pytest.raises(KeyboardInterrupt):
        make_pseudo_labels(config, stopped, "nuclei", log=quiet)
    make_pseudo_labels(config, stopped, "nuclei", log=quiet)
    assert len(calls) == 3 + 3, "two of five tiles were done"
    for part in ("manifest.csv", *(f"labels/{item.name}.png" for item in load_pseudo(out))):
        assert (stopped / "pseudo" / part).read_bytes() == (out / "pseudo" / part).read_bytes()


def test_a_student_of_labels_alone_learns_from_them_too(run, tmp_path):
    config, folder, out = run
    said = []
    train_supervised(config, folder, out, log=said.append)
    assert any("10 images, 50%" in line for line in said), (
        "seven labelled training images and three pseudo-labelled tiles"
    )
    with pytest.raises(UsageError, match="pseudo-label"):
        train_supervised(config, folder, tmp_path, log=quiet)


def test_the_views_of_a_tile_are_turned_back(run):
    _, _, out = run
    teacher = load_teacher(out, "nuclei")
    foreground, distance = view_maps(teacher, tile_pixels(out, load_pseudo(out)[0].name), 2, 0.5, 0)
    assert foreground.shape == distance.shape == (6, 256, 256)
    sure = [f > 0.5 for f in foreground]
    assert all((sure[0] & s).sum() > 0.8 * (sure[0] | s).sum() for s in sure[1:4])


def test_rules_are_compared_on_images_kept_apart(run):
    config, folder, out = run
    few = dataclasses.replace(
        config, tiles=dataclasses.replace(config.tiles, tile=32), pseudo=dataclasses.replace(config.pseudo, jitters=0)
    )
    found = compare_rules(few, folder, out, init="nuclei", log=quiet)
    rows = json.loads((out / "rules.json").read_text())["rows"]
    assert {row["tile"].rsplit("-", 2)[0] for row in rows} == {"nucls_sample/nucls_train_1"}
    assert found["tiles"] >= 10 and 0 < found["mean_aji"] < 1


def test_cross_fitted_teachers_label_every_training_image_and_none_that_they_learned_from(run, tmp_path, monkeypatch):
    _, folder, _ = run
    head, tail = CONFIG.split("[schedule]")
    text = head + "[schedule]" + tail.replace("tile = 128", "tile = 32").replace("jitters = 1", "jitters = 0") + """
[method.cycle]
epochs = 1
steps_per_epoch = 1
crop = 64
discriminator_width = 4
"""
    for change in (('"tf_efficientnet_lite0"', '"test_resnet"'), ("clusters = 2", "clusters = 4")):
        text = text.replace(*change)
    (tmp_path / "folds.toml").write_text(text)
    config, learned = load_config(tmp_path / "folds.toml"), []
    make_tiles(
        dataclasses.replace(config, tiles=dataclasses.replace(config.tiles, tile=128)), folder, tmp_path, log=quiet
    )
    original = cross_fit.CycleRun

    def recorded(network, config, pools, *arguments, **options):
        learned.append(set(pools.names()))
        return original(network, config, pools, *arguments, **options)

    monkeypatch.setattr(cross_fit, "CycleRun", recorded)
    compare_rules(config, folder, tmp_path, log=quiet, folds=2)
    rows = json.loads((tmp_path / "rules.json").read_text())["rows"]
    labelled = [row["tile"].rsplit("-", 2)[0] for row in rows]
    every = {image.name for image in load_labelled(config, folder)}
    assert set(labelled) == every == learned[0] | learned[1]
    first = [name for name in dict.fromkeys(labelled) if name not in learned[0]]
    assert (
        list(dict.fromkeys(labelled))[: len(first)] == first
        and not set(first) & learned[0]
        and set(first) <= learned[1]
    )


def test_a_patient_lies_in_one_fold():
    def image(patient, number):
        nothing = np.zeros((2, 2))
        return LabelledImage(f"set/{patient}{number}", nothing, nothing, nothing, group=patient)

    x, y = [image(p, n) for p in "abcde" for n in range(3)], [image(p, n) for p in "aefgh" for n in range(3, 5)]
    parts = cross_fit.parts_of(x, y, 3)
    owners = [{i.group for i in part} for part in parts]
    assert sum(map(len, owners)) == 8 == len(set().union(*owners)) and sum(map(len, parts)) == 25
    assert all(part & set("aefgh") for part in owners)
    with pytest.raises(UsageError, match="6 folds need"):
        cross_fit.parts_of(x, y, 6)


def test_pixels_that_the_teacher_is_unsure_of_are_left_out_where_the_configuration_says_so(run):
    config, _, out = run
    tile = load_pseudo(out)[0]
    foreground = cv2.imread(str(tile.foreground), cv2.IMREAD_UNCHANGED)
    assert foreground.dtype == np.uint8 and foreground.shape == (256, 256)
    every, some = (StoredTile.of(tile, Pseudo(sure=least)).own() for least in (0.0, 0.5))
    assert every.known is None
    assert (some.known == (abs(2.0 * foreground - 255) >= 127.5)).all()
    labels = cv2.imread(str(tile.labels), cv2.IMREAD_UNCHANGED)
    inside = cv2.erode((labels > 0).astype(np.uint8), np.ones((5, 5))) > 0
    nuclei = (labels > 0).astype(np.uint8)
    border = cv2.morphologyEx(nuclei, cv2.MORPH_GRADIENT, np.ones((3, 3))) > 0
    assert (~some.known)[border].mean() > 2 * (~some.known)[inside].mean(), "it is the borders that are unsure"


def test_soft_labels_are_what_the_teacher_saw_and_hard_ones_the_nuclei_it_comes_to(run):
    config, _, out = run
    tile = load_pseudo(out)[0]
    hard, soft = (StoredTile.of(tile, Pseudo(soft=s)).own() for s in (False, True))
    assert (soft.labels == hard.labels).all() and soft.foreground.shape == soft.labels.shape
    (_, told), (_, seen) = (sample_crop(image, 128, np.random.default_rng(3)) for image in (hard, soft))
    assert set(np.unique(told[0])) <= {0, 1} and ((seen[0] > 0.05) & (seen[0] < 0.95)).any()
    assert seen.min() >= 0 and seen.max() <= 1
    inside = told[0] > 0
    assert seen[0][inside].mean() > seen[0][~inside].mean() + 0.1 and seen[1][inside].mean() > seen[1][~inside].mean()


@pytest.mark.parametrize("init, words", [(None, "--init"), ("nothing-of-this-name", "nothing-of-this-name")])
def test_without_a_teacher_it_says_so(run, tmp_path, init, words):
    config, _, out = run
    shutil.copytree(out / "tiles", tmp_path / "tiles")
    with pytest.raises(hemalum.errors.HemalumError, match=words):
        make_pseudo_labels(config, tmp_path, init, log=quiet)


def test_a_threshold_that_nothing_reaches_is_named(run):
    config, _, out = run
    with pytest.raises(UsageError, match="lower it"):
        make_pseudo_labels(
            dataclasses.replace(config, pseudo=dataclasses.replace(config.pseudo, threshold=0.999)),
            out,
            "nuclei",
            log=quiet,
        )


def test_before_any_tiles_the_command_to_run_is_named(run, tmp_path):
    with pytest.raises(UsageError, match="hemalum train tiles"):
        load_tiles(tmp_path)
