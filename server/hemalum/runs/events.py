"""What goes into a run and what comes out of it: plain dataclasses, shared by the pipeline, the service and the client.

Coordinates are level-0 pixels, pixel-corner convention (x right, y down); areas of thresholds are µm².

>>> Parameters(foreground=0.5).resolved({"foreground": 0.4, "marker": 0.45}).marker
0.45
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from hemalum.errors import UsageError
from hemalum.grid.tiling import check_mpp
from hemalum.stain import METHODS

if TYPE_CHECKING:
    import numpy as np

    from hemalum.nuclei.nuclei import Nuclei

SETTABLE = {"foreground": 1, "marker": 1, "sigma": 10, "min_area_um2": 1000, "part_um2": 1000}  # thresholds: 0 to


@dataclass(frozen=True)
class ImageInfo:
    """The image of a run.

    Attributes:
        width, height: level-0 pixels, ≥ 1.
        mpp: µm per level-0 pixel, 0.05–4.
        mpp_source: where `mpp` came from ("openslide.mpp-x", "--mpp", "client", …).
        identity: what nucleus ids are derived from; equal for the same image wherever it lies (a hash of its content).
        name: for people and records; never opened.
    """

    width: int
    height: int
    mpp: float
    mpp_source: str
    identity: str
    name: str = ""

    def __post_init__(self):
        if self.width < 1 or self.height < 1:
            raise UsageError(f"an image of {self.width}×{self.height} px has no pixels; send its level-0 size")
        check_mpp(self.mpp)


@dataclass(frozen=True)
class Parameters:
    """What a user may choose.  `None` means: as the model's card says.

    Attributes:
        foreground, marker: probabilities 0–1; sigma: map pixels; min_area_um2: µm².
        part_um2: from which size on parts of a marker are nuclei of their own, µm²; 0: never
            (`hemalum.nuclei.markers`).
        regions: polygons (shapely, level-0 px); empty = the whole image.  They are united and segmented once.
        skip_glass: leave out tiles that show glass only; never applied inside `regions`.
        stain: how the stain matrix is estimated for the H&E measurements; it changes no nucleus.
        stain_matrix: 2×3 optical-density rows (haematoxylin, eosin) to use instead of an estimate.
        measure: add the measurements (else ids, outlines and probability only).
        normalized_tiles: also return every tile in the reference stain.
        interactive: a person waits, so these tiles go before batch work.
        core: tile core in model px; `None` = the plan's own choice.
    """

    foreground: float | None = None
    marker: float | None = None
    sigma: float | None = None
    min_area_um2: float | None = None
    part_um2: float | None = None
    regions: tuple = ()
    skip_glass: bool = True
    stain: str = "macenko"
    stain_matrix: tuple | None = None
    measure: bool = True
    normalized_tiles: bool = False
    interactive: bool = False
    core: int | None = None

    def resolved(self, thresholds: dict[str, float]) -> Parameters:
        """A copy with every threshold filled from the card's `thresholds`; `UsageError` if one is out of range."""
        filled: dict[str, Any] = {}
        for name, largest in SETTABLE.items():
            value = getattr(self, name)
            value = filled[name] = thresholds.get(name) if value is None else value
            if value is not None and not 0 <= value <= largest:
                raise UsageError(f"{name} {value:g} is out of range; give 0 to {largest}")
        if self.stain not in METHODS:
            raise UsageError(f"stain {self.stain!r} is not known; choose one of {', '.join(METHODS)}")
        return replace(self, **filled)

    def record(self) -> dict[str, Any]:
        """For `run.json`: plain numbers and strings, regions as WKT."""
        plain = asdict(replace(self, regions=()))
        plain["regions"] = [region.wkt for region in self.regions]
        plain["stain_matrix"] = (
            [list(map(float, row)) for row in self.stain_matrix] if self.stain_matrix is not None else None
        )
        return plain


@dataclass(frozen=True)
class TileConsumed:
    """The engine has taken this tile's pixels: its credit returns and the next tile may be sent."""

    index: int


@dataclass(frozen=True)
class NucleiFound:
    """Nuclei that are final (a `hemalum.nuclei.Nuclei`, level-0 frame); they never change or go again."""

    nuclei: Nuclei


@dataclass(frozen=True)
class TileSettled:
    """Every candidate of this tile is decided and, where kept, sent; also for skipped and failed tiles."""

    index: int


@dataclass(frozen=True)
class TileFailed:
    """This tile gave no nuclei; `reason` is one sentence."""

    index: int
    reason: str


@dataclass(frozen=True)
class NormalizedTile:
    """A tile's core in the reference stain, uint8 h×w×3 at the tile's own reading scale; x, y: its level-0 origin."""

    index: int
    x: int
    y: int
    pixels: np.ndarray


@dataclass(frozen=True)
class Progress:
    """Tiles done of all, nuclei final so far, seconds since the run opened."""

    done: int
    total: int
    nuclei: int
    seconds: float


@dataclass(frozen=True)
class Summary:
    """Counts of a run.  `failed` maps tile index → reason; `seconds` has one entry per stage (worker time) and
    "total"; `at_size_limit` counts nuclei that reached the model's largest nucleus."""

    nuclei: int
    tiles: int
    skipped: int
    failed: dict[int, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    duplicates_removed: int = 0
    at_size_limit: int = 0


@dataclass(frozen=True)
class Finished:
    """The last event of a run that was not cancelled."""

    summary: Summary


Event = TileConsumed | NucleiFound | TileSettled | TileFailed | NormalizedTile | Progress | Finished
