"""One optimizer step of two generators and two discriminators (METHOD S2), shared by teacher and student.

What is ours: generators are averaged over the steps (EMA) and the averages are what is validated and kept; with
`cycle_every` above 1 the cycle part is worked every so many steps, and between them `G_X2Y`, the generator that is
used, learns segmentation alone.
"""

from __future__ import annotations

import numpy as np
import torch

from hemalum_training.config.method import Cycle
from hemalum_training.config.network import GeneratorConfig
from hemalum_training.loops.averages import Ema
from hemalum_training.loops.cycle_losses import Batch, CycleNetworks, Labelled
from hemalum_training.loops.processes import Processes
from hemalum_training.loops.replay import ReplayPool


def decayed(step: int, steps: int, decay_start: float) -> float:
    """Learning-rate factor: 1, then linear to 0 from `decay_start · steps` on (Zhu et al. 2017).

    >>> [decayed(s, 100, 0.5) for s in (0, 50, 75)]
    [1.0, 1.0, 0.5]
    """
    begin = decay_start * steps
    return 1.0 if step < begin else (steps - step) / (steps - begin)


class CycleTrainer(CycleNetworks):
    """Networks, optimizers, replay pools and averages of a cycle training.

    Args:
        network, cycle, seed, device, init: see `CycleNetworks`.
        processes: those that share the work.
    """

    def __init__(self, network: GeneratorConfig, cycle: Cycle, seed: int, device: str = "cpu", init: dict | None = None,
                 processes: Processes | None = None):
        super().__init__(network, cycle, seed, device, init)
        self.processes = processes or Processes()
        self.generators = [*self.g_xy.parameters(), *self.g_yx.parameters()]
        self.discriminators = [*self.d_x.parameters(), *self.d_y.parameters()]
        betas = (cycle.beta1, cycle.beta2)
        self.opt_g = torch.optim.Adam(self.generators, cycle.learning_rate, betas)
        self.opt_d = torch.optim.Adam(self.discriminators, cycle.learning_rate, betas)
        self.ema = {"g_xy": Ema(self.g_xy, cycle.ema), "g_yx": Ema(self.g_yx, cycle.ema)}
        self.pools = {"x": ReplayPool(cycle.pool), "y": ReplayPool(cycle.pool)}

    def step(self, step: int, steps: int, labelled: Labelled | None, batch: Batch | None,
             rng: np.random.Generator) -> dict[str, float]:
        """Work one step and return its losses.

        A loss or a gradient that is not finite changes no weight: `total` says so.
        """
        for optimizer in (self.opt_g, self.opt_d):
            optimizer.param_groups[0]["lr"] = self.cycle.learning_rate * decayed(step, steps, self.cycle.decay_start)
            optimizer.zero_grad(set_to_none=True)
        losses, fakes = {}, None
        for network in (self.g_xy, self.g_yx, self.d_x, self.d_y):
            network.train()
        with self.precision():
            if labelled is not None:
                losses["segmentation"] = self.labelled_loss(labelled)
                (self.cycle.lambda_segmentation * losses["segmentation"]).backward()
            if batch is not None:
                terms, fakes = self.generator_terms(batch)
                self.total(terms).backward()
                losses |= terms
        losses = {k: float(v.detach()) for k, v in losses.items()}
        losses["total"] = self.total(losses)
        self.processes.average(self.generators)
        losses["gradient"] = float(torch.nn.utils.clip_grad_norm_(self.generators, self.cycle.clip))
        if batch is not None:
            losses["discriminator"] = self._discriminators(batch, *fakes, rng)
        if not np.isfinite(list(losses.values())).all():
            return losses | {"total": np.nan}
        self.opt_g.step()
        if batch is not None:
            self.opt_d.step()
        for name, ema in self.ema.items():
            ema.update(getattr(self, name), step + 1)
        return losses

    def _discriminators(self, batch: Batch, fake_x, fake_y, rng) -> float:
        with self.precision():
            replayed_x, replayed_y = self.pools["x"].exchange(fake_x, rng), self.pools["y"].exchange(fake_y, rng)
            loss = self.discriminator_loss(batch, replayed_x, replayed_y)
            (self.cycle.lambda_gan * loss).backward()
        self.processes.average(self.discriminators)
        return float(loss.detach())

    def state(self) -> dict:
        """Everything a resumed training needs; in a run of several processes call it in each."""
        networks = {name: getattr(self, name).state_dict() for name in ("g_xy", "g_yx", "d_x", "d_y", "opt_g", "opt_d")}
        return {**networks, "ema": {name: ema.state for name, ema in self.ema.items()},
                "pools": self.processes.gather({name: pool.state() for name, pool in self.pools.items()})}

    def load_state(self, state: dict) -> None:
        for name in ("g_xy", "g_yx", "d_x", "d_y", "opt_g", "opt_d"):
            getattr(self, name).load_state_dict(state[name])
        for name, ema in self.ema.items():
            ema.state = {k: v.to(self.device) for k, v in state["ema"][name].items()}
        pools = state["pools"][self.processes.rank % len(state["pools"])]
        for name, pool in self.pools.items():
            pool.load(pools[name], self.device)
