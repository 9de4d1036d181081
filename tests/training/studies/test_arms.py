"""The comparison of arms: what each is trained with, that they are comparable, and what is said of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hemalum_training.studies import arms

pytest.importorskip("torch", reason="the extra `training` is not installed")

from hemalum.errors import UsageError
from hemalum_training.config.config import load_config
from hemalum_training.data.labelled import load_labelled
from hemalum_training.studies.arms import arm_of, few, run_experiment
from hemalum_training.studies.comparison import comparisons, difference

ROOT = Path(__file__).parents[3]
DATA = ROOT / "tests" / "data"
CONFIGS = ROOT / "training" / "configs"
ARMS = ["teacher", "student+agreement", "student+mean_softmax", "student+agreement without cycle"]


@pytest.fixture
def config(tmp_path):
    """The smoke configuration as an experiment of a few steps, two of its images scored only."""
    (tmp_path / "data").mkdir()
    for name in ("nucls_sample", "scored"):
        (tmp_path / "data" / name).symlink_to(DATA / "nucls_sample", target_is_directory=True)
    text = (
        (CONFIGS / "smoke.toml")
        .read_text()
        .replace('folder = "../../server/hemalum/data"', f'folder = "{ROOT}/server/hemalum/data"')
    )
    for old, new in (
        ("epochs = 2", "epochs = 1"),
        ("steps_per_epoch = 30", "steps_per_epoch = 12"),
        ("crop = 96", "crop = 64"),
        ("learning_rate = 2e-3", "learning_rate = 5e-3"),
        ("keep = 8", "keep = 2\npool = 5"),
        ("jitters = 1", "jitters = 0"),
        ('licence = "CC0"\nvalidation', 'licence = "CC0"\nexclude = ["nucls_train_1", "nucls_train_2"]\nvalidation'),
    ):
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "tiny.toml"
    path.write_text(text + f"""
[method.experiment]
arms = {json.dumps(ARMS)}
seeds = [1]
labelled = 1
[method.experiment.without.cycle]
cycle = {{ lambda_gan = 0.0, lambda_cycle = 0.0, lambda_identity = 0.0 }}
[zero_shot.scored]
licence = "CC0"
validation = ["nucls_train_1", "nucls_train_2"]
""")
    return load_config(path)


def test_every_arm_is_trained_and_compared_on_images_that_none_saw(config, tmp_path):
    said = []
    run_experiment(config, tmp_path / "data", tmp_path / "out", log=said.append)
    text, record = (tmp_path / "out" / "tiny.md").read_text(), json.loads((tmp_path / "out" / "tiny.json").read_text())
    assert list(record["means"]) == ARMS and "2 images of scored" in text and "12 steps an arm" in text
    assert "student+agreement − student+agreement without cycle: AJI" in record["differences"]
    rows = {
        path.parent.name: json.loads(path.read_text()) for path in (tmp_path / "out" / "seed-1").glob("*/scores.json")
    }
    assert {name: row["pseudo_tiles"] for name, row in rows.items()} == {
        arm.replace(" ", "-"): 2 if "+" in arm else 0 for arm in ARMS
    }
    before = (tmp_path / "out" / "tiny.md").read_text()
    again = []
    run_experiment(config, tmp_path / "data", tmp_path / "out", log=again.append)
    assert not [line for line in again if line.startswith("seed ")], "nothing is trained again"
    assert (tmp_path / "out" / "tiny.md").read_text() == before
    other = replace(config, method=replace(config.method, cycle=replace(config.method.cycle, ema=0.5)))
    with pytest.raises(UsageError, match=r"cycle.ema = .*, the configuration says 0.5"):
        run_experiment(other, tmp_path / "data", tmp_path / "out", log=again.append)


def test_arms_that_would_learn_from_unequal_numbers_of_tiles_are_refused_before_they_are_trained(
    config, tmp_path, monkeypatch
):
    trained = []
    monkeypatch.setattr(arms, "_labelled", lambda arm, *_: {"agreement": 3, "mean_softmax": 2}[arm.rule])
    original = arms._train
    monkeypatch.setattr(arms, "_train", lambda arm, *rest: trained.append(arm.name) or original(arm, *rest))
    with pytest.raises(UsageError, match=r"student\+agreement: 3, student\+mean_softmax: 2"):
        run_experiment(config, tmp_path / "data", tmp_path / "out", log=lambda *_: None)
    assert trained == ["teacher"]


def test_steps_that_depend_on_the_arm_are_refused(config, tmp_path):
    cycle = replace(config.method.cycle, steps_per_epoch=0)
    with pytest.raises(UsageError, match="steps_per_epoch"):
        run_experiment(replace(config, method=replace(config.method, cycle=cycle)), tmp_path / "data", tmp_path / "out")


@pytest.mark.parametrize("name", ["pupil", "student+best", "teacher+agreement", "student without sleep"])
def test_an_unknown_arm_is_named(config, name):
    with pytest.raises(UsageError, match=name.split()[-1].replace("+", r"\+")):
        arm_of(name, config)


def test_an_arm_without_something_differs_in_that_alone(config):
    arm = arm_of("student+agreement without cycle", config)
    assert arm.rule == arm.config.pseudo.rule == "agreement" and arm.config.method.cycle.lambda_gan == 0
    assert (
        replace(arm.config.method.cycle, lambda_gan=1.0, lambda_cycle=10.0, lambda_identity=5.0) == config.method.cycle
    )


def test_every_arm_of_the_repositorys_experiments_exists():
    for name in ("experiment", "ablation"):
        config = load_config(CONFIGS / f"{name}.toml")
        assert [arm_of(arm, config).name for arm in config.method.experiment.arms] == config.method.experiment.arms


def test_arms_are_compared_image_by_image_and_seed_by_seed():
    assert ("student+agreement", "student+mean_softmax") in comparisons(
        ["teacher", "student", "student+agreement", "student+mean_softmax"]
    )
    first, second = {1: {"AJI": [0.5, 0.7]}, 2: {"AJI": [0.3, 0.7]}}, {1: {"AJI": [0.4, 0.7]}, 2: {"AJI": [0.4, 0.6]}}
    by_image, by_seed = difference(first, second, "AJI")
    assert by_image == pytest.approx([0.0, 0.05]) and by_seed == pytest.approx([0.05, 0.0])


def test_few_labelled_images_are_the_same_ones_in_any_order():
    images = load_labelled(load_config(CONFIGS / "smoke.toml"), DATA)
    assert [i.name for i in few(images, 3)] == [i.name for i in few(images[::-1], 3)]
    assert len(few(images, 0)) == len(images)
    assert [i.name for i in few([replace(i, weight=9.0) for i in images], 3)] == [i.name for i in few(images, 3)]
