"""The tables [unlabelled.NAME], [tiles], [pseudo] and [soft]: what is learned from beside the labelled sets."""

from __future__ import annotations

from dataclasses import dataclass, field

from hemalum_training.config.toml import demand


@dataclass(frozen=True)
class UnlabelledSet:
    """Slides, images or an export without labels; the licence must be among the configuration's, as for labels.

    Attributes:
        folder: where it lies, from the folder given with `--data`; the set's own name by default.  What it may hold:
            see `sources`.
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
        clusters: stain clusters among which the target domain Y is chosen; reference: name of an image, slide or
            patient whose cluster is Y.  Without one the rule of `domains.choose_target` decides.
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
               (min(self.regions, self.clusters, self.density_bins) > 0,
                "regions, clusters and density_bins must be at least 1"),
               (0 <= self.tissue <= 1 and 0 <= self.validation < 1, "tissue and validation are shares, from 0 to 1"))


@dataclass(frozen=True)
class Pseudo:
    """Pseudo labels, the table [pseudo].

    Attributes:
        rule: "mean_softmax" (the patent's) or "agreement"; see `agreement`.
        threshold: a tile with nuclei is kept only above this score of the rule; `agreement` lies within 0 and 1,
            `mean_softmax` within 0.5 and 1, where almost every tile has more than 0.9.
        keep: tiles kept at most.  pool: tiles labelled at most, drawn evenly; 0 labels all.
        band: px at 0.25 µm/px on either side of the predicted border that count beside the foreground.
        jitters: views in another stain, beside the four flips, that must agree; jitter: their strength.
        bins: density strata that get equal quotas; empty_share: share of tiles without nuclei at most.
        weight: share of the supervised crops that come from pseudo tiles.
        sure: least |2p − 1| of a pixel that is learned from, p the teacher's mean over all views: nuclear borders and
            what the views disagree about are left out of the loss.  0 learns from every pixel.
        soft: the labels are the teacher's mean maps themselves (distillation, Hinton et al. 2015, arXiv 1503.02531),
            not the nuclei they come to: what the teacher half sees is not taught to be background.
        views: turned and shifted views over which those maps are averaged (`pseudo.views`); 0: the views that the rule
            looked at.
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
    soft: bool = False
    views: int = 0

    def __post_init__(self):
        demand("pseudo",
               (self.rule in ("mean_softmax", "agreement"), "rule must be “mean_softmax” or “agreement”"),
               (0 < self.weight < 1, "weight must lie between 0 and 1"),
               (0 <= self.sure < 1, "sure must lie within 0 and 1"),
               (min(self.keep, self.bins) > 0, "keep and bins must be at least 1"),
               (min(self.pool, self.band, self.jitters, self.jitter, self.views) >= 0,
                "pool, band, jitters, jitter and views cannot be negative"),
               (0 <= self.empty_share <= 1, "empty_share must lie within 0 and 1"))


@dataclass(frozen=True)
class Soft:
    """The teacher's maps on labelled images, the table [soft]: they say what a hand label cannot, how sure a border is.

    Attributes:
        share: share of the crops of labelled images whose labels are the teacher's maps.
        views: turned and shifted views over which the maps are averaged, see `pseudo.views`.
    """

    share: float = 0.5
    views: int = 8

    def __post_init__(self):
        demand("soft",
               (0 < self.share < 1, "share must lie between 0 and 1"),
               (self.views > 0, "views must be at least 1"))
