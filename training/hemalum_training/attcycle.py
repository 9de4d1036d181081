"""AttCycle, the teacher (METHOD S2): attention gates on the skips, no Transformer, trained on the labelled images of both domains."""

from __future__ import annotations

from pathlib import Path

from hemalum.errors import UsageError
from hemalum_training.checkpoint import initial_weights, note_initial
from hemalum_training.config.config import Config
from hemalum_training.cycle_run import CycleRun
from hemalum_training.data.labelled import load_labelled
from hemalum_training.pools import load_pools


def train_teacher(config: Config, data: Path, out: Path, device: str = "cpu", init: str | None = None, save_seconds: float = 120,
                  log=print) -> Path:
    """Train the teacher of OUT/tiles' domains and return the path of its weights, `OUT/teacher/weights.pt`.

    They are those of G_X2Y, averaged over the steps, from the epoch that scored best on the validation images:
    `{"config": {"network": …}, "network": state, "best": scores, "back": state of G_Y2X}`.  Beside them: `checkpoint.pt`, from which a
    stopped training goes on, and `log.jsonl`, one line of losses every 25 steps and one of scores every epoch.

    Raises:
        UsageError: no [method]; see `load_pools` and `CycleRun`.
        RunLost: a loss is not a number.
    """
    if config.method is None:
        raise UsageError(f"configuration {config.name} has no table [method], which describes the teacher; add one.")
    pools = load_pools(config, data, out, pseudo=False)
    weights = initial_weights(init) if init is not None else None
    note_initial(init, Path(out) / "teacher")
    run = CycleRun(config.method.teacher, config, pools, load_labelled(config, data, "validation"), Path(out) / "teacher", device, weights, log)
    return run.train(save_seconds)
