"""Labelled sets as they lie on disk: kinds of images, conventions of labels, what is unsure, what has changed."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from hemalum.errors import UsageError
from hemalum_training.config.config import LabelledSet, load_config
from hemalum_training.data.augment import sample_crop
from hemalum_training.data.labelled import digest_of, load_set
from hemalum_training.loops import supervised
from hemalum_training.loops.losses import segmentation_loss

CONFIG = """
[network]
encoder = "tf_efficientnet_lite0"
bottleneck = 16
widths = [16, 16, 16, 16]
transformer_depth = 0
[schedule]
steps = 1
warmup = 1
cooldown = 0
batch = 2
crop = 64
[sets.own]
licence = "CC0"
"""


@pytest.fixture
def own(tmp_path):
    """A JPEG and a TIFF of 80 × 64 px, with labels in two conventions and a mask of what is unsure."""
    folder = tmp_path / "own"
    for part in ("images", "labels", "labels_published", "unsure"):
        (folder / part).mkdir(parents=True)
    for stem, kind in (("a.1", "jpg"), ("b", "tif")):
        pixels = np.random.default_rng(3).integers(0, 255, (64, 80, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{stem}.{kind}")
        labels = np.zeros((64, 80), np.uint16)
        labels[10:30, 10:30], labels[10:30, 40:60] = 1, 2
        Image.fromarray(labels).save(folder / "labels" / f"{stem}.png")
        Image.fromarray(np.where(labels == 2, 0, labels)).save(folder / "labels_published" / f"{stem}.png")
        Image.fromarray(((labels == 2) * 255).astype(np.uint8)).save(folder / "unsure" / f"{stem}.png")
    return folder


def test_images_of_any_kind_are_read_with_the_labels_that_are_named(own):
    ours, published = (load_set(own, LabelledSet("CC0", labels=labels), "train")
                       for labels in ("labels", "labels_published"))
    assert [image.name for image in ours] == [image.name for image in published] == ["own/a.1", "own/b"]
    assert ours[0].labels.max() == 2 and published[0].labels.max() == 1


def test_what_is_unsure_follows_the_image_to_another_scale(own):
    image = load_set(own, LabelledSet("CC0", unsure="unsure", mpp=0.5), "train")[0]
    assert image.sure.shape == image.labels.shape == (128, 160)
    assert not image.sure[40, 100] and image.sure[40, 40] and image.labels[40, 100] == 2


def test_nothing_is_learned_where_nobody_knows_what_a_pixel_is(own):
    (own / "unsure").rename(own / "unknown")
    image = load_set(own, LabelledSet("CC0", unknown="unknown"), "train")[0]
    assert not image.known[10:30, 40:60].any() and image.known.sum() == 64 * 80 - 400 and image.sure is None
    crops = [sample_crop(image, 32, np.random.default_rng(seed))[1] for seed in range(40)]
    unknown = [targets for targets in crops if not targets[2].all()]
    assert unknown, "some crop shows the outline"
    for targets in unknown:
        logits = torch.zeros(1, 2, *targets.shape[1:], requires_grad=True)
        segmentation_loss(logits, torch.from_numpy(targets)[None]).backward()
        assert not logits.grad[0][:, targets[2] == 0].any()


def test_a_mask_that_is_missing_or_of_another_size_is_named(own):
    Image.fromarray(np.zeros((64, 79), np.uint8)).save(own / "unsure" / "b.png")
    with pytest.raises(UsageError, match="own/b: mask of what is unsure"):
        load_set(own, LabelledSet("CC0", unsure="unsure"), "train")
    (own / "unsure" / "a.1.png").unlink()
    with pytest.raises(UsageError, match=r"a\.1 is named in the manifest but missing"):
        load_set(own, LabelledSet("CC0", unsure="unsure"), "train")


@pytest.mark.parametrize("name, pixels, words", [
    ("labels/b.tif", np.zeros((64, 80), np.uint16), "both b.png and b.tif"),
    ("images/b.png", np.zeros((64, 80, 3), np.uint8), "both b.png and b.tif"),
    ("labels/b.png", np.full((64, 80), -1, np.int32), "below 0"),
    ("labels/b.tiff only", np.full((64, 80), 0.5, np.float32), "fractions"),
    ("labels/b.jpg only", np.zeros((64, 80), np.uint8), "is a JPEG file"),
    ("images/b.tif", np.full((64, 80), 4000, np.uint16), "more than 8 bits"),
])
def test_kinds_that_hold_no_image_or_no_numbers_of_nuclei_are_named(own, name, pixels, words):
    path, *only = name.split()
    if only:
        (own / "labels" / "b.png").unlink()
    if pixels.dtype == np.int32:
        (own / path).unlink()
        path = path.replace("png", "tif")
    Image.fromarray(pixels).save(own / path)
    with pytest.raises(UsageError, match=words):
        load_set(own, LabelledSet("CC0"), "train")


def test_one_image_with_labels_in_two_conventions_is_refused_before_training(own, tmp_path):
    stripes = np.repeat(np.repeat(np.random.default_rng(5).integers(0, 255, (8, 10, 3), dtype=np.uint8), 8, 0), 8, 1)
    for stem, kind in (("a.1", "jpg"), ("b", "tif")):
        Image.fromarray(stripes if stem == "b" else 255 - stripes).save(own / "images" / f"{stem}.{kind}")
    shutil.copytree(own, tmp_path / "published")
    shutil.rmtree(tmp_path / "published" / "labels")
    (tmp_path / "published" / "labels_published").rename(tmp_path / "published" / "labels")
    path = tmp_path / "two.toml"
    path.write_text(CONFIG + '[sets.published]\nlicence = "CC0"\n')
    with pytest.raises(UsageError, match="own/a.1 and published/a.1 are one image with labels in two conventions"):
        supervised.train_supervised(load_config(path), tmp_path, tmp_path / "out", log=lambda *_: None)
    assert not list((tmp_path / "out").glob("*.pt"))
    shutil.rmtree(tmp_path / "published" / "labels")
    shutil.copytree(own / "labels", tmp_path / "published" / "labels")
    supervised.train_supervised(load_config(path), tmp_path, tmp_path / "out", log=lambda *_: None)


def test_an_edited_label_is_not_answered_with_old_weights(own, tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(CONFIG)
    config, out = load_config(path), tmp_path / "out"
    supervised.train_supervised(config, tmp_path, out, log=lambda *_: None)
    before = digest_of(load_set(own, config.sets["own"], "train"))
    labels = np.array(Image.open(own / "labels" / "b.png"))
    labels[12, 12] = 0
    Image.fromarray(labels).save(own / "labels" / "b.png")
    assert digest_of(load_set(own, config.sets["own"], "train")) != before
    with pytest.raises(UsageError, match="learned from"):
        supervised.train_supervised(config, tmp_path, out, log=lambda *_: None)


def test_a_training_goes_on_after_configurations_have_learned_new_keys(own, tmp_path):
    path, out = tmp_path / "tiny.toml", tmp_path / "out"
    path.write_text(CONFIG)
    supervised.train_supervised(load_config(path), tmp_path, out, log=lambda *_: None)
    state = torch.load(out / "checkpoint.pt", weights_only=True)
    del state["config"]["sets"]["own"]["unsure"]
    del state["config"]["network"]["smooth"]
    state["config"]["fingerprint"] = "of the keys of that time"
    torch.save(state, out / "checkpoint.pt")
    path.write_text(CONFIG.replace("steps = 1", "steps = 2"))
    said = []
    supervised.train_supervised(load_config(path), tmp_path, out, log=said.append)
    assert "resumed at step 1" in said
