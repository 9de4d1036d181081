"""One TOML file per experiment; unknown keys are an error.

Relative paths in a configuration are taken from the folder given with `--data`.
"""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass, field
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from hemalum.errors import UsageError
from hemalum_training.config.data import Pseudo, Soft, Tiles, UnlabelledSet
from hemalum_training.config.method import Method
from hemalum_training.config.network import GeneratorConfig
from hemalum_training.config.normalizer import Normalizer
from hemalum_training.config.toml import build, demand, tables

PART_UM2 = 2.5      # smaller parts of a marker are chromatin more often than nuclei
OPEN_LICENCES = ("CC0", "CC BY 4.0", "Apache-2.0")


@dataclass(frozen=True)
class LabelledSet:
    """A folder with `images/*`, `labels/*.png` (16-bit instance maps) and `manifest.csv`.

    Images may be of any kind that Pillow reads.  Without a manifest all are taken.

    Attributes:
        weight: share of the training crops, divided among the set's images.
        mpp: µm/px of the images on disk.
        licence: decides, with `licences` of the configuration, whether the set may train a weight.
        validation: stems, or patients where `patient_column` names the manifest's column, kept for validation.
        exclude: stems that are not used at all.
        labels: the folder of the labels, where a set has them in several conventions.
        unsure: a folder of masks, not 0 where a label may be several nuclei: the foreground is learned there, instances
            are not.
        unknown: a folder of masks, not 0 where nobody knows what a pixel is: nothing is learned there.
        zoom: factor that brings the images to 0.25 µm/px by nuclear size where no mpp is known (1 otherwise).
    """

    licence: str
    weight: float = 1.0
    mpp: float = 0.25
    zoom: float = 1.0
    labels: str = "labels"
    unsure: str | None = None
    unknown: str | None = None
    patient_column: str | None = None
    validation: list[str] = field(default_factory=list)
    exclude: list[str] = field(default_factory=list)

    def __post_init__(self):
        demand("sets.NAME", (min(self.weight, self.mpp, self.zoom) > 0, "weight, mpp and zoom must be above 0"))


@dataclass(frozen=True)
class Schedule:
    """Warm-up, constant rate, then a cosine cool-down over the last `cooldown` steps.

    More steps can be put in before the cool-down.

    `frozen_statistics`: BatchNorm uses and keeps the statistics of the weights begun from, which a few images could
    only spoil.  `blend`: share of the trained weights in the result, the rest are those begun from: the mean of both
    does better on tissue that neither saw (Wortsman et al. 2022, arXiv 2109.01903).  `steady`: weight of the difference
    between a crop's maps and those of the same tissue a few px further; above 0 the crops come in such pairs.  `dirt`:
    share of the crops with dust or pen on them, which is background.
    """

    steps: int = 6000
    warmup: int = 200
    cooldown: int = 1500
    learning_rate: float = 2e-3
    encoder_rate: float = 0.4
    weight_decay: float = 1e-4
    ema: float = 0.998
    batch: int = 8
    crop: int = 192
    clip: float = 5.0
    frozen_statistics: bool = False
    blend: float = 1.0
    steady: float = 0.0
    dirt: float = 0.0

    def __post_init__(self):
        demand("schedule",
               (min(self.steps, self.warmup, self.batch) > 0, "steps, warmup and batch must be at least 1"),
               (0 <= self.learning_rate <= 1 and self.encoder_rate >= 0 and self.weight_decay >= 0,
                "learning_rate must lie within 0 and 1, encoder_rate and weight_decay cannot be negative"),
               (self.clip > 0, "clip must be above 0"),
               (self.crop > 0 and self.crop % 32 == 0, "crop must be a multiple of 32"),
               (self.cooldown >= 0, "cooldown cannot be negative"),
               (0 <= self.ema < 1, "ema must lie within 0 and 1"),
               (self.steady >= 0 and (not self.steady or self.batch % 2 == 0),
                "steady cannot be negative, and needs an even batch"),
               (0 <= self.dirt <= 1, "dirt is a share, from 0 to 1"),
               (0 < self.blend <= 1, "blend must lie above 0 and at most be 1"))


@dataclass(frozen=True)
class Config:
    """A whole experiment.

    Without `pseudo` no student learns from pseudo labels, without `soft` none from the teacher's maps of labelled
    images; without `method` there is no cycle training; with `normalizer` labelled sets may be missing.  `version`,
    `rebuild` and the model whose
    weights it began from (`initial`, "ID VERSION") are told on the model's card, as is `part_um2`, from which size on
    parts of a marker are nuclei of their own (`hemalum.nuclei.markers`; 0: never).
    """

    name: str
    licences: list[str]
    seed: int
    network: GeneratorConfig
    schedule: Schedule
    sets: dict[str, LabelledSet]
    zero_shot: dict[str, LabelledSet]
    unlabelled: dict[str, UnlabelledSet] = field(default_factory=dict)
    tiles: Tiles = field(default_factory=Tiles)
    pseudo: Pseudo | None = None
    soft: Soft | None = None
    method: Method | None = None
    normalizer: Normalizer | None = None
    version: str = "1"
    rebuild: str = ""
    initial: str = ""
    part_um2: float = PART_UM2

    def __post_init__(self):
        demand(
            "top level",
            (self.seed >= 0, "seed cannot be negative"),
            (self.part_um2 >= 0, "part_um2 cannot be negative"),
        )


def load_config(path: Path) -> Config:
    """Read and check a configuration.

    Raises:
        UsageError: unreadable, an unknown key or a wrong value, or a training set whose licence is not among
            `licences`.
    """
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"there is no configuration {path}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}.") from None
    sets = _sets(LabelledSet, table, "sets")
    zero_shot = _sets(LabelledSet, table, "zero_shot")
    unlabelled = _sets(UnlabelledSet, table, "unlabelled")
    network = build(GeneratorConfig, table.pop("network", {}), "network")
    method = Method.from_table(tables(table, "method"), network) if "method" in table else None
    normalizer = Normalizer.from_table(tables(table, "normalizer")) if "normalizer" in table else None
    if method is not None or normalizer is not None:
        network = dataclasses.replace(network, normalization=True)
    parts = {
        "sets": sets,
        "zero_shot": zero_shot,
        "unlabelled": unlabelled,
        "network": network,
        "method": method,
        "normalizer": normalizer,
        "pseudo": build(Pseudo, table.pop("pseudo"), "pseudo") if "pseudo" in table else None,
        "soft": build(Soft, table.pop("soft"), "soft") if "soft" in table else None,
        "tiles": build(Tiles, table.pop("tiles", {}), "tiles"),
        "schedule": build(Schedule, table.pop("schedule", {}), "schedule"),
    }
    defaults = {"name": Path(path).stem, "licences": list(OPEN_LICENCES), "seed": 0}
    config = build(Config, {**defaults, **table, **parts}, "top level")
    if not sets and normalizer is None:
        raise UsageError(f"{path} names no labelled set; add a table [sets.NAME].")
    if both := sorted(set(sets) & set(zero_shot)):
        raise UsageError(
            f"{both[0]} stands in [sets] and in [zero_shot]; zero-shot images come from sets that are not learned from."
        )
    for name, entry in {**sets, **unlabelled}.items():
        if entry.licence not in config.licences:
            raise UsageError(
                f"set {name} has licence “{entry.licence}”, which is not among the configuration's licences; "
                "take it out or add the licence and mark the model accordingly."
            )
    return config


def _sets(kind: type, table: dict, name: str) -> dict:
    """The sets [name.…], by their own names, taken out of the table."""
    return {key: build(kind, entry, f"{name}.{key}") for key, entry in tables(table, name).items()}
