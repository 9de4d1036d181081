"""`hemalum evaluate` as a user runs it: pairs by stem, what is printed and written, and what is refused with a
sentence."""

from __future__ import annotations

import csv
import json
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from PIL import Image

from hemalum.scoring import contact_sheet


def evaluate(*arguments):
    """The finished command."""
    command = [sys.executable, "-m", "hemalum.cli.main", "evaluate", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert "Traceback" not in done.stderr
    return done


def nucleus(shift: int = 0, number: int = 300) -> np.ndarray:
    """4 × 4 px in 20 × 30."""
    labels = np.zeros((20, 30), np.uint16)
    labels[4:8, 4 + shift : 8 + shift] = number
    return labels


@pytest.fixture
def folders(tmp_path):
    """Three pairs: `good` is equal, `bad` shifted by a quarter of its width (IoU 12 / 20), `worse` by a half (8 /
    24)."""
    ref, pred = tmp_path / "ref", tmp_path / "pred"
    ref.mkdir()
    pred.mkdir()
    for name, shift in (("good", 0), ("bad", 1), ("worse", 2)):
        Image.fromarray(nucleus()).save(ref / f"{name}.png")
        if name == "bad":
            tifffile.imwrite(pred / "bad.labels.tif", nucleus(shift, 7).astype(np.uint32), compression="zlib")
        else:
            Image.fromarray(nucleus(shift, 7)).save(pred / f"{name}.labels.png")
    return ref, pred


def test_pairs_by_stem_and_lists_the_worst_first(folders):
    done = evaluate(*folders, "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 0 and list(report["images"]) == ["worse", "bad", "good"] and report["failed"] == {}
    assert [row["AJI"] for row in report["images"].values()] == pytest.approx([1 / 3, 0.6, 1])
    assert [row["PQ"] for row in report["images"].values()] == pytest.approx([0, 0.6, 1])
    mean, low, high = report["means"]["AJI"]
    assert mean == pytest.approx((1 / 3 + 0.6 + 1) / 3) and low < mean < high


def test_prints_every_image_the_mean_and_its_interval(folders):
    lines = evaluate(*folders).stdout.splitlines()
    assert lines[0].split() == ["image", "AJI", "AJI+", "PQ", "DQ", "SQ", "F1", "Dice", "fgIoU", "n_ref", "n_pred"]
    assert lines[1].split()[:2] == ["worse", "0.3333"] and lines[3].split()[:2] == ["good", "1.0000"]
    assert lines[5].split()[:2] == ["mean", "0.6444"] and lines[5].split()[-2:] == ["3", "3"]


def test_writes_the_report(folders, tmp_path):
    assert evaluate(*folders, "-o", tmp_path / "out", "--json").returncode == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "evaluate.html",
        "evaluate.json",
        "scores.csv",
        "worst-first.png",
    ]
    with open(tmp_path / "out" / "scores.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    report = json.loads((tmp_path / "out" / "evaluate.json").read_text(encoding="utf-8"))
    assert {row["image"]: float(row["AJI"]) for row in rows} == {
        stem: row["AJI"] for stem, row in report["images"].items()
    }
    page = (tmp_path / "out" / "evaluate.html").read_text(encoding="utf-8")
    assert (
        page.count("data:image/jpeg;base64,") == 3 and "http" not in page and page.index("worse") < page.index("good")
    )


def test_outlines_lie_over_the_image_of_the_same_stem(folders, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    Image.new("RGB", (30, 20), (200, 100, 180)).save(images / "worse.png")
    Image.new("RGB", (31, 20), (200, 100, 180)).save(images / "bad.png")
    done = evaluate(*folders, "-o", tmp_path / "out", "--images", images)
    assert done.returncode == 0 and "bad.png has another size" in done.stderr
    sheet = np.asarray(Image.open(tmp_path / "out" / "worst-first.png"))
    first, second = (sheet[:, left : left + contact_sheet.SIDE] for left in (8, 16 + contact_sheet.SIDE))
    tissue, green, yellow = (
        (part == colour).all(axis=2).any()
        for part, colour in (
            (first, (200, 100, 180)),
            (first, contact_sheet.REFERENCE),
            (first, contact_sheet.PREDICTED),
        )
    )
    assert tissue and green and yellow
    assert not (second == (200, 100, 180)).all(axis=2).any() and (second == 170).all(axis=2).any()
    assert evaluate(*folders, "--images", images).returncode == 2


def test_a_large_pair_is_shown_where_it_is_wrong():
    reference, predicted = np.zeros((2, 900, 2000), np.uint16)
    reference[800:820, 1800:1830] = 1
    reference[10:30, 10:30] = predicted[10:30, 10:30] = 2
    x, y, width, height = contact_sheet.worst_window(reference, predicted)
    assert (
        width == height == contact_sheet.WINDOW and x <= 1800 and x + width >= 1830 and y <= 800 and y + height >= 820
    )
    panel = contact_sheet.panel("slide", {"AJI": 0.4, "PQ": 0.7, "n_ref": 2, "n_pred": 1}, reference, predicted, None)
    colours = set(map(tuple, np.asarray(panel.picture).reshape(-1, 3).tolist()))
    assert (
        f"at {x},{y}" in panel.caption and contact_sheet.REFERENCE in colours and contact_sheet.PREDICTED not in colours
    )


def damage(kind, ref, pred):
    """Make the pair `good` impossible to score."""
    path = pred / "good.labels.png"
    path.unlink()
    if kind == "size":
        Image.fromarray(np.zeros((5, 6), np.uint8)).save(path)
    elif kind == "colours":
        Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(path)
    elif kind == "text":
        path.write_text("not an image")
    elif kind == "fractions":
        np.save(pred / "good.npy", np.zeros((20, 30)))


DAMAGES = {
    "missing": "no prediction",
    "size": "own size",
    "colours": "no label image",
    "text": "cannot be read",
    "fractions": "whole number",
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_one_pair_of_several_fails_and_the_rest_is_done(folders, tmp_path, kind):
    damage(kind, *folders)
    done = evaluate(*folders, "--json", "-o", tmp_path / "out")
    assert done.returncode == 3 and DAMAGES[kind] in done.stderr and "1 of 3" in done.stderr
    report = json.loads(done.stdout)
    assert list(report["failed"]) == ["good"] and list(report["images"]) == ["worse", "bad"]
    assert "good" in (tmp_path / "out" / "evaluate.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", DAMAGES)
def test_the_only_pair_fails_with_one_sentence_and_nothing_left(folders, tmp_path, kind):
    for other in ("bad", "worse"):
        (folders[0] / f"{other}.png").unlink()
        next(folders[1].glob(f"{other}.*")).unlink()
    damage(kind, *folders)
    if kind == "missing":
        Image.fromarray(nucleus()).save(folders[1] / "another.png")
    done = evaluate(*folders, "-o", tmp_path / "out")
    assert done.returncode == 2 and DAMAGES[kind] in done.stderr and done.stderr.count("\n") == 1
    assert done.stdout == "" and not (tmp_path / "out").exists()


def test_folders_that_cannot_be_used(folders, tmp_path):
    ref, pred = folders
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    for arguments, said in [
        ((ref, tmp_path / "none"), "not a folder"),
        ((tmp_path / "empty", pred), "holds no label image"),
        ((ref, pred, "-o", tmp_path / "file"), "cannot be written"),
        ((ref, pred, "-o", pred), "choose another folder"),
    ]:
        done = evaluate(*arguments)
        assert done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1, done.stderr
    tifffile.imwrite(pred / "good.labels.tif", nucleus())
    done = evaluate(ref, pred)
    assert done.returncode == 2 and "one stem" in done.stderr


def test_pictures_beside_labels_and_other_predictions_are_no_trouble(folders):
    ref, pred = folders
    Image.new("RGB", (30, 20)).save(pred / "good.png")
    Image.fromarray(nucleus()).save(pred / "another.labels.png")
    done = evaluate(ref, pred, "--json")
    assert done.returncode == 0 and "1 of 4 predictions" in done.stderr and len(json.loads(done.stdout)["images"]) == 3


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1)])
def test_tiny_images(tmp_path, shape):
    for side in ("ref", "pred"):
        (tmp_path / side).mkdir()
        Image.fromarray(np.zeros(shape, np.uint8)).save(tmp_path / side / "a.png")
    done = evaluate(tmp_path / "ref", tmp_path / "pred", "-o", tmp_path / "out")
    assert done.returncode == 0 and done.stdout.splitlines()[1].split()[1] == "1.0000"


def squares(count, columns=40):
    """Nuclei of 4 × 4 px, numbered from 1."""
    labels = np.zeros((6 * -(-count // columns), 6 * columns), np.int64)
    for i in range(count):
        y, x = 6 * (i // columns), 6 * (i % columns)
        labels[y : y + 4, x : x + 4] = i + 1
    return labels


@pytest.mark.parametrize("how", ["begins again", "stays at the largest"])
def test_labels_that_ran_over_are_noticed(tmp_path, how):
    labels = squares(350)
    ref, pred = tmp_path / "ref", tmp_path / "pred"
    for folder, values in ((ref, labels.astype(np.uint16)), (pred, None)):
        folder.mkdir()
        if values is None:
            values = (labels % 256 if how == "begins again" else np.minimum(labels, 255)).astype(np.uint8)
        Image.fromarray(values).save(folder / "a.png")
    done = evaluate(ref, pred, "--json", "-o", tmp_path / "out")
    said = [notice for notice in json.loads(done.stdout)["notices"] if "several pieces" in notice]
    count = 94 if how == "begins again" else 1  # 1 to 94 came again; 256 became background
    assert done.returncode == 0 and len(said) == 1 and said[0] in done.stderr
    assert said[0].startswith(f"{pred / 'a.png'} is 8-bit and {count} of its 255 labels lie in several pieces")
    assert "more than 255 nuclei" in said[0]
    assert "several pieces" in (tmp_path / "out" / "evaluate.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("count", [3, 254, 255])
def test_labels_that_did_not_are_not(tmp_path, count):
    labels = squares(count)
    labels[labels == 2] = 0
    labels[0, 6:8] = labels[3, 6:8] = labels[1:3, 6:10] = 2
    labels[2, 6:10] = 0  # one that something covers
    for side in ("ref", "pred"):
        (tmp_path / side).mkdir()
        Image.fromarray(labels.astype(np.uint8)).save(tmp_path / side / "a.png")
    done = evaluate(tmp_path / "ref", tmp_path / "pred", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["notices"] == []


def test_a_touching_mosaic_did_not_run_over(tmp_path):
    labels = np.arange(1, 256).reshape(15, 17).repeat(8, 0).repeat(8, 1).astype(np.uint8)
    for side in ("ref", "pred"):
        (tmp_path / side).mkdir()
        Image.fromarray(labels).save(tmp_path / side / "a.png")
    done = evaluate(tmp_path / "ref", tmp_path / "pred", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["notices"] == []
