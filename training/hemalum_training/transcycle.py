"""TransCycle, the student (METHOD S3): the encoder's last feature map goes through a Transformer; hand and pseudo labels together.

ResNet-50 and the source's sizes are a configuration (`configs/transcycle.toml`), EfficientNet-Lite a smaller member of the same family.
On several GPUs: `torchrun --nproc-per-node 4 -m hemalum train student CONFIG --device cuda`; every process draws its own tiles.
"""

from __future__ import annotations

from pathlib import Path

from hemalum_training.checkpoint import initial_weights, note_initial
from hemalum_training.config.config import Config
from hemalum_training.cycle_run import CycleRun
from hemalum_training.data.labelled import load_labelled
from hemalum_training.pools import load_pools


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
