"""The method's two trainings (METHOD S2, S3): AttCycle, the teacher, and TransCycle, the student.

The teacher has attention gates on the skips and no Transformer, and learns from the labelled images of both domains.  The student's last
feature map goes through a Transformer, and it learns from hand and pseudo labels together.  ResNet-50 and the source's sizes are a
configuration (`configs/transcycle.toml`), EfficientNet-Lite a smaller member of the same family.
On several GPUs: `torchrun --nproc-per-node 4 -m hemalum train student CONFIG --device cuda`; every process draws its own tiles.
"""

from __future__ import annotations

from pathlib import Path

from hemalum.errors import UsageError
from hemalum_training.config.config import Config
from hemalum_training.data.labelled import load_labelled
from hemalum_training.loops.checkpoint import initial_weights, note_initial
from hemalum_training.loops.cycle_run import CycleRun
from hemalum_training.loops.pools import load_pools


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


def train_student(config: Config, data: Path, out: Path, device: str = "cpu", init: str | None = None, save_seconds: float = 120,
                  log=print) -> Path:
    """Train the student of OUT/tiles' domains and return the path of its weights, `OUT/weights.pt`, described at `train_teacher`.

    With a table [pseudo] it also learns from the tiles of OUT/pseudo: their normalized images are tiles of Y and pass through G_Y2X,
    their own images supervise G_X2Y, which is the generator that is used.

    Raises:
        UsageError, RunLost: as `train_teacher`.
    """
    pools = load_pools(config, data, out, pseudo=config.pseudo is not None)
    weights = initial_weights(init) if init is not None else None
    note_initial(init, Path(out))
    return CycleRun(config.network, config, pools, load_labelled(config, data, "validation"), Path(out), device, weights, log).train(save_seconds)
