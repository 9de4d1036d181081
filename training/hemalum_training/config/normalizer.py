"""The table [normalizer]: the generator that a learned stain normalization is distilled from, and the distillation."""

from __future__ import annotations

from dataclasses import dataclass, field

from hemalum.errors import UsageError
from hemalum_training.config.method import Cycle
from hemalum_training.config.toml import build, demand


@dataclass(frozen=True)
class ColourFit:
    """Distillation of a generator into a function of colour, the table [normalizer.function].

    Attributes:
        teacher: "generator" (GAN and cycle losses), or "transport": each source's colours carried to those of the Y
            tiles with as many nuclei, without a network (`transport`).
        hidden: width of the two hidden layers.
        conditioned: the function knows the image's stain; without it one function serves all images (one scanner to
            another).
        views: stains each source is shown in, the first its own; jitter: strength of the others.
        pixels: taken of each tile and view.
        steps, batch, learning_rate: of the fit.
        monotone: weight of the demand that a darker colour becomes a darker one.
    """

    teacher: str = "generator"
    hidden: int = 32
    conditioned: bool = True
    views: int = 3
    jitter: float = 1.0
    pixels: int = 600
    steps: int = 3000
    batch: int = 8192
    learning_rate: float = 4e-3
    monotone: float = 3.0

    def __post_init__(self):
        demand("normalizer.function",
               (self.teacher in ("generator", "transport"), "teacher must be “generator” or “transport”"),
               (min(self.hidden, self.views, self.pixels, self.steps, self.batch) > 0,
                "hidden, views, pixels, steps and batch must be at least 1"))


@dataclass(frozen=True)
class ScannerPairs:
    """Pairs of one tissue seen by two scanners, the table [normalizer.pairs].

    Attributes:
        folder: from the folder given with `--data`; see `scanner_pairs`.
        folds: slides scored together by a generator that saw none of them; every slide lies in one fold.
        apart: slides that no generator learns from and that are averaged apart, because their pairs do not lie on each
            other.
    """

    folder: str
    folds: list[list[str]]
    apart: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Normalizer:
    """`cycle`: of the generators, without segmentation, `epochs · steps_per_epoch` steps."""

    cycle: Cycle
    function: ColourFit
    pairs: ScannerPairs | None

    @classmethod
    def from_table(cls, table: dict) -> Normalizer:
        """Of the table [normalizer].

        Raises:
            UsageError: an unknown key or a wrong value.
        """
        if unknown := sorted(set(table) - {"cycle", "function", "pairs"}):
            raise UsageError(f"unknown table [normalizer.{unknown[0]}]; known: cycle, function, pairs.")
        cycle = build(Cycle, {"epochs": 1, "steps_per_epoch": 1000, **table.get("cycle", {})}, "normalizer.cycle")
        demand("normalizer.cycle", (cycle.steps_per_epoch > 0, "steps_per_epoch must be at least 1"))
        function = build(ColourFit, table.get("function", {}), "normalizer.function")
        pairs = build(ScannerPairs, table["pairs"], "normalizer.pairs") if "pairs" in table else None
        return cls(cycle, function, pairs)
