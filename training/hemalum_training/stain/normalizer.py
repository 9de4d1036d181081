"""A generator that translates many stains into one, trained with the method's GAN and cycle losses and without labels.

The same networks and the same step as teacher and student (`cycle.CycleTrainer`), the normalization decoder alone.
Generators work with BatchNorm statistics that are measured once and then frozen: a tile's own statistics are what a
normalization must not forget.
"""

from __future__ import annotations

import dataclasses
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from hemalum.errors import RunLost, UsageError
from hemalum_training.config.config import Config
from hemalum_training.config.method import Cycle
from hemalum_training.config.network import GeneratorConfig
from hemalum_training.data.augment import stain_jitter
from hemalum_training.data.tile_store import load_domains, load_tiles, tile_pixels
from hemalum_training.data.tiles import make_tiles
from hemalum_training.loops import checkpoint
from hemalum_training.loops.averages import Ema
from hemalum_training.loops.cycle_losses import Batch
from hemalum_training.loops.cycle_step import CycleTrainer
from hemalum_training.loops.losses import cycle_loss, gan_generator
from hemalum_training.networks import Generator
from hemalum_training.networks.deployed import load_generator
from hemalum_training.networks.pixels import to_bytes, to_input

LOGGED = 25
SHOWN = 6  # tiles in the page of samples
MEASURED = 32  # crops


@dataclass(frozen=True)
class Picture:
    """Pixels to draw crops from, uint8 h×w×3, drawn in proportion to `weight`."""

    pixels: np.ndarray
    weight: float = 1.0


class ColourTrainer(CycleTrainer):
    """The cycle step for images without labels: GAN, cycle and identity losses."""

    @torch.no_grad()
    def measure(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """BatchNorm statistics from real crops, once.

        Without them the features of an untrained network fade from layer to layer.
        """
        for name, images in (("g_xy", x), ("g_yx", y)):
            generator = getattr(self, name)
            layers = [m for m in generator.modules() if isinstance(m, torch.nn.BatchNorm2d)]
            for layer in layers:
                layer.momentum = 1.0
            generator.train()
            normalized(generator, images)
            self.ema[name] = Ema(generator, self.cycle.ema)

    def generator_terms(self, batch: Batch) -> tuple[dict[str, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
        for generator in (self.g_xy, self.g_yx):
            generator.eval()
        fake_y, fake_x = normalized(self.g_xy, batch.x), normalized(self.g_yx, batch.y)
        terms = {"gan": gan_generator(self._judge(self.d_y, fake_y)) + gan_generator(self._judge(self.d_x, fake_x)),
                 "cycle": cycle_loss(batch.x, normalized(self.g_yx, fake_y), batch.y, normalized(self.g_xy, fake_x))}
        if self.cycle.lambda_identity:
            same_y, same_x = normalized(self.g_xy, batch.y), normalized(self.g_yx, batch.x)
            terms["identity"] = F.l1_loss(same_y, batch.y) + F.l1_loss(same_x, batch.x)
        return terms, (fake_x, fake_y)


def normalized(generator: Generator, image: torch.Tensor) -> torch.Tensor:
    """The normalized tile alone, N×3×H×W in [-1, 1]."""
    return generator(image, segmentation=False, normalized=True)["normalized"]


@torch.inference_mode()
def translate(generator: Generator, pixels: np.ndarray) -> np.ndarray:
    """uint8 H×W×3 → uint8 H×W×3 in the target stain; sides are mirrored up to multiples of 32."""
    height, width = pixels.shape[:2]
    padded = np.pad(pixels, ((0, -height % 32), (0, -width % 32), (0, 0)), mode="symmetric")
    out = to_bytes(normalized(generator, to_input(padded[None]).contiguous(memory_format=torch.channels_last)))
    return out[0].permute(1, 2, 0).numpy()[:height, :width]


def random_crops(pictures: list[Picture], crop: int, count: int, rng: np.random.Generator,
                 jitter: float = 0.0) -> torch.Tensor:
    """`count` crops, flipped and turned by right angles, some in a jittered stain: N×3×crop×crop in [-1, 1]."""
    weights = np.array([p.weight for p in pictures])
    out = []
    for i in rng.choice(len(pictures), count, p=weights / weights.sum()):
        pixels = pictures[i].pixels
        y, x = (int(rng.integers(side - crop + 1)) for side in pixels.shape[:2])
        part = np.rot90(pixels[y:y + crop, x:x + crop], rng.integers(4))
        part = part[:, ::-1] if rng.random() < 0.5 else part
        out.append(stain_jitter(part, rng, jitter) if jitter and rng.random() < 0.5 else part)
    return to_input(np.stack(out)).contiguous(memory_format=torch.channels_last)


def train_generator(network: GeneratorConfig, cycle: Cycle, x: list[Picture], y: list[Picture], *, out: Path,
                    seed: int, save_seconds: float = 120, log=print) -> Path:
    """Train until `epochs · steps_per_epoch` steps, going on from `out/checkpoint.pt`.

    Returns `out/weights.pt`, the averaged generator X→Y.

    Raises:
        UsageError: a domain is empty, or has no picture as large as a crop.
        RunLost: a loss is not finite; the last checkpoint stays.
    """
    for name, pictures in (("X", x), ("Y", y)):
        if not pictures or smallest_side(pictures) < cycle.crop:
            raise UsageError(f"domain {name} is empty or holds pictures smaller than a crop of {cycle.crop} px; "
                             "add tiles or lower crop.")
    out.mkdir(parents=True, exist_ok=True)
    if (out / "weights.pt").is_file():
        return out / "weights.pt"
    trainer = ColourTrainer(network, cycle, seed)
    steps, step = cycle.epochs * cycle.steps_per_epoch, 0
    identity = {"seed": seed}
    identity |= {f"network.{key}": value for key, value in network.as_dict().items()}
    for key, value in dataclasses.asdict(cycle).items():
        if key not in checkpoint.FREE:
            identity[f"cycle.{key}"] = value
    if state := checkpoint.load(out / "checkpoint.pt", identity):
        trainer.load_state(state["trainer"])
        step = state["step"]
        log(f"resumed at step {step}")
    else:
        rng = np.random.default_rng(seed)
        crops_x = random_crops(x, cycle.crop, MEASURED, rng, cycle.stain_jitter)
        trainer.measure(crops_x, random_crops(y, cycle.crop, MEASURED, rng))
    saved, began, since = time.monotonic(), time.monotonic(), []
    while step < steps:
        rng = np.random.default_rng([seed, step])
        crops_x = random_crops(x, cycle.crop, cycle.batch, rng, cycle.stain_jitter)
        batch = unlabelled_batch(crops_x, random_crops(y, cycle.crop, cycle.batch, rng))
        losses = trainer.step(step, steps, None, batch, rng)
        if not np.isfinite(losses["total"]):
            raise RunLost(f"a loss is not a number at step {step}; "
                          f"the last good checkpoint is {out / 'checkpoint.pt'}, "
                          "lower the learning rate and run again.")
        step += 1
        since.append(losses)
        if step % LOGGED == 0 or step == steps:
            means = {}
            for name in since[0]:
                means[name] = round(float(np.mean([terms[name] for terms in since])), 5)
            with open(out / "log.jsonl", "a", encoding="utf-8") as file:
                line = {"step": step, **means, "seconds": round(time.monotonic() - began, 1)}
                file.write(json.dumps(line) + "\n")
            log(f"step {step}/{steps}  " + "  ".join(f"{k} {v:.3f}" for k, v in means.items()))
            since = []
        if time.monotonic() - saved > save_seconds or step == steps:
            checkpoint.save(out / "checkpoint.pt", {"config": identity, "trainer": trainer.state(), "step": step})
            saved = time.monotonic()
    averaged = trainer.ema["g_xy"].state
    checkpoint.save(out / "weights.pt", {"config": {"network": network.as_dict()}, "network": averaged})
    _samples(load_generator(out / "weights.pt"), x, out / "samples.png", seed)
    return out / "weights.pt"


def unlabelled_batch(x: torch.Tensor, y: torch.Tensor) -> Batch:
    """Tiles of both domains, N×3×c×c, of which none has a label."""
    none, nowhere = torch.zeros(0), torch.zeros(len(x), dtype=torch.bool)
    return Batch(x=x, x_targets=none, x_labelled=nowhere, y=y, y_targets=none, y_pseudo=nowhere, own=x[:0])


def smallest_side(pictures: list[Picture]) -> int:
    return min(min(picture.pixels.shape[:2]) for picture in pictures)


def train_normalizer(config: Config, data: Path, out: Path, log=print) -> Path:
    """S1 tiles of the configuration's unlabelled sets, then `train_generator` on both domains, into OUT/normalizer."""
    if config.normalizer is None:
        raise UsageError(f"configuration {config.name} has no table [normalizer]; "
                         "add one, see training/configs/normalizer.toml.")
    if not (out / "tiles" / "manifest.csv").is_file():
        make_tiles(config, data, out, log)
    log(f"domain Y is {load_domains(out).rule}")
    pictures: dict[str, list[Picture]] = {"X": [], "Y": []}
    for tile in load_tiles(out):
        if tile.part == "train" and tile.weight > 0:
            pictures[tile.domain].append(Picture(tile_pixels(out, tile.tile), tile.weight))
    return train_generator(
        config.network.with_weights_in(data),
        config.normalizer.cycle,
        pictures["X"],
        pictures["Y"],
        out=out / "normalizer",
        seed=config.seed,
        log=log,
    )


def _samples(generator: Generator, pictures: list[Picture], path: Path, seed: int) -> None:
    """A page: tiles above, the same tiles in the target stain below."""
    drawn = np.random.default_rng(seed).choice(len(pictures), min(SHOWN, len(pictures)), replace=False)
    side = smallest_side([pictures[i] for i in drawn])
    tiles = [pictures[i].pixels[:side, :side] for i in drawn]
    rows = [np.hstack(tiles), np.hstack([translate(generator, tile) for tile in tiles])]
    Image.fromarray(np.vstack(rows)).save(path)
