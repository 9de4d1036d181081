"""Training with labels alone: the generator's segmentation branch, cycle losses off."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import torch

from hemalum.errors import RunLost, UsageError
from hemalum_training.config.config import Config, Schedule
from hemalum_training.data.augment import sample_batch, sample_shifted
from hemalum_training.data.labelled import digest_of, load_labelled, load_zero_shot
from hemalum_training.data.pseudo_store import StoredTile, load_pseudo
from hemalum_training.data.soft_store import soft_images
from hemalum_training.data.twins import refuse_conflicts, refuse_shared
from hemalum_training.loops import checkpoint
from hemalum_training.loops.averages import Ema, blend
from hemalum_training.loops.losses import fit_targets, segmentation_loss, shift_loss
from hemalum_training.networks import Generator
from hemalum_training.networks.pixels import to_input
from hemalum_training.scoring.predict import better


def rate(step: int, schedule: Schedule) -> float:
    """Learning-rate factor of a step: linear warm-up, 1, cosine to 0.01 in the cool-down."""
    left = schedule.steps - step
    cool = 0.505 + 0.495 * math.cos(math.pi * (1 - left / schedule.cooldown)) if left < schedule.cooldown else 1.0
    return min(1.0, (step + 1) / schedule.warmup) * cool


def _pseudo_tiles(config: Config, out: Path, images: list) -> list:
    """The kept tiles of OUT/pseudo, with weights such that the share [pseudo] weight of all crops comes from them."""
    kept, share = load_pseudo(out), config.pseudo.weight
    each = sum(image.weight for image in images) * share / (1 - share) / len(kept)
    return [StoredTile.of(tile, config.pseudo, each) for tile in kept]


def batches(config: Config, images: list, step: int) -> Iterator[tuple]:
    """Pixels, targets, places of pairs (None without `steady`) and window offset of each step from `step` on.

    The next one is drawn while this one is learned from.  A step's batch depends on the seed and its number alone.
    """
    schedule, weights = config.schedule, np.array([image.weight for image in images])
    weights /= weights.sum()

    def draw(step: int):
        rng = np.random.default_rng([config.seed, step])
        sample = sample_shifted if schedule.steady else sample_batch
        pixels, targets, *places = sample(images, weights, schedule.crop, schedule.batch, rng,
                                          fold=config.network.fold, dirt=schedule.dirt)
        return pixels, targets, places[0] if places else None, tuple(int(v) for v in rng.integers(0, 8, 2))

    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(draw, step)
        for number in range(step, schedule.steps):
            batch = following.result()
            if number + 1 < schedule.steps:
                following = pool.submit(draw, number + 1)
            yield batch


def train_supervised(config: Config, data: Path, out: Path, device: str = "cpu", init: str | None = None,
                     save_seconds: float = 120, log=print) -> Path:
    """Train until `schedule.steps`, resuming from `out/checkpoint.pt`; returns the path of the EMA `out/weights.pt`.

    With a table [soft] the teacher's maps of OUT/soft are learned from too, with [pseudo] the kept tiles of OUT/pseudo.
    Before the cool-down begins the state is
    kept as `out/stable.pt`: a later run with more steps goes on from there.  Weights begun from (`init`) are kept where
    the training does not beat them on the validation images.

    Raises:
        UsageError: no image to learn from, one that is also kept apart, or a checkpoint of another configuration.
        RunLost: the loss is not finite; the last checkpoint stays.
    """
    shape = config.network.with_weights_in(data)
    out.mkdir(parents=True, exist_ok=True)
    schedule = config.schedule
    torch.manual_seed(config.seed)
    cv2.setNumThreads(0)
    images, validation = load_labelled(config, data), load_labelled(config, data, "validation")
    if not images:
        raise UsageError(f"configuration {config.name} names no labelled set to learn from; add a table [sets.NAME].")
    refuse_shared(images, validation + load_zero_shot(config, data))
    refuse_conflicts(images)
    identity = made_with(config) | {"learned from": digest_of(images)}
    if config.soft is not None:
        images = images + soft_images(images, out, config.soft.share)
    if config.pseudo is not None:
        images += _pseudo_tiles(config, out, images)
        log(f"{len(images)} images, {config.pseudo.weight:.0%} of the crops from pseudo-labelled tiles")
    network = Generator(shape).to(device, memory_format=torch.channels_last)
    checkpoint.note_initial(init, out)
    if init is not None:
        network.begin_from(checkpoint.initial_weights(init))
    start = {k: v.clone() for k, v in network.state_dict().items()}
    encoder = {id(p) for p in network.encoder.parameters()}
    groups = [{"params": list(network.encoder.parameters()), "part": schedule.encoder_rate},
              {"params": [p for p in network.parameters() if id(p) not in encoder], "part": 1.0}]
    optimizer = torch.optim.AdamW(groups, lr=schedule.learning_rate, weight_decay=schedule.weight_decay, fused=True)
    ema = Ema(network, schedule.ema)
    step, turn = 0, schedule.steps - schedule.cooldown
    state, stable = (checkpoint.load(out / name, identity) for name in ("checkpoint.pt", "stable.pt"))
    if stable and (stable["step"] <= turn if state is None else stable["step"] < turn < state["step"]):
        state = stable
    if state:
        network.load_state_dict(state["weights"])
        optimizer.load_state_dict(state["optimizer"])
        ema.state, step = state["ema"], state["step"]
        log(f"resumed at step {step}")

    def keep(name: str) -> None:
        checkpoint.save(out / name, {"config": identity, "weights": network.state_dict(),
                                     "optimizer": optimizer.state_dict(), "ema": ema.state, "step": step})

    network.train()
    if schedule.frozen_statistics:
        for norm in network.modules():
            if isinstance(norm, torch.nn.BatchNorm2d):
                norm.eval()
    saved, began, losses = time.monotonic(), time.monotonic(), []
    for pixels, targets, places, offset in batches(config, images, step):
        for group in optimizer.param_groups:
            group["lr"] = schedule.learning_rate * group["part"] * rate(step, schedule)
        x = to_input(pixels, device).contiguous(memory_format=torch.channels_last)
        logits = network(x, offset)["segmentation"]
        loss = segmentation_loss(logits, fit_targets(torch.from_numpy(targets).to(device), logits))
        if places is not None:
            loss = loss + schedule.steady * shift_loss(logits, places)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if not torch.isfinite(loss + torch.nn.utils.clip_grad_norm_(network.parameters(), schedule.clip)):
            raise RunLost(f"the loss or its gradient is not a number at step {step}; {checkpoint.last_good(out)}")
        optimizer.step()
        step += 1
        ema.update(network, step)
        losses.append(loss.item())
        if step % 50 == 0:
            seconds, mean = time.monotonic() - began, float(np.mean(losses))
            line = {"step": step, "loss": round(mean, 5), "seconds": round(seconds),
                    "lr": optimizer.param_groups[1]["lr"]}
            with open(out / "log.jsonl", "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            log(f"step {step}/{schedule.steps}  loss {mean:.4f}  "
                f"{seconds / len(losses):.2f} s in {len(losses)} steps")
            losses = []
            began = time.monotonic()
        if step == turn:
            keep("stable.pt")
        if time.monotonic() - saved > save_seconds or step == schedule.steps:
            keep("checkpoint.pt")
            saved = time.monotonic()
    end = ema.state if init is None else blend(start, ema.state, schedule.blend)
    kept = end if init is None or not validation else better(network, start, end, validation, device, log)
    checkpoint.save(out / "weights.pt", {"config": identity, "network": kept})
    return out / "weights.pt"


def made_with(config: Config) -> dict:
    """What a checkpoint must have been made with; the rates, the steps and the weight of `steady` may change."""
    free = {"steps", "cooldown", "warmup", "blend", "steady", *checkpoint.FREE}
    return {"seed": config.seed, "network": config.network.as_dict(),
            "encoder weights": Path(config.network.encoder_weights).name,
            "sets": {k: dataclasses.asdict(v) for k, v in config.sets.items()},
            "schedule": {k: v for k, v in dataclasses.asdict(config.schedule).items() if k not in free},
            "pseudo": dataclasses.asdict(config.pseudo) if config.pseudo else {},
            "soft": dataclasses.asdict(config.soft) if config.soft else {}}
