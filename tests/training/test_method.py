"""The whole method as a user runs it.

`hemalum train all` on CC0 images, then `hemalum segment` with the model that it made.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from hemalum.engine.base import fitted
from hemalum.engine.generator import translated
from hemalum.models import Card, Model
from hemalum_training.config.config import load_config
from hemalum_training.data.labelled import load_labelled
from hemalum_training.networks import Generator
from hemalum_training.networks.deployed import load_generator
from hemalum_training.scoring.predict import score_images

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"
CONFIG = ROOT / "training" / "configs" / "smoke.toml"


def hemalum(*arguments) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "hemalum", *map(str, arguments)], capture_output=True, text=True)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that is killed in the student's training and goes on."""
    out = tmp_path_factory.mktemp("smoke")
    command = [sys.executable, "-u", "-m", "hemalum", "train", "all", str(CONFIG)]
    command += ["--data", str(DATA), "-o", str(out), "--threads", "1"]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    for line in first.stdout:
        if line.startswith("[4/6]"):
            first.kill()
    first.wait()
    second = subprocess.run(command, capture_output=True, text=True)
    assert second.returncode == 0, second.stderr
    return out, second.stdout


def test_what_was_done_before_the_kill_is_not_done_again(run):
    said = run[1]
    for stage in ("[1/6] tiles", "[2/6] teacher", "[3/6] pseudo-label"):
        assert f"{stage}: done already" in said
    assert "[4/6] student\n" in said and "kept: epoch" in said


def test_the_model_beats_an_untrained_one_on_tiles_kept_apart(run):
    config = load_config(CONFIG)
    images = load_labelled(config, DATA, "validation")
    torch.manual_seed(config.seed)
    untrained = np.mean([s.aji for s in score_images(Generator(config.network), images)])
    card = json.loads((run[0] / "package" / "card.json").read_text())
    assert card["scores"]["images"]["nucls_sample"]["aji"] > untrained + 0.2
    assert not {i.name for i in images} & {i.name for i in load_labelled(config, DATA)}


def test_the_server_segments_with_it(run, tmp_path):
    models = tmp_path / "models"
    models.mkdir()
    (models / "smoke").symlink_to(run[0] / "package", target_is_directory=True)
    image = DATA / "nucls_sample" / "images" / "nucls_train_3.png"
    done = hemalum("segment", image, "--mpp", "0.25", "--models", models, "--model", "smoke", "-o", tmp_path / "found")
    assert done.returncode == 0, done.stderr
    assert len(json.loads((tmp_path / "found" / "nucls_train_3.geojson").read_text())["features"]) > 5


def test_the_patents_table_names_its_definitions_and_the_published_values(run):
    table = (run[0] / "table.md").read_text()
    for part in (
        "| teacher |",
        "| student with pseudo labels |",
        "published: AttCycle",
        "0.6915",
        "Kumar et al. 2017",
        "against its own input",
        "| the input itself | – |",
    ):
        assert part in table


def test_the_package_translates_a_tile_as_the_generator_does(run):
    """S4's picture, of a tile of any size."""
    package = Model(Card.read(run[0] / "package"), run[0] / "package")
    tile = load_labelled(load_config(CONFIG), DATA, "validation")[0].pixels[:96, :117]
    image = torch.from_numpy(fitted(tile[None], 32)).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.no_grad():
        expected = (
            load_generator(run[0] / "weights.pt")(image, normalized=True)["normalized"][0].permute(1, 2, 0).numpy()
        )
    assert np.abs(translated(package, tile) - (expected[:96, :117] + 1) * 127.5).max() <= 1
