"""The teacher's maps of labelled images: made by one command, learned from, made again for what has changed."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from hemalum.errors import UsageError
from hemalum_training.cli import train
from hemalum_training.config.config import load_config
from hemalum_training.data.labelled import load_labelled
from hemalum_training.data.soft_store import soft_images
from hemalum_training.loops.supervised import train_supervised
from hemalum_training.networks import Generator
from hemalum_training.stages import stages_of

SET = "nucls_sample"
CONFIG = f"""
[network]
encoder = "test_resnet"
transformer_depth = 0
bottleneck = 16
widths = [16, 12, 8, 8]
fine = 8
[schedule]
steps = 1
warmup = 1
cooldown = 0
batch = 2
crop = 64
[soft]
share = 0.25
views = 2
[sets.{SET}]
licence = "CC0"
exclude = ["nucls_train_1", "nucls_train_4", "nucls_train_5", "nucls_train_6", "nucls_train_7", "nucls_train_10"]
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "soft.toml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def data(tmp_path):
    shutil.copytree(Path(__file__).parents[2] / "data" / SET, tmp_path / "data" / SET)
    return tmp_path / "data"


@pytest.fixture
def teacher(tmp_path, narrow):
    """A `weights.pt` of two channels."""
    network = narrow(normalization=False, transformer_depth=0)
    state = {"config": {"network": network.as_dict()}, "network": Generator(network, imagenet=False).state_dict()}
    torch.save(state, tmp_path / "teacher.pt")
    return tmp_path / "teacher.pt"


@pytest.fixture
def pseudo_label(config, data, teacher, tmp_path):
    def command():
        options = ["--data", str(data), "-o", str(tmp_path / "out"), "--init", str(teacher)]
        done = CliRunner().invoke(train, ["pseudo-label", str(config), *options])
        assert done.exit_code == 0, done.exception
        return tmp_path / "out"

    return command


def test_with_soft_alone_no_tiles_are_wanted(pseudo_label, config, data, tmp_path):
    out = pseudo_label()
    assert len(list((out / "soft").glob("*.npy"))) == 2 and not (out / "pseudo").exists()
    stages = stages_of(load_config(config), data, tmp_path, device="cpu", init=None)
    assert list(stages) == ["pseudo-label", "student", "export", "evaluate"]


def test_only_what_has_changed_is_labelled_again(pseudo_label, data):
    before = {path.name: path.stat().st_mtime_ns for path in (pseudo_label() / "soft").glob("*.npy")}
    path = data / SET / "images" / "nucls_train_2.png"
    pixels = np.array(Image.open(path))
    pixels[0, 0] = 255 - pixels[0, 0]
    Image.fromarray(pixels).save(path)
    after = {path.name: path.stat().st_mtime_ns for path in (pseudo_label() / "soft").glob("*.npy")}
    assert before.items() < after.items() and len(after) == 3


def test_a_student_learns_from_them_and_says_so_where_they_are_missing_or_damaged(pseudo_label, config, data, tmp_path):
    loaded = load_config(config)
    with pytest.raises(UsageError, match="run `hemalum train pseudo-label` first"):
        train_supervised(loaded, data, tmp_path / "out", log=lambda *_: None)
    out = pseudo_label()
    images = load_labelled(loaded, data)
    soft = soft_images(images, out, 0.25)
    own = soft[0].own()
    assert own.foreground.shape == own.labels.shape and 0 <= own.foreground.min() <= own.foreground.max() <= 1
    assert sum(image.weight for image in soft) == pytest.approx(0.25 * sum(i.weight for i in [*soft, *images]))
    train_supervised(loaded, data, out, log=lambda *_: None)
    soft[0].maps.write_bytes(soft[0].maps.read_bytes()[:100])
    with pytest.raises(UsageError, match="missing or damaged"):
        soft[0].own()
