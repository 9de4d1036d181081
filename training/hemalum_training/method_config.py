"""The tables [unlabelled.NAME], [tiles], [pseudo] and [method] of a configuration.  METHOD names what the source leaves open."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

from hemalum.errors import UsageError

from .networks import GeneratorConfig
from .tables import build, demand

NORMALIZATIONS = ("instance", "spectral", "none")    # of a discriminator


@dataclass(frozen=True)
class UnlabelledSet:
    """Slides, images or an export without labels; the licence must be among the configuration's, as for labels.

    Attributes:
        folder: where it lies, from the folder given with `--data`; the set's own name by default.  What it may hold: see `sources`.
        mpp: µm/px of the images on disk; needed where they do not state it, and then over what they state.
        group_column: the manifest's column that names patient or slide.
        include, exclude: patterns of names (`*` and `?`) that are taken (all by default) and that are not.
    """

    licence: str
    folder: str | None = None
    mpp: float | None = None
    group_column: str | None = None
    include: list[str] = field(default_factory=lambda: ["*"])
    exclude: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Tiles:
    """S1, the table [tiles].

    Attributes:
        tile, region_min, region_max: px at 0.5 µm/px.
        regions: regions of a slide at most, those with most tissue.
        tissue: least share of a tile that is tissue.
        validation: share of the patients or slides of each unlabelled set that no training sees.
        clusters: stain clusters among which the target domain Y is chosen; reference: name of an image, slide or patient whose
            cluster is Y.  Without one the rule of `domains.choose_target` decides.
        density_bins: strata in which nuclear density is matched between X and Y.
    """

    tile: int = 256
    region_min: int = 2000
    region_max: int = 8000
    regions: int = 4
    tissue: float = 0.3
    validation: float = 0.0
    clusters: int = 4
    reference: str | None = None
    density_bins: int = 5

    def __post_init__(self):
        demand("tiles",
               (32 <= self.tile <= self.region_min <= self.region_max, "32 ≤ tile ≤ region_min ≤ region_max must hold"),
               (min(self.regions, self.clusters, self.density_bins) > 0, "regions, clusters and density_bins must be at least 1"),
               (0 <= self.tissue <= 1 and 0 <= self.validation < 1, "tissue and validation are shares, from 0 to 1"))


@dataclass(frozen=True)
class Cycle:
    """Training of two generators and two discriminators.

    Attributes:
        epochs, steps_per_epoch: optimizer steps; 0 steps per epoch means as many as X has images and tiles, labelled or not.
        batch, crop: images of each domain in a step, and their side in px at 0.5 µm/px (a multiple of 32).
        cycle_every: 1 is the source's scheme.  Above it, every step trains the segmentation of G_X2Y alone on `batch` labelled tiles,
            and every so many steps a step of the whole scheme is added, on `cycle_batch` tiles of each domain and `cycle_crop` px
            (0: as `batch` and `crop`).
        lambda_gan, lambda_cycle, lambda_segmentation: the source's λ (values are ours, it gives none); lambda_identity: weight of
            the identity loss, absolute; dice, distance: weights of the added segmentation terms (0: the source's BCE).
        cycle_segmentation: hand labels also supervise the cycle passes.  identity_segmentation: hand labels of Y also supervise
            G_X2Y, which in the source never sees them.  pseudo_own, pseudo_cycle: pseudo masks supervise G_X2Y on
            the tile's own image and on G_X2Y(G_Y2X(y)).  consistency: weight of agreement between a tile's segmentation and its
            translation's (claim 6).
        pseudo_share: share of pseudo tiles among the Y tiles, and of unlabelled ones among the X tiles, of a step.
        stain_jitter: strength of stain augmentation on X.
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
    stain_jitter: float = 1.0
    pool: int = 50
    ema: float = 0.995
    discriminator_width: int = 64
    discriminator_normalization: str = "instance"
    amp: str = "none"
    gradient_checkpointing: bool = False

    def __post_init__(self):
        demand("method.cycle",
               (self.amp in ("none", "bf16"), "amp must be “none” or “bf16”"),
               (self.crop > 0 and self.crop % 32 == self.cycle_crop % 32 == 0, "crop and cycle_crop must be multiples of 32"),
               (min(self.epochs, self.batch, self.cycle_every) > 0, "epochs, batch and cycle_every must be at least 1"),
               (min(self.steps_per_epoch, self.cycle_batch, self.cycle_crop, self.pool) >= 0,
                "steps_per_epoch, cycle_batch, cycle_crop and pool cannot be negative"),
               (0 <= self.decay_start <= 1 and 0 <= self.pseudo_share <= 1, "decay_start and pseudo_share must lie within 0 and 1"),
               (0 <= self.ema < 1, "ema must lie within 0 and 1"),
               (self.discriminator_width > 0, "discriminator_width must be at least 1"),
               (self.discriminator_normalization in NORMALIZATIONS, f"discriminator_normalization is one of {', '.join(NORMALIZATIONS)}"))


@dataclass(frozen=True)
class Pseudo:
    """Pseudo labels, the table [pseudo].

    Attributes:
        rule: "mean_softmax" (the source's) or "agreement"; see `agreement`.
        threshold: a tile is kept only above this score of the rule.
        keep: tiles kept at most.  pool: tiles labelled at most, drawn evenly; 0 labels all.
        band: px at 0.25 µm/px on either side of the predicted border that count beside the foreground.
        jitters: views in another stain, beside the four flips, that must agree; jitter: their strength.
        bins: density strata that get equal quotas; empty_share: share of tiles without nuclei at most.
        weight: share of the supervised crops that come from pseudo tiles.
        sure: least |2p − 1| of a pixel that is learned from, p the teacher's mean over all views: nuclear borders and what the views
            disagree about are left out of the loss.  0 learns from every pixel.
    """

    rule: str = "agreement"
    threshold: float = 0.6
    keep: int = 5000
    pool: int = 0
    band: int = 6
    jitters: int = 2
    jitter: float = 0.6
    bins: int = 4
    empty_share: float = 0.03
    weight: float = 0.3
    sure: float = 0.0

    def __post_init__(self):
        demand("pseudo",
               (self.rule in ("mean_softmax", "agreement"), "rule must be “mean_softmax” or “agreement”"),
               (0 < self.weight < 1, "weight must lie between 0 and 1"),
               (0 <= self.sure < 1, "sure must lie within 0 and 1"),
               (min(self.keep, self.bins) > 0, "keep and bins must be at least 1"),
               (min(self.pool, self.band, self.jitters) >= 0, "pool, band and jitters cannot be negative"))


@dataclass(frozen=True)
class Experiment:
    """Arms of the comparison, trained with each seed for equal optimizer steps; see `experiment`.

    Attributes:
        labelled: labelled training images of each domain at most (0: all), the same ones for every arm.
    """

    arms: list[str] = field(default_factory=lambda: ["teacher", "student", "student+agreement", "student+mean_softmax"])
    seeds: list[int] = field(default_factory=lambda: [1, 2, 3])
    labelled: int = 0


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
        teacher = {**network.as_dict(), "transformer_depth": 0, "gates": True, "normalization": True, **table.get("teacher", {})}
        return cls(**{k: build(c, teacher if k == "teacher" else table.get(k, {}), f"method.{k}") for k, c in parts.items()})

    def as_dict(self) -> dict:
        return dataclasses.asdict(self)
