"""The course of a cycle training: epochs, validation, the best epoch kept, resumed to the bit after being killed."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import torch

from hemalum.errors import RunLost, UsageError
from hemalum_training.config.config import Config
from hemalum_training.config.data import Pseudo
from hemalum_training.config.network import GeneratorConfig
from hemalum_training.data.labelled import LabelledImage, digest_of
from hemalum_training.data.pseudo_store import digest_of_files
from hemalum_training.data.twins import refuse_conflicts, refuse_shared
from hemalum_training.loops import checkpoint
from hemalum_training.loops.cycle_losses import Batch, Labelled
from hemalum_training.loops.cycle_step import CycleTrainer
from hemalum_training.loops.pools import Pools
from hemalum_training.loops.processes import Processes
from hemalum_training.scoring.predict import fitted_scores
from hemalum_training.store import read_lines

LOGGED = 25       # steps between two lines of the log
Drawn = tuple[Labelled | None, Batch | None, np.random.Generator]     # what a step learns from, and its chance


def identity(network: GeneratorConfig, config: Config, pools: Pools) -> dict:
    """What a checkpoint must have been made with.

    Labelled images count by a digest of all that is learned of them, tiles by their names and their files.
    """
    cycle = dataclasses.asdict(config.method.cycle)
    made_with = {
        "seed": config.seed,
        "network": network.as_dict(),
        "encoder weights": Path(network.encoder_weights).name,
        "cycle": {key: value for key, value in cycle.items() if key not in checkpoint.FREE},
        "sets": {name: dataclasses.asdict(entry) for name, entry in config.sets.items()},
        "tiles": hashlib.sha256("\n".join(pools.names()).encode()).hexdigest()[:16],
        "tiles' files": digest_of_files([*pools.x_unlabelled, *pools.pseudo]),
        "learned from": digest_of(pools.x + pools.y),
    }
    if pools.pseudo:
        made_with["pseudo"] = dataclasses.asdict(config.pseudo or Pseudo())
        made_with["labels by"] = pools.labelled_by
    return made_with


def mean_terms(steps: list[dict[str, float]]) -> dict[str, float]:
    """Mean of each loss over the steps that had it, by name.

    >>> mean_terms([{"gan": 0.5, "total": 1.0}, {"total": 2.0}])
    {'gan': 0.5, 'total': 1.5}
    """
    values: dict[str, list[float]] = {}
    for terms in steps:
        for name, value in terms.items():
            values.setdefault(name, []).append(value)
    return {name: round(float(np.mean(values[name])), 5) for name in sorted(values)}


class CycleRun:
    """One training of a generator pair in `out`.

    There lie `checkpoint.pt`, `best.pt` (weights of the best epoch), `log.jsonl`, at the end `weights.pt`.

    Args:
        network: shape of the generators.
        validation: images that choose the epoch; none of them may be in `pools`.
        init: weights to begin from; the training must beat them, else they are what is kept.
    """

    def __init__(self, network: GeneratorConfig, config: Config, pools: Pools, validation: list[LabelledImage],
                 out: Path, device: str = "cpu", init: dict | None = None, log=print):
        if not validation:
            raise UsageError("the configuration keeps no image for validation, so no epoch can be chosen; "
                             "name some in [sets.NAME] validation.")
        if shared := sorted({image.name for image in validation} & set(pools.names())):
            raise UsageError(f"{shared[0]} is both in training and in validation; take it out of one.")
        refuse_shared(pools.x + pools.y, validation)
        refuse_conflicts(pools.x + pools.y)
        cv2.setNumThreads(0)
        self.processes = Processes.join(device)
        self.config, self.pools, self.validation, self.out, self.device = config, pools, validation, out, device
        self.log = log if self.processes.first else lambda *_: None
        self.cycle = config.method.cycle
        self.per_epoch = self.cycle.steps_per_epoch or -(-pools.x_count // (self.cycle.batch * self.processes.count))
        self.steps = self.cycle.epochs * self.per_epoch
        out.mkdir(parents=True, exist_ok=True)
        self.trainer = CycleTrainer(network, self.cycle, config.seed, device, init=init, processes=self.processes)
        self.network, self.identity = network, identity(network, config, pools)
        self.step, self.best = 0, None
        state = checkpoint.load(out / "checkpoint.pt", self.identity)
        if state:
            self.trainer.load_state(state["trainer"])
            self.step, self.best = state["step"], state["best"]
            self._forget()
            self.log(f"resumed at step {self.step}")
        elif init is not None:
            self._validate(0)

    def train(self, save_seconds: float = 120) -> Path:
        """Work to the last step and return the path of the kept weights of G_X2Y.

        Raises:
            RunLost: a loss is not a number; the last checkpoint and the best epoch stay.
        """
        with closing(self._draws()) as draws:
            return self._course(draws, save_seconds)

    def _course(self, draws: Iterator[Drawn], save_seconds: float) -> Path:
        terms, saved, began = [], time.monotonic(), time.monotonic()
        for drawn in draws:
            terms.append(self._work(drawn))
            self.step += 1
            if self.step % LOGGED == 0:
                mean = mean_terms(terms)
                pace = (time.monotonic() - began) / len(terms)
                self._note({"step": self.step, "seconds_per_step": round(pace, 3), **mean})
                self.log(f"step {self.step}/{self.steps}  loss {mean['total']:.4f}  {pace:.2f} s a step, "
                         f"{pace * (self.steps - self.step) / 60:.0f} min to go")
                terms, began = [], time.monotonic()
            if self.step % self.per_epoch == 0 or self.step == self.steps:
                paused = time.monotonic()
                self._validate(self.step // self.per_epoch)
                began += time.monotonic() - paused
            # every process must come to the same decision
            if any(self.processes.gather(time.monotonic() - saved > save_seconds)) or self.step % self.per_epoch == 0:
                self._keep()
                saved = time.monotonic()
        return self._finish()

    def _draw(self, step: int) -> Drawn:
        """The tiles of a step; they depend on the seed, the step's number and the process alone."""
        cycle, rng = self.cycle, np.random.default_rng([self.config.seed, step, self.processes.rank])
        labelled = self.pools.labelled(cycle, rng, self.device) if cycle.cycle_every > 1 else None
        batch = self.pools.batch(cycle, rng, self.device) if step % cycle.cycle_every == 0 else None
        return labelled, batch, rng

    def _draws(self) -> Iterator[Drawn]:
        """Those of each step that is left, the next ones drawn while these are learned from."""
        with ThreadPoolExecutor(1) as thread:
            following = thread.submit(self._draw, self.step)
            for step in range(self.step, self.steps):
                drawn = following.result()
                if step + 1 < self.steps:
                    following = thread.submit(self._draw, step + 1)
                yield drawn

    def _work(self, drawn: Drawn) -> dict[str, float]:
        labelled, batch, rng = drawn
        terms = self.trainer.step(self.step, self.steps, labelled, batch, rng)
        if not np.isfinite(terms["total"]):
            bad = next((k for k, v in terms.items() if not np.isfinite(v)), "total")
            raise RunLost(f"the loss ({bad}) is not a number at step {self.step}; {checkpoint.last_good(self.out)}")
        return terms

    def _validate(self, epoch: int) -> None:
        """Score the averaged G_X2Y with the thresholds that fit it best; keep it, and them, if no epoch was better."""
        if self.processes.first:
            generator = copy.deepcopy(self.trainer.g_xy)
            generator.load_state_dict(self.trainer.ema["g_xy"].state)
            parameters, scores = fitted_scores(generator, self.validation, self.device)
            mean = {}
            for measure in ("aji", "pq", "dice"):
                mean[measure] = round(float(np.mean([getattr(s, measure) for s in scores])), 4)
            # Dice decides while no nucleus is told apart yet
            better = self.best is None or (mean["aji"], mean["dice"]) > (self.best["aji"], self.best["dice"])
            if better:
                self.best = {"epoch": epoch, "step": self.step, **mean, "foreground": parameters.foreground}
                state = {
                    "config": {"network": self.network.as_dict()},
                    "network": generator.state_dict(),
                    "back": self.trainer.ema["g_yx"].state,
                    "best": self.best,
                }
                checkpoint.save(self.out / "best.pt", state)
            self._note({"step": self.step, "epoch": epoch, "validation": mean, "best": better})
            self.log(f"epoch {epoch}  validation AJI {mean['aji']:.4f}  PQ {mean['pq']:.4f}  Dice {mean['dice']:.4f}"
                     f"{'  (best)' if better else ''}")
        self.processes.wait()

    def _keep(self) -> None:
        state = {"config": self.identity, "trainer": self.trainer.state(), "step": self.step, "best": self.best}
        if self.processes.first:
            checkpoint.save(self.out / "checkpoint.pt", state)
        self.processes.wait()

    def _note(self, line: dict) -> None:
        if self.processes.first:
            with open(self.out / "log.jsonl", "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")

    def _forget(self) -> None:
        """Take lines out of the log whose steps will be worked again."""
        path = self.out / "log.jsonl"
        if self.processes.first and path.is_file():
            lines = [json.dumps(line) + "\n" for line in read_lines(path) if line["step"] <= self.step]
            path.write_text("".join(lines), encoding="utf-8")

    def _finish(self) -> Path:
        path = self.out / "weights.pt"
        if self.processes.first:
            if self.best["epoch"] == 0:
                self.log(f"no epoch beat the starting model (validation AJI {self.best['aji']:.4f}), which is kept; "
                         "more steps, more tiles or a lower learning rate may help")
            else:
                self.log(f"kept: epoch {self.best['epoch']} with validation AJI {self.best['aji']:.4f}")
            checkpoint.save(path, torch.load(self.out / "best.pt", weights_only=True, map_location="cpu"))
        self.processes.wait()
        return path
