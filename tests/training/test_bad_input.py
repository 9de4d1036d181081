"""What a training is given wrongly is said in a sentence, before or in mid-work, and what was finished stays."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from hemalum.errors import DiskFull, UsageError
from hemalum.lock import Busy, JobLock
from hemalum.models import find
from hemalum_training.cli import train
from hemalum_training.config.config import load_config
from hemalum_training.data.labelled import load_labelled
from hemalum_training.loops import checkpoint
from hemalum_training.loops.supervised import train_supervised
from hemalum_training.networks import Generator
from hemalum_training.package.card import card_of, licence_of
from hemalum_training.package.make import make_package, report_scores

from .conftest import NARROW

DATA = Path(__file__).parent.parent / "data"
SET = "nucls_sample"
STEMS = [f"nucls_train_{i}" for i in (1, 2, 3, 4, 5, 6, 7, 10)]
CONFIG = f"""
[network]
encoder = "{NARROW["encoder"]}"
transformer_depth = 0
bottleneck = 16
widths = [16, 12, 8, 8]
fine = 8
[schedule]
steps = 2
warmup = 1
cooldown = 1
batch = 2
crop = 64
learning_rate = 1e-4
[sets.{SET}]
licence = "CC0"
"""


def quiet(*_):
    pass


@pytest.fixture
def data(tmp_path):
    shutil.copytree(DATA / SET, tmp_path / "data" / SET)
    return tmp_path / "data"


@pytest.fixture
def config(tmp_path):
    """`config(validation, change…)`: a configuration that keeps these stems.

    Each change is a text and what replaces it.
    """
    def make(validation=("nucls_train_3",), *changes, extra: str = ""):
        text = CONFIG + f"validation = {list(validation)}\n".replace("'", '"') + extra
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "own.toml").write_text(text)
        return load_config(tmp_path / "own.toml")

    return make


def test_no_image_left_to_learn_from(config, data, tmp_path):
    with pytest.raises(UsageError, match="no labelled image is left to learn from"):
        train_supervised(config(STEMS), data, tmp_path / "run", log=quiet)


@pytest.mark.parametrize(
    "part, spoil, words",
    [
        (
            "labels",
            lambda path: Image.open(path).crop((0, 0, 90, 80)).save(path),
            r"label \(90, 80\) and image \(288, 260\) differ in size",
        ),
        ("labels", lambda path: Image.fromarray(np.zeros((260, 288, 3), np.uint8)).save(path), "has 3 channels"),
        ("labels", lambda path: path.unlink(), "named in the manifest but missing"),
        ("images", lambda path: path.write_bytes(path.read_bytes()[:5000]), "cannot be read"),
        ("images", lambda path: path.write_text("no picture"), "cannot be read"),
    ],
    ids=["other size", "colours", "missing", "cut off", "text"],
)
def test_an_image_that_cannot_be_used_is_named(config, data, part, spoil, words):
    spoil(data / SET / part / "nucls_train_2.png")
    with pytest.raises(UsageError, match=words) as raised:
        load_labelled(config(), data)
    assert "nucls_train_2" in str(raised.value)


@pytest.mark.parametrize(
    "columns, words", [(["name", "patient"], "no column stem"), (["stem", "person"], "no column patient")]
)
def test_a_manifest_without_the_column_is_named(config, data, columns, words):
    with open(data / SET / "manifest.csv", "w", newline="") as file:
        csv.writer(file).writerows([columns, *([stem, "anna"] for stem in STEMS)])
    with pytest.raises(UsageError, match=words):
        load_labelled(config(["anna"], ('licence = "CC0"', 'licence = "CC0"\npatient_column = "patient"')), data)


def test_a_folder_of_images_and_labels_needs_no_manifest(config, data):
    (data / SET / "manifest.csv").unlink()
    assert [image.name for image in load_labelled(config(), data)] == [
        f"{SET}/{stem}" for stem in sorted(STEMS) if stem != "nucls_train_3"
    ]


def test_a_picture_learned_from_and_kept_apart_is_refused_under_whatever_name(config, data, tmp_path):
    for part in ("images", "labels"):
        shutil.copy(data / SET / part / "nucls_train_3.png", data / SET / part / "nucls_train_2.png")
    with pytest.raises(
        UsageError, match="nucls_train_2 is the same image as .*nucls_train_3, which is kept for validation"
    ):
        train_supervised(config(), data, tmp_path / "run", log=quiet)


def test_a_scored_picture_among_those_learned_from_is_refused(config, data, tmp_path):
    (data / "elsewhere").symlink_to(data / SET, target_is_directory=True)
    scored = config(extra='[zero_shot.elsewhere]\nlicence = "CC BY-NC 4.0"\nvalidation = ["nucls_train_6"]\n')
    with pytest.raises(UsageError, match=f"{SET}/nucls_train_6 is the same image as elsewhere/nucls_train_6"):
        train_supervised(scored, data, tmp_path / "run", log=quiet)


def test_a_checkpoint_of_another_configuration_is_refused_by_its_key(config, data, tmp_path):
    train_supervised(config(), data, tmp_path / "run", log=quiet)
    for change, words in (
        (("fine = 8", "fine = 12"), "network.fine = 8, the configuration says 12"),
        (("batch = 2", "batch = 3"), "schedule.batch = 2, the configuration says 3"),
        (
            ('licence = "CC0"', 'licence = "CC0"\nweight = 2.0'),
            "sets.nucls_sample.weight = 1.0, the configuration says 2.0",
        ),
    ):
        with pytest.raises(UsageError, match=words):
            train_supervised(config(("nucls_train_3",), change), data, tmp_path / "run", log=quiet)
    train_supervised(
        config(("nucls_train_3",), ("learning_rate = 1e-4", "learning_rate = 1e-5"), ("steps = 2", "steps = 3")),
        data,
        tmp_path / "run",
        log=quiet,
    )


def test_a_damaged_checkpoint_is_named(config, data, tmp_path):
    train_supervised(config(), data, tmp_path / "run", log=quiet)
    path = tmp_path / "run" / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UsageError, match="checkpoint.pt is damaged"):
        train_supervised(config(), data, tmp_path / "run", log=quiet)
    with pytest.raises(UsageError, match="holds no weights"):
        checkpoint.initial_weights(tmp_path / "own.toml")


def test_a_training_from_labels_that_cannot_beat_its_starting_model_says_so_and_keeps_it(config, data, tmp_path):
    from hemalum_training.scoring.predict import better, score_images

    wanted, said = config(), []
    images = load_labelled(wanted, data, "validation")
    states = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        states.append(Generator(wanted.network, imagenet=False).state_dict())
    finds_nothing = torch.full_like(states[0]["segmentation.head.bias"], -9.0)
    states[0]["segmentation.head.bias"] = finds_nothing
    network = Generator(wanted.network, imagenet=False)
    network.load_state_dict(states[1])
    assert score_images(network, images)[0].aji >= 0
    assert better(network, states[0], states[0], images, "cpu", said.append) is states[0]
    assert "did not beat the starting model" in said[0]
    torch.save({"network": states[0]}, tmp_path / "start.pt")
    still = config(("nucls_train_3",), ("1e-4", "0.0"))
    path = train_supervised(still, data, tmp_path / "run", init=tmp_path / "start.pt", log=said.append)
    kept = torch.load(path, weights_only=True)["network"]
    assert "is kept" in said[-1] and all(torch.equal(kept[key], value) for key, value in states[0].items())


def test_without_validation_images_a_model_is_packed_and_it_is_said_that_nothing_was_scored(config, data, tmp_path):
    said, wanted = [], config([], ('licence = "CC0"', 'licence = "CC BY 4.0"'))
    train_supervised(wanted, data, tmp_path / "run", log=quiet)
    make_package(wanted, data, tmp_path / "run", log=said.append)
    report_scores(wanted, data, tmp_path / "run", log=said.append)
    assert "thresholds are the usual ones" in said[0] and "there are no scores" in said[-1]
    assert (tmp_path / "run" / "package" / "card.json").is_file(), "also without a set under CC0"


def test_a_card_does_not_promise_what_the_images_or_the_first_weights_do_not_allow(config, tmp_path):
    open_images = ["CC0", "Apache-2.0"]
    assert licence_of(open_images)["commercial"] and not licence_of([*open_images, "CC BY-NC-SA 4.0"])["commercial"]
    assert licence_of([*open_images, "research only"])["weights"] == "not stated"
    assert "research only" in licence_of(["research only"])["why"]
    restricted = licence_of(["CC BY-NC 4.0"])
    assert licence_of(open_images, restricted)["weights"] == restricted["weights"]
    folder, run = tmp_path / "first", tmp_path / "run"
    shutil.copytree(find("nuclei").folder, folder)
    card = json.loads((folder / "card.json").read_text()) | {"id": "first", "licence": restricted}
    (folder / "card.json").write_text(json.dumps(card))
    run.mkdir()
    checkpoint.note_initial(folder, run)
    second = card_of(config(), {SET: 7}, [], json.loads((run / checkpoint.INITIAL).read_text()))
    assert not second["licence"]["commercial"]
    assert second["data"][0] == {"name": f"model first {card['version']}", "use": "initial weights"}


def test_a_training_goes_on_only_from_the_weights_it_began_from(tmp_path):
    first, second = tmp_path / "first.pt", tmp_path / "second.pt"
    for number, path in enumerate((first, second)):
        checkpoint.save(path, {"network": {"w": torch.full((2,), float(number))}})
    checkpoint.note_initial(first, tmp_path)
    checkpoint.save(tmp_path / "checkpoint.pt", {"config": {}})
    checkpoint.note_initial(first, tmp_path)
    for other, words in ((second, "not from second.pt"), (None, "not from none")):
        with pytest.raises(UsageError, match=f"began from first.pt .*{words}"):
            checkpoint.note_initial(other, tmp_path)


@pytest.mark.parametrize(
    "table, key, value",
    [
        ("", "seed", "-1"),
        ("schedule", "learning_rate", "-1.0"),
        ("schedule", "clip", "0.0"),
        ("method.cycle", "beta1", "1.5"),
        ("method.cycle", "lambda_cycle", "-1.0"),
        ("method.cycle", "learning_rate", "2.0"),
        ("pseudo", "jitter", "-0.1"),
        ("pseudo", "empty_share", "2.0"),
    ],
)
def test_a_number_that_makes_no_sense_is_refused_by_its_name(tmp_path, table, key, value):
    path = tmp_path / "own.toml"
    path.write_text((f"[{table}]\n" if table else "") + f"{key} = {value}\n[sets.own]\nlicence = 'CC0'\n")
    with pytest.raises(UsageError, match=key):
        load_config(path)


def test_a_second_training_in_one_folder_is_refused(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text("[sets.own]\nlicence = 'CC0'\n")
    (tmp_path / "run").mkdir()
    with JobLock(tmp_path / "run"):
        found = CliRunner().invoke(train, ["student", str(path), "--data", str(tmp_path), "-o", str(tmp_path / "run")])
    assert isinstance(found.exception, Busy) and "is being worked on by process" in str(found.exception)


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path):
    resource = pytest.importorskip("resource")
    path = tmp_path / "checkpoint.pt"
    checkpoint.save(path, {"config": {}, "step": 1})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        for size in (100_000, 1_000_000):       # torch meets the end in the middle of a file, or when it closes it
            resource.setrlimit(resource.RLIMIT_FSIZE, (size * 4 - 1000, before[1]))
            with pytest.raises(DiskFull, match="no space left for .*checkpoint.pt; free some and run again"):
                checkpoint.save(path, {"config": {}, "step": 2, "weights": torch.zeros(size)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert checkpoint.load(path, {})["step"] == 1 and [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]
