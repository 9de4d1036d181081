"""The tables [method.…] of a configuration: cycle training and experiments.

METHOD names what the patent leaves open.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

from hemalum.errors import UsageError
from hemalum_training.config.data import Pseudo
from hemalum_training.config.network import GeneratorConfig
from hemalum_training.config.toml import build, demand

NORMALIZATIONS = ("instance", "spectral", "none")    # of a discriminator
WEIGHTS = ("lambda_gan", "lambda_cycle", "lambda_identity", "lambda_segmentation", "dice", "distance", "consistency",
           "stain_jitter")


@dataclass(frozen=True)
class Cycle:
    """Training of two generators and two discriminators.

    Attributes:
        epochs, steps_per_epoch: optimizer steps; 0 steps per epoch means as many as X has images and tiles, labelled or
            not.
        batch, crop: images of each domain in a step, and their side in px at 0.5 µm/px (a multiple of 32).
        cycle_every: 1 is the patent's scheme.  Above it, every step trains the segmentation of G_X2Y alone on `batch`
            labelled tiles, and every so many steps a step of the whole scheme is added, on `cycle_batch` tiles of each
            domain and `cycle_crop` px (0: as `batch` and `crop`).
        lambda_gan, lambda_cycle, lambda_segmentation: the patent's λ (values are ours, it gives none); lambda_identity:
            weight of the identity loss, absolute; dice, distance: weights of the added segmentation terms (0: the
            patent's BCE).
        cycle_segmentation: hand labels also supervise the cycle passes.  identity_segmentation: hand labels of Y also
            supervise G_X2Y, which in the patent never sees them.  pseudo_own, pseudo_cycle: pseudo masks supervise
            G_X2Y on the tile's own image and on G_X2Y(G_Y2X(y)).  consistency: weight of agreement between a tile's
            segmentation and its translation's (claim 6).
        pseudo_share: share of pseudo tiles among the Y tiles, and of unlabelled ones among the X tiles, of a step.
        pseudo_added: in a step of segmentation alone, pseudo tiles come beside the labelled ones, not in their place
            (as in Sohn et al. 2020, arXiv 2001.07685).
        stain_jitter: strength of stain augmentation on X.  turned: crops are mirrored and turned.
        pool: images in each replay pool.  decay_start: share of the steps at the full rate, then linear to zero.
        ema: decay of the averaged generators, which are what is validated and kept.
        amp: "none" or "bf16".  gradient_checkpointing: recompute activations in the backward pass.
    """

    epochs: int = 200
    steps_per_epoch: int = 0
    batch: int = 1
    crop: int = 256
    cycle_every: int = 1
    cycle_batch: int = 0
    cycle_crop: int = 0
    learning_rate: float = 2e-4
    beta1: float = 0.5
    beta2: float = 0.999
    decay_start: float = 0.5
    clip: float = 5.0
    lambda_gan: float = 1.0
    lambda_cycle: float = 10.0
    lambda_identity: float = 5.0
    lambda_segmentation: float = 10.0
    dice: float = 0.5
    distance: float = 2.0
    cycle_segmentation: bool = False
    identity_segmentation: bool = False
    pseudo_own: bool = True
    pseudo_cycle: bool = True
    consistency: float = 0.0
    pseudo_share: float = 0.5
    pseudo_added: bool = False
    stain_jitter: float = 1.0
    turned: bool = True
    pool: int = 50
    ema: float = 0.995
    discriminator_width: int = 64
    discriminator_normalization: str = "instance"
    amp: str = "none"
    gradient_checkpointing: bool = False

    def __post_init__(self):
        demand("method.cycle",
               (self.amp in ("none", "bf16"), "amp must be “none” or “bf16”"),
               (self.crop > 0 and self.crop % 32 == self.cycle_crop % 32 == 0,
                "crop and cycle_crop must be multiples of 32"),
               (min(self.epochs, self.batch, self.cycle_every) > 0, "epochs, batch and cycle_every must be at least 1"),
               (min(self.steps_per_epoch, self.cycle_batch, self.cycle_crop, self.pool) >= 0,
                "steps_per_epoch, cycle_batch, cycle_crop and pool cannot be negative"),
               (0 <= self.learning_rate <= 1 and self.clip > 0, "learning_rate must lie within 0 and 1, clip above 0"),
               (0 <= self.beta1 < 1 and 0 <= self.beta2 < 1, "beta1 and beta2 must lie within 0 and 1"),
               *((getattr(self, key) >= 0, f"{key} cannot be negative") for key in WEIGHTS),
               (0 <= self.decay_start <= 1 and 0 <= self.pseudo_share <= 1,
                "decay_start and pseudo_share must lie within 0 and 1"),
               (0 <= self.ema < 1, "ema must lie within 0 and 1"),
               (self.discriminator_width > 0, "discriminator_width must be at least 1"),
               (self.discriminator_normalization in NORMALIZATIONS,
                f"discriminator_normalization is one of {', '.join(NORMALIZATIONS)}"))


@dataclass(frozen=True)
class Experiment:
    """Arms of the comparison, trained with each seed for equal optimizer steps; see `experiment`.

    Attributes:
        labelled: labelled training images of each domain at most (0: all), the same ones for every arm.
        without: what an arm "ARM without NAME" is trained with instead, by NAME: tables `cycle` and `pseudo` of changed
            keys.
    """

    arms: list[str] = field(default_factory=lambda: ["teacher", "student", "student+agreement", "student+mean_softmax"])
    seeds: list[int] = field(default_factory=lambda: [1, 2, 3])
    labelled: int = 0
    without: dict[str, dict] = field(default_factory=dict)

    def __post_init__(self):
        demand("method.experiment", (bool(self.arms and self.seeds), "arms and seeds must name some"),
               (self.labelled >= 0 and min(self.seeds, default=0) >= 0, "labelled and seeds cannot be negative"))


@dataclass(frozen=True)
class Method:
    """Cycle training of teacher and student.  The student's generator is the configuration's [network]."""

    teacher: GeneratorConfig
    cycle: Cycle
    experiment: Experiment

    @classmethod
    def from_table(cls, table: dict, network: GeneratorConfig) -> Method:
        """The teacher has gates and no Transformer unless told otherwise."""
        parts = {"teacher": GeneratorConfig, "cycle": Cycle, "experiment": Experiment}
        if unknown := sorted(set(table) - set(parts)):
            raise UsageError(f"unknown table [method.{unknown[0]}]; known: {', '.join(parts)}.")
        own = {"transformer_depth": 0, "gates": True, "normalization": True, **table.get("teacher", {})}
        table = {**table, "teacher": {**dataclasses.asdict(network), **own}}
        method = cls(**{name: build(kind, table.get(name, {}), f"method.{name}") for name, kind in parts.items()})
        for name in method.experiment.without:
            method.changed(name, None)
        return method

    def changed(self, name: str, pseudo: Pseudo | None) -> tuple[Method, Pseudo | None]:
        """The method and pseudo labels of an arm "… without NAME".

        Raises:
            UsageError: an unknown name or key, a wrong value, or another number of steps.
        """
        if name not in self.experiment.without:
            raise UsageError(f"an arm is “without {name}”, and [method.experiment.without] has no {name}; add it.")
        where, changes = f"method.experiment.without.{name}", self.experiment.without[name]
        cycle, labels = changes.get("cycle", {}), changes.get("pseudo", {})
        demand(where, (set(changes) <= {"cycle", "pseudo"}, "only the tables cycle and pseudo can be changed"),
               (not {"epochs", "steps_per_epoch"} & set(cycle), "every arm works the same steps"))
        changed = build(Cycle, {**dataclasses.asdict(self.cycle), **cycle}, f"{where}.cycle")
        if labels or pseudo:
            pseudo = build(Pseudo, {**dataclasses.asdict(pseudo or Pseudo()), **labels}, f"{where}.pseudo")
        return dataclasses.replace(self, cycle=changed), pseudo

    def as_dict(self) -> dict:
        return dataclasses.asdict(self)
