"""What a run does with the image, the model and the user's regions before and after the tiles: its plan, and whose a
nucleus is."""

from __future__ import annotations

import numpy as np
import shapely

from hemalum.errors import RegionOutside, UsageError
from hemalum.grid.tiling import Plan, plan_tiles
from hemalum.models import Model
from hemalum.nuclei.nuclei import Nuclei
from hemalum.runs.events import ImageInfo, Parameters

WINDOW_UM = 128  # a network's attention looks at squares of this side, which lie where they lie in the whole image
REGION = "region"  # column: index of the deepest region a nucleus belongs to, where several were given


def plan_run(model: Model, image: ImageInfo, parameters: Parameters, mask: np.ndarray | None = None) -> Plan:
    """The tiles of a run.

    Args:
        mask: tissue of the overview (bool h×w), or None to compute every tile.

    Raises:
        RegionOutside: no region touches the image.
        UsageError: a core that does not fit the network.
    """
    card = model.card
    window = round(WINDOW_UM / card.mpp)
    if parameters.core is not None and (parameters.core < window or parameters.core % window):
        raise UsageError(f"a tile core of {parameters.core} px is not possible; give a multiple of {window}")
    regions = None
    if parameters.regions:
        whole = shapely.box(0, 0, image.width, image.height)
        inside = [shapely.make_valid(region).intersection(whole) for region in parameters.regions]
        regions = [region for region in inside if region.area > 0]
        if not any(region.area for region in parameters.regions):
            raise RegionOutside("the region has no area; give one with width and height")
        if not regions:
            raise RegionOutside(
                f"the region lies outside the image of {image.width}×{image.height} px; give one inside it"
            )
    tissue = None
    if mask is not None and parameters.skip_glass and regions is None:
        tissue = mask, max(image.width / mask.shape[1], image.height / mask.shape[0])
    size = image.width, image.height
    return plan_tiles(
        size,
        image.mpp,
        card.mpp,
        core=parameters.core or card.core,
        halo=card.halo,
        multiple=card.input["multiple_of"],
        regions=regions,
        tissue=tissue,
    )


class Membership:
    """Keeps nuclei whose centroid lies in a region, and says which: the deepest (smallest) of those that contain it."""

    def __init__(self, regions):
        self._regions = [shapely.make_valid(region) for region in regions]
        self._by_depth = sorted(range(len(regions)), key=lambda i: (-self._regions[i].area, i))
        for region in self._regions:
            shapely.prepare(region)

    def __call__(self, nuclei: Nuclei) -> Nuclei:
        owner = np.full(len(nuclei), -1)
        x, y = nuclei.centroids.T
        for index in self._by_depth:
            owner[shapely.intersects_xy(self._regions[index], x, y)] = index
        nuclei = nuclei.take(owner >= 0)
        if len(self._regions) > 1:
            nuclei.columns = {**nuclei.columns, REGION: owner[owner >= 0].astype(np.float32)}
        return nuclei
