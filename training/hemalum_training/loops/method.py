"""The method's two trainings (METHOD S2, S3): AttCycle, the teacher, and TransCycle, the student.

The teacher has attention gates on the skips and no Transformer, and learns from the labelled images of both domains.
The student's last feature map goes through a Transformer, and it learns from hand and pseudo labels together.
ResNet-50 and the patent's sizes are a configuration (`configs/transcycle.toml`), EfficientNet-Lite a smaller member of
the same family.

On several GPUs: `torchrun --nproc-per-node 4 -m hemalum train student CONFIG --device cuda`; every process draws its
own tiles.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from hemalum.errors import UsageError
from hemalum_training.config.config import Config
from hemalum_training.data.labelled import load_labelled
from hemalum_training.loops.checkpoint import initial_weights, note_initial
from hemalum_training.loops.cycle_run import CycleRun
from hemalum_training.loops.pools import load_pools


def train_method(part: Literal["teacher", "student"], config: Config, data: Path, out: Path, *, device: str = "cpu",
                 init: str | None = None, save_seconds: float = 120, log=print) -> Path:
    """Train teacher or student on OUT/tiles' domains and return the path of the weights.

    `OUT/teacher/weights.pt` or `OUT/weights.pt` are those of G_X2Y, averaged over the steps, from the epoch that scored
    best on the validation images:
    `{"config": {"network": …}, "network": state, "best": scores, "back": state of G_Y2X}`.  Beside them:
    `checkpoint.pt`, from which a stopped training goes on, and `log.jsonl`, one line of losses every 25 steps and one
    of scores every epoch.

    With a table [pseudo] the student also learns from the tiles of OUT/pseudo: their normalized images are tiles of Y
    and pass through G_Y2X, their own images supervise G_X2Y, which is the generator that is used.

    Raises:
        UsageError: no [method]; see `load_pools` and `CycleRun`.
        RunLost: a loss is not a number.
    """
    if config.method is None:
        raise UsageError(f"configuration {config.name} has no table [method], which describes the teacher; add one.")
    if part == "teacher":
        network, folder, pseudo = config.method.teacher, Path(out) / "teacher", False
    else:
        network, folder, pseudo = config.network, Path(out), config.pseudo is not None
    network = network.with_weights_in(data)
    pools = load_pools(config, data, out, pseudo=pseudo)
    weights = initial_weights(init) if init is not None else None
    note_initial(init, folder)
    validation = load_labelled(config, data, "validation")
    run = CycleRun(network, config, pools, validation, out=folder, device=device, init=weights, log=log)
    return run.train(save_seconds)
