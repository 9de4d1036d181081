"""What an improvement is to do, written down at its first start, and what it will cost."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

import shapely
import torch

from hemalum import __version__
from hemalum.errors import UsageError
from hemalum.files import commit_json, read_json
from hemalum.models import Model
from hemalum.projects.annotations import read
from hemalum.projects.export import assign
from hemalum.projects.sources import AnnotatedSlide
from hemalum_training.config.config import Schedule
from hemalum_training.config.network import GeneratorConfig
from hemalum_training.loops.checkpoint import initial_weights
from hemalum_training.loops.losses import segmentation_loss
from hemalum_training.networks import Generator

REQUEST = "improve.json"
STATES = 4          # weights, two moments, averaged weights: what a checkpoint holds of each number


@dataclass(frozen=True)
class Request:
    """Slides with corrected nuclei, the model to begin from, and the id of the new one.

    Attributes:
        validation: share of patients (or slides) kept apart for the verdict.
        unlabelled: tissue tiles without labels a training slide.
        pseudo: learn also from pseudo labels that the model in use gives the user's own unlabelled tissue.
        full: a configuration of `hemalum train all`; the whole of it is trained, with the slides as a further set,
            instead of fine-tuning.  data: the folder that holds its sets.
    """

    sources: list[AnnotatedSlide]
    base: Model
    name: str
    schedule: Schedule
    validation: float = 0.2
    unlabelled: int = 20
    pseudo: bool = True
    full: Path | None = None
    data: Path | None = None

    def record(self) -> dict:
        """Everything the result depends on, as plain values."""
        return {
            "hemalum": __version__,
            "model": self.base.id,
            "model_sha256": self.base.digest,
            "name": self.name,
            "schedule": vars(self.schedule),
            "validation": self.validation,
            "unlabelled": self.unlabelled,
            "pseudo": self.pseudo,
            "full": _digest(self.full) if self.full else None,
            "slides": [_slide_record(source) for source in self.sources],
        }


def _slide_record(source: AnnotatedSlide) -> dict:
    return {
        "image": source.image.name,
        "bytes": source.image.stat().st_size,
        "patient": source.patient,
        "mpp": source.mpp,
        "annotations": _digest(source.annotations),
    }


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def fine_tuning(steps: int) -> Schedule:
    """A schedule that begins from a trained model.

    Half the usual rate, half of the steps cooling down, a quarter of the pixels, BatchNorm as it is.  A few hundred
    nuclei are soon known by heart: a quarter of the way to the trained weights does better on tissue kept apart.
    """
    return Schedule(
        steps=steps,
        warmup=min(40, max(1, steps // 10)),
        cooldown=steps // 2,
        learning_rate=1e-3,
        batch=4,
        crop=128,
        frozen_statistics=True,
        blend=0.25,
    )


def fix(request: Request, out: Path, write: bool = True) -> None:
    """Write the request into `out`, or compare it with the one there.

    Raises:
        UsageError: the folder holds another improvement; names what differs.
    """
    now, kept = json.loads(json.dumps(request.record())), read_json(out / REQUEST)
    if kept is None:
        if write:
            out.mkdir(parents=True, exist_ok=True)
            commit_json(out / REQUEST, now)
        return
    for key, value in now.items():
        if kept.get(key) != value:
            what = f"its {key} is {kept.get(key)!r}, not {value!r}"
            if key == "slides":
                what = "annotations or slides have changed"
            raise UsageError(f"{out} holds an improvement begun otherwise: {what}; "
                             "go on with -o ANOTHER_FOLDER or restore it")


@dataclass(frozen=True)
class ImprovementPlan:
    """What will be done and what it costs; see `lines`.

    Attributes:
        regions, nuclei: images with Complete regions to learn from, and the nuclei in them.
        kept, kept_nuclei: patients or slides kept apart for the verdict, and the nuclei in their regions.
        seconds: of the training, None where it is a whole configuration's.
        megabytes: of disk.
    """

    request: Request
    regions: int
    nuclei: int
    kept: list[str]
    kept_nuclei: int
    seconds: float | None
    megabytes: float

    def lines(self) -> list[str]:
        """Sentences for the user."""
        request, base = self.request, self.request.base
        learned = f"{self.nuclei} nuclei in {self.regions} images with Complete regions"
        if request.full:
            lines = [
                f"train: the whole of {request.full.name}, with {learned}; the new model will be called {request.name}",
                f"compare with: {base.id} {base.card.version}",
                "time: as long as `hemalum train all` takes, hours at least",
            ]
        else:
            if request.pseudo:
                learned += f", and pseudo labels on up to {request.unlabelled} tiles of unlabelled tissue a slide"
            lines = [
                f"begin from: {base.id} {base.card.version} ({base.card.licence['weights']}); "
                f"the new model will be called {request.name}",
                f"learn from: {learned}",
                f"time: about {max(1, self.seconds / 60):.0f} min for {request.schedule.steps} steps as measured here, "
                "some minutes to export and judge",
            ]
        lines.append(f"keep apart for the verdict: {', '.join(self.kept)} ({self.kept_nuclei} nuclei)")
        lines.append(f"disk: about {self.megabytes:.0f} MB")
        return lines


def make_plan(request: Request, out: Path, device: str = "cpu") -> ImprovementPlan:
    """Check what can be checked before any work, and measure a training step.

    Raises:
        UsageError: nothing is annotated; nothing could be kept apart; the id is taken by the model to begin from; too
            little disk.
        DamagedModel: of the model to begin from.
    """
    base = request.base
    if request.name == base.id:
        raise UsageError(f"the new model cannot be called {base.id} like the one it begins from; "
                         "choose another --name")
    weights = initial_weights(base.folder)
    parts = _annotated(request)
    if not parts["validation"].images:
        raise UsageError("the verdict needs regions kept apart, and only one patient or slide has a Complete "
                         "annotation; annotate one more")
    for part, purpose in (("train", "to learn from"), ("validation", "kept apart for the verdict")):
        if not parts[part].nuclei:
            raise UsageError(f"the Complete regions {purpose} hold no nucleus; "
                             "correct nuclei there, or annotate more regions")
    megabytes = _megabytes(request, weights, parts)
    free = _free_megabytes(out)
    if free < megabytes:
        raise UsageError(f"{out} needs about {megabytes:.0f} MB and {free:.0f} MB are free; "
                         "free some or choose another folder with -o")
    seconds = None
    if not request.full:
        seconds = request.schedule.steps * step_seconds(network_of(base), request.schedule, device)
    return ImprovementPlan(
        request=request,
        regions=parts["train"].images,
        nuclei=parts["train"].nuclei,
        kept=sorted(parts["validation"].owners),
        kept_nuclei=parts["validation"].nuclei,
        seconds=seconds,
        megabytes=megabytes,
    )


@dataclass
class Annotated:
    """Images with Complete regions, the nuclei in these, and whose they are: patients, or slides."""

    images: int = 0
    nuclei: int = 0
    owners: set[str] = field(default_factory=set)


def _annotated(request: Request) -> dict[str, Annotated]:
    """What is annotated of the parts "train" and "validation"."""
    annotations = [read(source.annotations) for source in request.sources]
    owners, part_of = assign(request.sources, annotations, request.validation)
    parts = {"train": Annotated(), "validation": Annotated()}
    for owner, slide in zip(owners, annotations, strict=True):
        if not slide.region.area:
            continue
        part = parts[part_of[owner]]
        part.images += 1
        part.owners.add(owner)
        if slide.nuclei:
            shapely.prepare(slide.region)
            part.nuclei += int(shapely.intersects(slide.region, slide.nuclei).sum())
    return parts


def _megabytes(request: Request, weights: dict[str, torch.Tensor], parts: dict[str, Annotated]) -> float:
    """Of disk that an improvement takes: checkpoints and package, tiles, labelled images."""
    numbers = sum(value.numel() for value in weights.values())
    tiles = request.unlabelled * len(request.sources)
    images = sum(part.images for part in parts.values())
    return (2 * STATES * 4 + 12) * numbers / 1e6 + 0.8 * tiles + 2.0 * images


def _free_megabytes(out: Path) -> float:
    existing = next(folder for folder in (out, *out.resolve().parents) if folder.exists())
    return shutil.disk_usage(existing).free / 1e6


def network_of(model: Model) -> GeneratorConfig:
    """The configuration that the model's `weights.safetensors` names.

    Raises:
        UsageError: it names none.
    """
    content = model.verified("weights.safetensors")
    length = int.from_bytes(content[:8], "little")
    described = json.loads(content[8:8 + length]).get("__metadata__", {}).get("network")
    if described is None:
        raise UsageError(f"the weights of model {model.id} do not say which network they are for; "
                         "begin from another model")
    return GeneratorConfig(**json.loads(described))


def step_seconds(network: GeneratorConfig, schedule: Schedule, device: str = "cpu") -> float:
    """Seconds of one training step here: the second of two on noise."""
    generator = Generator(network, imagenet=False).to(device, memory_format=torch.channels_last).train()
    side = schedule.crop * network.fold
    x = torch.randn(schedule.batch, 3, side, side, device=device).contiguous(memory_format=torch.channels_last)
    targets = torch.rand(schedule.batch, 2, 2 * schedule.crop, 2 * schedule.crop, device=device).round()
    for _ in range(2):
        began = time.monotonic()
        segmentation_loss(generator(x)["segmentation"], targets).backward()
        taken = time.monotonic() - began
    return taken
