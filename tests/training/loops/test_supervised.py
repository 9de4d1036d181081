"""Training with labels alone, from images on disk to a package that the engine loads."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hemalum_training.package.make import make_package, package_model
from hemalum_training.scoring import packages

pytest.importorskip("torch", reason="the extra `training` is not installed")

import torch

from hemalum.engine import open_engine
from hemalum.errors import RunLost, UsageError
from hemalum.models import find
from hemalum_training.config.config import load_config
from hemalum_training.data.labelled import distance_map, load_labelled
from hemalum_training.loops import supervised
from hemalum_training.networks import Generator
from hemalum_training.scoring.predict import at_mpp_of, fitted_scores, predict

DATA = Path(__file__).parents[2] / "data"
CONFIG = """
seed = 3
[network]
encoder = "tf_efficientnet_lite0"
bottleneck = 32
widths = [32, 24, 16, 16]
fine = 8
transformer_depth = 1
[schedule]
steps = {steps}
warmup = 5
cooldown = 10
batch = 2
crop = 96
ema = 0.9
[sets.nucls_sample]
licence = "CC0"
validation = ["nucls_train_1"]
"""


def configuration(folder: Path, steps: int, extra: str = ""):
    path = folder / "smoke.toml"
    path.write_text(CONFIG.format(steps=steps) + extra)
    return load_config(path)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A short training, stopped half way and gone on with."""
    folder = tmp_path_factory.mktemp("run")
    supervised.train_supervised(configuration(folder, 20), DATA, folder, log=lambda *_: None)
    config = configuration(folder, 60)
    supervised.train_supervised(config, DATA, folder, log=lambda *_: None)
    return config, folder


def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path, monkeypatch):
    stop, whole = tmp_path / "stop", tmp_path / "whole"
    config = configuration(tmp_path, 12)
    supervised.train_supervised(config, DATA, whole, log=lambda *_: None)

    class KilledError(Exception):
        pass

    drawn = []

    def six_batches(*arguments, **options):
        drawn.append(1)
        if len(drawn) > 6:
            raise KilledError
        return original(*arguments, **options)

    original = supervised.sample_batch
    monkeypatch.setattr(supervised, "sample_batch", six_batches)
    with pytest.raises(KilledError):
        supervised.train_supervised(config, DATA, stop, save_seconds=0, log=lambda *_: None)
    monkeypatch.undo()
    supervised.train_supervised(config, DATA, stop, log=lambda *_: None)
    a, b = (torch.load(f / "weights.pt", weights_only=True)["network"] for f in (stop, whole))
    assert all(torch.allclose(a[k].float(), b[k].float(), atol=1e-4) for k in a)


def contrast(foreground: np.ndarray, nuclei: np.ndarray) -> float:
    """How much higher the foreground's probability is inside nuclei than outside."""
    return float(foreground[nuclei].mean() - foreground[~nuclei].mean())


def test_a_trained_model_beats_an_untrained_one_and_loads_in_the_engine(run):
    config, folder = run
    make_package(config, DATA, folder, log=lambda *_: None)
    model = package_model(folder)
    images = load_labelled(config, DATA, "validation")
    scored = packages.maps_of(model, images, precision="fp32")
    trained = packages.score_maps(scored, packages.instance_parameters(model.card.thresholds))
    torch.manual_seed(config.seed)
    untrained = Generator(config.network).eval()
    _, untrained_scores = fitted_scores(untrained, images)      # with the threshold that suits it best
    assert trained[0].aji > untrained_scores[0].aji + 0.2
    nuclei = images[0].labels > 0
    before = predict(untrained, at_mpp_of(untrained, images[0].pixels)).foreground[: nuclei.shape[0], : nuclei.shape[1]]
    after = scored[0].maps[0].astype(np.float32)
    assert contrast(after, nuclei) > contrast(before, nuclei) + 0.1, "nuclei stand out more than before"
    engine = open_engine(model, precision="int8")
    assert engine.maps(np.zeros((1, 384, 384, 3), np.uint8)).shape == (1, 2, 768, 768)


def test_a_checkpoint_of_another_network_is_refused_by_name(run):
    config, folder = run
    with pytest.raises(UsageError, match="network"):
        supervised.train_supervised(replace(config, network=replace(config.network, fine=16)), DATA, folder)


def test_a_loss_that_is_not_a_number_stops_with_its_step(tmp_path, monkeypatch):
    monkeypatch.setattr(supervised, "segmentation_loss", lambda logits, _: logits.sum() * float("nan"))
    with pytest.raises(RunLost, match="step 0"):
        supervised.train_supervised(configuration(tmp_path, 5), DATA, tmp_path, log=lambda *_: None)


@pytest.mark.parametrize("extra, words", [
    ("[sets.other]\nlicence = \"CC BY-NC 4.0\"\n", "licence"),
    ("[sets.other]\nlicense = \"CC0\"\n", "unknown key"),
])
def test_configurations_that_are_refused(tmp_path, extra, words):
    with pytest.raises(UsageError, match=words):
        configuration(tmp_path, 5, extra)


def test_distance_map_of_known_geometry():
    labels = np.zeros((20, 20), np.int32)
    labels[2:9, 2:9], labels[2:9, 9:16] = 1, 2
    d = distance_map(labels)
    assert d[5, 5] == d[5, 12] == 1 and d[labels == 0].max() == 0
    assert d[5, 8] == pytest.approx(d[5, 9]) and d[5, 8] < 0.3, "two touching nuclei have a valley between them"


def test_shipped_configurations_train_on_allowed_images_only():
    for name in ("nuclei-first", "nuclei-second", "nuclei-third", "nuclei"):
        config = load_config(Path(__file__).parents[3] / "training" / "configs" / f"{name}.toml")
        licences = {entry.licence for entry in [*config.sets.values(), *config.unlabelled.values()]}
        assert licences <= {"CC0", "CC BY 4.0", "Apache-2.0"}
        assert "monuseg" not in config.sets


def test_the_bundled_model_says_that_it_learned_from_allowed_images_only():
    card = find("nuclei").card
    learned = [entry for entry in card.data if entry["use"] != "initial weights"]
    assert len(learned) > 5 and {entry["licence"] for entry in learned} <= {"CC0", "CC BY 4.0", "Apache-2.0"}
    assert card.licence["commercial"] and card.licence["weights"] == "Apache-2.0"
