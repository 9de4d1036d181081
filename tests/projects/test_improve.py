"""The loop from corrected nuclei to a judged model.

Nothing of what is kept apart is learned, a kill costs nothing, worse labels are seen.
"""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hemalum_training.scoring import packages

pytest.importorskip("torch", reason="the extra `training` is not installed")

import torch
from safetensors.torch import load as load_tensors

sys.path.insert(0, str(Path(__file__).parent))
import corrected

from hemalum.errors import UsageError
from hemalum.models import Model, find
from hemalum.models.card import Card
from hemalum.projects.sources import sources_of
from hemalum_training.config.config import Schedule, load_config
from hemalum_training.config.network import GeneratorConfig
from hemalum_training.data.labelled import LabelledImage, load_labelled
from hemalum_training.improve import loop
from hemalum_training.improve.plan import Request, make_plan
from hemalum_training.improve.verdict import judge
from hemalum_training.networks import Generator
from hemalum_training.package.export import export_package

IMAGES = Path(__file__).parents[1] / "data" / "nucls_sample"
SHORT = Schedule(steps=4, warmup=1, cooldown=2, batch=2, crop=64, learning_rate=1e-3, frozen_statistics=True)
NAMES = sorted(path.stem for path in (IMAGES / "images").iterdir())


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A narrow network that learned nothing, packed as models are."""
    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    config = GeneratorConfig(
        encoder="test_resnet", transformer_depth=1, transformer_heads=2, bottleneck=16, widths=[16, 12, 8, 8], fine=8
    )
    generator = Generator(config, imagenet=False)
    torch.save({"config": {"network": config.as_dict()}, "network": generator.state_dict()}, folder / "weights.pt")
    tile = np.random.default_rng(0).integers(0, 255, (384, 384, 3), dtype=np.uint8)
    card = {"id": "base", "licence": {"weights": "CC0-1.0", "why": "it learned nothing"},
            "thresholds": {"foreground": 0.45, "marker": 0.5, "sigma": 1.5, "min_area_um2": 4.0}}
    return export_package(folder / "weights.pt", folder / "base", card, [tile], tile)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A project of five images of three patients, one of which is kept apart."""
    (first, second), (kept,) = corrected.patients(2, 1, 0.3)
    owners = [first, first, second, kept, kept]
    slides = [corrected.Slide(f"{owner}_{name}", IMAGES / "images" / f"{name}.png", IMAGES / "labels" / f"{name}.png")
              for owner, name in zip(owners, NAMES, strict=False)]
    slides.append(corrected.Slide(f"{second}_slide", corrected.UNLABELLED, None, mpp=0.499))
    return *corrected.write_project(tmp_path_factory.mktemp("lab") / "lab", slides), kept


def request_of(lab, base, **changes) -> Request:
    path, annotations, _ = lab
    with sources_of(path, annotations, None, "^(P[0-9]+)_") as sources:
        return replace(
            Request(sources, Model(Card.read(base), base), "lab", SHORT, validation=0.3, unlabelled=2), **changes
        )


@pytest.fixture(scope="module")
def done(lab, base, tmp_path_factory):
    out = tmp_path_factory.mktemp("improve") / "out"
    return loop.improve(request_of(lab, base), out, into=out / "models", say=lambda *_: None), out


def pixels_of(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def runs(pixels: np.ndarray, length: int = 12) -> set[int]:
    """Hashes of every run of 12 px in a row that is not of one colour; two photographs share none by chance."""
    windows = np.lib.stride_tricks.sliding_window_view(pixels.reshape(len(pixels), -1), 3 * length, axis=1)[:, ::3]
    flat = windows.reshape(-1, 3 * length)
    return {hash(row.tobytes()) for row in flat[flat.std(1) > 0]}


def test_no_pixel_of_what_is_kept_apart_is_learned(done, lab):
    _, out = done
    config, folder = load_config(out / "lab.toml"), out / "data" / "project"
    rows = list(csv.DictReader((folder / "manifest.csv").open(encoding="utf-8")))
    apart = [row["stem"] for row in rows if row["patient"] == lab[2]]
    assert len(apart) == 2 and config.sets["project"].exclude == apart
    kept = set().union(*(runs(pixels_of(folder / "images" / f"{stem}.png")) for stem in apart))
    learned = [image.pixels for image in load_labelled(config, out / "data")]
    learned += [pixels_of(path) for path in (folder / "unlabelled").iterdir()]
    learned += [pixels_of(path) for path in (out / "run").rglob("*.png")]
    assert len(kept) > 10_000 and len(learned) >= 3 + 2 + 2, (
        "labelled images, unlabelled tissue, and the tiles made of it"
    )
    assert runs(pixels_of(IMAGES / "images" / f"{NAMES[3]}.png")) & kept, "the hashes would find a shared pixel"
    assert not any(kept & runs(pixels) for pixels in learned)


def test_the_verdict_decides_what_is_installed(done, base):
    result, out = done
    verdict = json.loads((out / "verdict.json").read_text(encoding="utf-8"))
    assert verdict == result.verdict and verdict["better"] == (
        verdict["fields"] >= 5 and verdict["difference"]["score"][1] > 0
    )
    assert (
        verdict["fields"] == 2
        and not verdict["better"]
        and result.installed is None
        and "annotate more regions" in verdict["sentence"]
    )
    model = Model(Card.read(result.package), result.package)
    assert (
        model.id == "lab"
        and model.card.scores["sentence"] == verdict["sentence"]
        and model.card.licence["weights"] == "CC0-1.0"
    )
    before, after = (load_tensors(m.verified("weights.safetensors")) for m in (Model(Card.read(base), base), model))
    statistics = [name for name in before if "running_" in name]
    assert statistics and all(torch.equal(before[name], after[name]) for name in statistics), (
        "a few images do not change BatchNorm"
    )
    assert not all(torch.equal(before[name], after[name]) for name in before)
    assert "export" in json.loads((out / "run.json").read_text(encoding="utf-8"))["seconds"]


def test_a_better_model_is_installed_and_found(done, lab, base, monkeypatch, tmp_path):
    out = shutil.copytree(done[1], tmp_path / "out")
    said = json.loads((out / "verdict.json").read_text(encoding="utf-8")) | {"better": True}
    (out / "verdict.json").write_text(json.dumps(said), encoding="utf-8")
    again = loop.improve(request_of(lab, base), out, into=tmp_path / "models", say=lambda *_: None)
    assert again.installed is not None and find("lab", [tmp_path / "models"]).digest == again.installed.digest


def test_the_same_model_is_not_better_and_a_worse_one_is_told(base):
    nuclei = find("nuclei")
    images = load_labelled_images()
    same = judge(nuclei, nuclei, images)
    assert not same.better and same.difference["score"] == (0, 0, 0) and same.fields == len(images)
    assert same.nuclei == sum(int(image.labels.max()) for image in images)
    worse = judge(nuclei, Model(Card.read(base), base), images)
    assert not worse.better and "worse" in worse.sentence and judge(Model(Card.read(base), base), nuclei, images).better


def load_labelled_images():
    from hemalum_training.config.config import LabelledSet
    from hemalum_training.data.labelled import load_set

    return load_set(IMAGES, LabelledSet("CC0"), "train")[:6]


def test_own_labels_say_whether_a_nucleus_has_parts():
    """A nucleus with two peaks in the distance map, labelled as one or as two."""
    rows, columns = np.mgrid[:64, :64]
    halves = [np.clip(1 - np.hypot(rows - 32, columns - x) / 16, 0, 1) for x in (20, 42)]
    distance = np.maximum(np.maximum(*halves), 0.7 * (np.hypot((rows - 32) / 14, (columns - 31) / 26) < 1)).astype(
        np.float32
    )
    whole = (distance > 0.2).astype(np.int32)
    maps = np.stack([whole, distance]).astype(np.float16)
    chosen = {}
    for name, labels in (("one", whole), ("two", whole * (1 + (columns > 31)))):
        image = LabelledImage("own/a", np.zeros((64, 64, 3), np.uint8), labels, distance)
        base = packages.instance_parameters(
            {"foreground": 0.4, "marker": 0.35, "sigma": 1.0, "min_area_um2": 4.0, "part_um2": 2.5}
        )
        chosen[name], rows_ = packages.choose_thresholds([packages.Scored(image, maps)], base, packages.OWN_GRID)
        assert max(row["score"] for row in rows_) > 0.9, "the labels can be met"
    assert chosen["one"]["part_um2"] == 0 and chosen["two"]["part_um2"] > 0


def test_what_changed_since_the_first_start_is_named(done, lab, base, tmp_path):
    with pytest.raises(UsageError, match="schedule"):
        loop.improve(request_of(lab, base, schedule=replace(SHORT, steps=5)), done[1])
    path, annotations, kept = lab
    moved = shutil.copytree(annotations, tmp_path / "annotations")
    some = next(moved.iterdir())
    some.write_text(some.read_text(encoding="utf-8") + " ", encoding="utf-8")
    with pytest.raises(UsageError, match="annotations or slides have changed"):
        loop.improve(request_of((path, moved, kept), base), done[1])


def test_nothing_to_keep_apart_is_said_before_any_work(lab, base, tmp_path):
    whole = request_of(lab, base)
    one = replace(whole, sources=[source for source in whole.sources if source.patient == whole.sources[0].patient])
    with pytest.raises(UsageError, match="only one patient"):
        make_plan(one, tmp_path / "out")
    with pytest.raises(UsageError, match="--name"):
        make_plan(replace(whole, name="base"), tmp_path / "out")
    assert (
        "will be called lab" in "".join(make_plan(whole, tmp_path / "out").lines()) and not (tmp_path / "out").exists()
    )


def test_a_killed_improvement_goes_on(done, lab, base, tmp_path):
    path, annotations, _ = lab
    command = [
        sys.executable,
        "-m",
        "hemalum",
        "project",
        "improve",
        path,
        "--annotations",
        annotations,
        "--patient-pattern",
        "^(P[0-9]+)_",
        "--validation",
        "0.3",
        "--unlabelled",
        "2",
        "--steps",
        "6",
        "--models",
        base.parent,
        "--model",
        "base",
        "--name",
        "lab",
        "-o",
        tmp_path / "out",
        "--no-install",
        "--json",
    ]
    environment = {**os.environ, "XDG_DATA_HOME": str(tmp_path)}
    child = subprocess.Popen(
        [*map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    )
    until = time.monotonic() + 240
    while not (tmp_path / "out" / "run" / "stable.pt").exists() and time.monotonic() < until:
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not (tmp_path / "out" / "package").exists()
    ended = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, timeout=400, check=False, env=environment
    )
    assert ended.returncode == 0, ended.stderr
    assert "resumed at step" in ended.stderr and json.loads(ended.stdout)["fields"] == 2
