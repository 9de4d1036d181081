"""`hemalum evaluate` as a user runs it: pairs by stem, what is written, and what is refused with a sentence."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from hemalum.cli.evaluate import evaluate
from hemalum.errors import NotWritable, UnreadableImage, UsageError
from PIL import Image


@pytest.fixture
def folders(tmp_path):
    """Two pairs: `good` is equal, `bad` shifted by a quarter of its width."""
    for side in ("ref", "pred"):
        (tmp_path / side).mkdir()
        for name, shift in (("good", 0), ("bad", 1)):
            labels = np.zeros((20, 30), np.uint16)
            x = shift if side == "pred" else 0
            labels[4:8, 4 + x : 8 + x] = 300
            Image.fromarray(labels).save(tmp_path / side / f"{name}{'.labels' if side == 'pred' else ''}.png")
    return tmp_path / "ref", tmp_path / "pred"


def run(*arguments):
    return CliRunner().invoke(evaluate, [str(argument) for argument in arguments], catch_exceptions=True)


def test_pairs_by_stem_and_lists_the_worst_first(folders):
    result = run(*folders, "--json")
    report = json.loads(result.stdout)
    assert result.exit_code == 0 and list(report["images"]) == ["bad", "good"]
    assert report["images"]["bad"]["AJI"] == pytest.approx(0.6)
    mean, low, high = report["means"]["AJI"]
    assert mean == pytest.approx(0.8) and low <= mean <= high


def test_writes_the_report(folders, tmp_path):
    assert run(*folders, "-o", tmp_path / "out").exit_code == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["evaluate.html", "evaluate.json", "scores.csv", "worst-first.png"]
    assert (tmp_path / "out" / "scores.csv").read_text().splitlines()[1].startswith("bad,0.6")
    assert "data:image/png;base64," in (tmp_path / "out" / "evaluate.html").read_text(encoding="utf-8")


def test_refuses_what_cannot_be_scored(folders, tmp_path):
    ref, pred = folders
    assert isinstance(run(ref, tmp_path / "none").exception, UsageError)
    (tmp_path / "empty").mkdir()
    assert isinstance(run(tmp_path / "empty", pred).exception, UsageError)
    (tmp_path / "file").touch()
    assert isinstance(run(ref, pred, "-o", tmp_path / "file").exception, NotWritable)
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(pred / "good.labels.png")
    assert "own size" in str(run(ref, pred).exception)
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(pred / "good.labels.png")
    assert isinstance(run(ref, pred).exception, UnreadableImage)
    (pred / "good.labels.png").write_bytes(b"text")
    assert isinstance(run(ref, pred).exception, UnreadableImage)
    (pred / "good.labels.png").unlink()
    assert "no prediction" in str(run(ref, pred, "-o", tmp_path / "left").exception)
    assert not (tmp_path / "left").exists()
