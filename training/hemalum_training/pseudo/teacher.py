"""A teacher in use: what it finds on a tile seen in several orientations and stains.

A model package runs through the server's engine, as it ships; a trained `weights.pt` runs in torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from hemalum.engine import open_engine
from hemalum.errors import UsageError
from hemalum.nuclei.instances import InstanceParameters
from hemalum.stain.estimation import Stain
from hemalum.stain.table import apply_table, colour_table
from hemalum_training.config.data import Pseudo
from hemalum_training.data.augment import enlarged, stain_jitter
from hemalum_training.data.labelled import distance_map
from hemalum_training.loops.checkpoint import model_of
from hemalum_training.networks import Generator
from hemalum_training.networks.deployed import HALO, Deployed, load_generator
from hemalum_training.pseudo.rules import TileScores, score_tile
from hemalum_training.pseudo.views import averaged_maps
from hemalum_training.scoring.packages import instance_parameters
from hemalum_training.scoring.predict import MPP, Prediction, fitted_parameters, predict

FLIPS = (lambda a: a, lambda a: a[:, ::-1], lambda a: a[::-1], lambda a: a[::-1, ::-1])
MULTIPLE = 32


@dataclass(frozen=True)
class Teacher:
    """Who labels.

    Attributes:
        name: for records; changes with the weights.
        maps: uint8 N×H×W×3, cores with a mirrored halo of 64 px → float32 N×c×sH×sW, foreground probability and (c = 2)
            distance.
        parameters: of the instance step.
        generator: where there is a normalization decoder, else None.
        device: of the generator.
        fold: the maps' input is `fold` times finer than 0.5 µm/px.
    """

    name: str
    maps: Callable[[np.ndarray], np.ndarray]
    parameters: InstanceParameters
    generator: Generator | None = None
    device: str = "cpu"
    fold: int = 1


def load_teacher(out: Path, init: str | None = None, device: str = "cpu") -> Teacher:
    """OUT/teacher if it is trained, else the model, in full precision, or the weights named by `init`.

    Raises:
        UsageError: there is neither; UnknownModel, DamagedModel: as `hemalum.models.find`.
    """
    own = Path(out) / "teacher" / "weights.pt"
    if own.is_file() or (init and Path(init).is_file()):
        return from_weights(own if own.is_file() else Path(init), device)
    if init is None:
        raise UsageError(f"there is no teacher {own}; run `hemalum train teacher` first or name a model with --init.")
    model = model_of(init)
    engine = open_engine(model, "cuda") if device.startswith("cuda") else open_engine(model, "cpu", precision="fp32")
    return Teacher(
        name=f"model {model.id} {model.card.version}, {engine.precision}",
        maps=lambda pixels: np.concatenate([engine.maps(tile[None]) for tile in pixels]),
        parameters=instance_parameters(model.card.thresholds),
        fold=round(MPP / model.card.mpp),
    )


def from_weights(path: Path, device: str = "cpu") -> Teacher:
    """The teacher of a `weights.pt`, with the thresholds that were chosen with its epoch."""
    generator = load_generator(path).to(device, memory_format=torch.channels_last)
    module = Deployed(generator)

    @torch.inference_mode()
    def maps(pixels: np.ndarray) -> np.ndarray:
        return module(torch.from_numpy(pixels).to(device)).cpu().numpy()

    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    return Teacher(
        name=f"{path.parent.name}/{path.name} {digest}",
        maps=maps,
        parameters=fitted_parameters(path),
        generator=generator if generator.normalization is not None else None,
        device=device,
        fold=generator.config.fold,
    )


def view_maps(teacher: Teacher, pixels: np.ndarray, jitters: int, strength: float,
              seed: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Maps of a tile seen in four orientations and in `jitters` other stains.

    Args:
        pixels: uint8 h×w×3 at 0.5 µm/px.

    Returns:
        foreground and distance, each float32 v×2h×2w (the first is the plain pass, the first four are the flips),
        turned back to the tile; distance is None for a decoder of one channel.
    """
    height, width = pixels.shape[:2]
    rng = np.random.default_rng(seed)
    turns = [*range(4), *(int(t) for t in rng.integers(0, 4, jitters))]
    below, right = HALO + -height % MULTIPLE, HALO + -width % MULTIPLE
    padded = cv2.copyMakeBorder(pixels, HALO, below, HALO, right, cv2.BORDER_REFLECT_101)
    stained = [padded] * 4 + [stain_jitter(padded, rng, strength) for _ in range(jitters)]
    views = []
    for turn, view in zip(turns, stained, strict=True):
        views.append(np.ascontiguousarray(FLIPS[turn](enlarged(view, teacher.fold))))
    maps = teacher.maps(np.stack(views)).transpose(0, 2, 3, 1)
    maps = [FLIPS[turn](view) for turn, view in zip(turns, maps, strict=True)]
    size = (2 * padded.shape[1], 2 * padded.shape[0])
    if maps[0].shape[1] != size[0]:
        maps = [cv2.resize(np.ascontiguousarray(m), size).reshape(*size[::-1], -1) for m in maps]
    core = np.stack([m[2 * HALO:2 * (HALO + height), 2 * HALO:2 * (HALO + width)] for m in maps])
    return core[..., 0], core[..., 1] if core.shape[-1] > 1 else None


def label_tile(teacher: Teacher, pixels: np.ndarray, table: Pseudo,
               seed: int) -> tuple[np.ndarray, TileScores, list[np.ndarray]]:
    """What the teacher makes of a tile, at 0.25 µm/px.

    Returns:
        nuclei from the mean of its flips, int32 2h×2w; what the rules see of it; foreground and distance, uint8 2h×2w:
        255 · the mean over all views (those of `table.views` where there are some), the distance from the nuclei where
        the teacher has no such channel.
    """
    foreground, distance = view_maps(teacher, pixels, table.jitters, table.jitter, seed)

    def nuclei(foreground: np.ndarray, distance: np.ndarray | None) -> np.ndarray:
        if distance is not None:
            distance = np.ascontiguousarray(distance)
        return Prediction(np.ascontiguousarray(foreground), distance, None).labels(teacher.parameters)

    labels = nuclei(foreground[:4].mean(0), None if distance is None else distance[:4].mean(0))
    of_views = []
    for i, view in enumerate(foreground):
        of_views.append(nuclei(view, None if distance is None else distance[i]))
    threshold = teacher.parameters.foreground
    scores = score_tile(foreground[0], foreground, labels, of_views, band=table.band, threshold=threshold)
    soft = foreground.mean(0), distance_map(labels) if distance is None else distance.mean(0)
    if table.views and distance is not None:
        soft = averaged_maps(teacher, enlarged(pixels, 2), table.views, seed)
    maps = [(255 * one.clip(0, 1)).round().astype(np.uint8) for one in soft]
    return labels, scores, maps


def normalized_tile(teacher: Teacher, pixels: np.ndarray, stain: Stain, reference: Stain) -> np.ndarray:
    """The pseudo-Y image, uint8 h×w×3: by the teacher's normalization decoder if it has one, else by a colour table."""
    if teacher.generator is None:
        return apply_table(pixels, colour_table(stain, reference))
    return predict(teacher.generator, pixels, normalized=True, device=teacher.device).normalized
