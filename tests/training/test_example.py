"""The example that shows the method whole runs, and its networks learn."""

import runpy
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra `training` is not installed")

EXAMPLE = Path(__file__).parents[2] / "training" / "examples" / "cycle.py"


def test_ten_steps_of_the_method_lower_the_generators_loss_and_that_of_the_segmentation(capsys):
    history = runpy.run_path(str(EXAMPLE))["train"](steps=10)
    assert len(capsys.readouterr().out.splitlines()) == len(history) == 10
    assert np.isfinite([list(losses.values()) for losses in history]).all()
    for loss in ("segmentation", "total"):
        assert history[-1][loss] < 0.9 * history[0][loss], loss
