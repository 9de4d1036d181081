"""What is known of an image before its first tile: tissue, stain, tiles, and the settings of post-processing.

>>> check_overview(np.zeros((3, 4, 3), np.uint8), np.zeros((3, 5), bool))
Traceback (most recent call last):
hemalum.errors.ProtocolError: what could not be decoded must be bool 3×4 as the overview, not bool 3×5
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hemalum.errors import ProtocolError, UsageError
from hemalum.grid.tiling import Plan
from hemalum.models import Model
from hemalum.nuclei.from_maps import MapSettings
from hemalum.runs.events import ImageInfo, Parameters
from hemalum.runs.planning import plan_run
from hemalum.stain.estimation import REFERENCE, Stain, estimate, unmixing
from hemalum.stain.table import colour_table
from hemalum.stain.tissue import tissue_mask


@dataclass(frozen=True)
class Preparation:
    """Attributes:
    parameters: with every threshold filled.  mask: tissue of the overview, bool h×w.
    stain: of the image.  table: uint8 S×S×S×3, image → reference stain.
    plan: the tiles.  settings: of post-processing.
    """

    parameters: Parameters
    mask: np.ndarray
    stain: Stain
    table: np.ndarray
    plan: Plan
    settings: MapSettings


def prepare(
    model: Model, image: ImageInfo, overview: np.ndarray, unread: np.ndarray | None, parameters: Parameters
) -> Preparation:
    """Look at the whole image.

    Args:
        overview: uint8 h×w×3, the whole image in at most 2048 px.
        unread: bool h×w, what of the overview could not be decoded; counted as tissue.

    Raises:
        ProtocolError: pixels of another shape.  RegionOutside, UsageError: of the parameters.
    """
    check_overview(overview, unread)
    parameters = parameters.resolved(model.card.thresholds)
    mask = tissue_mask(overview, unread)
    stain = estimate(overview, mask, parameters.stain, image.mpp * image.width / overview.shape[1])
    if parameters.stain_matrix is not None:
        stain = replace(stain, matrix=_matrix(parameters.stain_matrix), note="")
    table = colour_table(stain, REFERENCE)
    plan = plan_run(model, image, parameters, mask)
    return Preparation(parameters, mask, stain, table, plan, map_settings(model, parameters, stain))


def map_settings(model: Model, parameters: Parameters, stain: Stain) -> MapSettings:
    """Settings of post-processing; `parameters` with every threshold filled."""
    names = "foreground", "marker", "sigma", "min_area_um2"
    thresholds = {name: getattr(parameters, name) for name in names}
    assert None not in thresholds.values(), f"neither the parameters nor the card of {model.id} say all of {thresholds}"
    separated = parameters.stain != "none" or parameters.stain_matrix is not None
    return MapSettings(
        **thresholds,
        largest_nucleus_um=model.card.largest_nucleus_um,
        output_scale=model.card.output_scale,
        measure=parameters.measure,
        stain_matrix=stain.matrix if separated else None,
        part_um2=parameters.part_um2 or 0.0,
    )


def check_overview(overview: np.ndarray, unread: np.ndarray | None) -> None:
    """Raises `ProtocolError` unless the overview is uint8 h×w×3 with pixels, and `unread` None or bool h×w."""
    if overview.dtype != np.uint8 or overview.ndim != 3 or overview.shape[2] != 3 or not overview.size:
        raise ProtocolError(f"the overview must be uint8 h×w×3, not {_described(overview)}")
    if unread is not None and (unread.dtype != bool or unread.shape != overview.shape[:2]):
        due = "×".join(map(str, overview.shape[:2]))
        raise ProtocolError(f"what could not be decoded must be bool {due} as the overview, not {_described(unread)}")


def _described(pixels: np.ndarray) -> str:
    return f"{pixels.dtype} {'×'.join(map(str, pixels.shape))}"


def _matrix(rows) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """A stain matrix as it is used and recorded; `UsageError` where it cannot be inverted."""
    try:
        unmixing(np.asarray(rows))
    except ValueError as error:
        raise UsageError(f"the stain matrix cannot be used: {error}") from error
    r, g, b, x, y, z = (round(float(value), 3) for value in np.asarray(rows).ravel())
    return (r, g, b), (x, y, z)
