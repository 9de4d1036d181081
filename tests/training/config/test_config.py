"""Configurations: what is wrong with one is said in a sentence, before any work."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the extra `training` is not installed")

from hemalum.errors import UsageError
from hemalum_training.config.config import load_config

CONFIGS = sorted((Path(__file__).parents[3] / "training" / "configs").glob("*.toml"))
GOOD = {
    "": "seed = 1",
    "network": 'encoder = "test_resnet"',
    "schedule": "steps = 10\ncooldown = 2",
    "sets.some": 'licence = "CC0"',
}


def read(folder: Path, table: str, line: str):
    text = ""
    for name, body in {**GOOD, table: f"{GOOD.get(table, '')}\n{line}"}.items():
        text += f"[{name}]\n{body}\n" if name else f"{body}\n"
    (folder / "wrong.toml").write_text(text)
    return load_config(folder / "wrong.toml")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_configuration_of_the_repository_is_read(path):
    assert load_config(path).name == path.stem


@pytest.mark.parametrize("table, line, words", [
    ("schedule", 'batch = "4"', "batch = '4': it must be a whole number"),
    ("schedule", "batch = 0", "must be at least 1"),
    ("schedule", "crop = 50", "multiple of 32"),
    ("schedule", "learning_rate = true", "learning_rate = True: it must be a number"),
    ("sets.some", 'validation = "05"', "each a text in quotation marks"),
    ("sets.some", "weight = 0", "must be above 0"),
    ("sets.some", "pixels = 3", "unknown key “pixels”"),
    ("sets.other", "weight = 1.0", "no licence, which it needs"),
    ("sets.other", 'licence = "CC BY-NC 4.0"', "not among the configuration's licences"),
    ("zero_shot.some", 'licence = "CC0"', "stands in .sets. and in .zero_shot."),
    ("network", "widths = [8, 8]", "four widths"),
    ("network", "bottleneck = 33", "multiple of transformer_heads"),
    ("network", "segmentation_channels = 3", "segmentation_channels is 1"),
    ("network", "fold = 3", "fold is 1, or 2"),
    ("tiles", "clusters = 0", "must be at least 1"),
    ("pseudo", 'rule = "best"', "mean_softmax"),
    ("method.cycle", "crop = 100", "multiples of 32"),
    ("method.cycle", 'discriminator_normalization = "batch"', "instance, spectral, none"),
    ("method.cycles", "crop = 96", "unknown table .method.cycles."),
    ("normalizer.function", 'teacher = "nobody"', "generator"),
    ("", "colour = 1", "unknown key “colour”"),
    ("", "version = 2", "version = 2: it must be a text"),
])
def test_a_mistake_is_named_with_its_table(tmp_path, table, line, words):
    with pytest.raises(UsageError, match=words):
        read(tmp_path, table, line)


@pytest.mark.parametrize("text, words", [
    ("seed = 1", "names no labelled set"),
    ("sets = 3", r"write tables \[sets.NAME\]"),
    ("[sets]\nsome = 1", "must be a table"),
    ("seed = ", "not valid TOML"),
])
def test_a_file_that_is_no_configuration(tmp_path, text, words):
    (tmp_path / "wrong.toml").write_text(text)
    with pytest.raises(UsageError, match=words):
        load_config(tmp_path / "wrong.toml")


@pytest.mark.parametrize(
    "encoder, words",
    [
        ("resnet49", "knows no encoder"),
        ("vit_base_patch16_224", "strides 2, 4, 8, 16 and 32"),
        ("mobilenetv3_small_050", "a statistic over the tile"),
    ],
)
def test_an_encoder_that_cannot_be_used_is_named(narrow, encoder, words):
    from hemalum_training.networks import Generator

    with pytest.raises(UsageError, match=words):
        Generator(narrow(encoder=encoder), imagenet=False)
