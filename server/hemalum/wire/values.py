"""Parameters, images, models, stains and plans ↔ messages; what arrives is checked.

>>> from hemalum.runs.events import Parameters
>>> chosen = Parameters(foreground=0.5, skip_glass=False)
>>> parameters_of(parameters_message(chosen)) == chosen
True
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import numpy as np
import shapely

from hemalum.errors import UnknownResolution, UsageError
from hemalum.grid.tiling import Plan, Rect, Scale, Tile
from hemalum.runs.events import SETTABLE, ImageInfo, Parameters
from hemalum.v1 import nuclei_pb2 as pb
from hemalum.wire.texts import text

if TYPE_CHECKING:
    from hemalum.models import Model
    from hemalum.stain.estimation import Stain

LARGEST_CORE = 4096  # model px


def parameters_message(parameters: Parameters) -> pb.Parameters:
    """What `parameters_of` reads back."""
    message = pb.Parameters(
        thresholds=pb.Thresholds(
            **{name: getattr(parameters, name) for name in SETTABLE if getattr(parameters, name) is not None}
        ),
        skip_glass=parameters.skip_glass,
        stain=parameters.stain,
        measure=parameters.measure,
        normalized_tiles=parameters.normalized_tiles,
        interactive=parameters.interactive,
        core=parameters.core or 0,
    )
    for region in parameters.regions:
        for polygon in getattr(region, "geoms", [region]):
            rings = [polygon.exterior, *polygon.interiors]
            message.regions.add(
                rings=[pb.Ring(xy=shapely.get_coordinates(ring)[:-1].ravel().tolist()) for ring in rings]
            )
    if parameters.stain_matrix is not None:
        message.stain_matrix.CopyFrom(matrix_message(parameters.stain_matrix))
    return message


def parameters_of(message: pb.Parameters) -> Parameters:
    """Raises `UsageError` for a region that is no polygon, a matrix of the wrong size, or a core that makes no tile."""
    core = message.core or None
    if core is not None and (core % 256 or core > LARGEST_CORE):
        raise UsageError(f"a tile core of {core} px is not possible; give a multiple of 256 up to {LARGEST_CORE}, or 0")
    thresholds = {name: getattr(message.thresholds, name) for name in SETTABLE if message.thresholds.HasField(name)}
    return Parameters(
        **thresholds,
        regions=tuple(_polygon(number, polygon) for number, polygon in enumerate(message.regions)),
        skip_glass=message.skip_glass if message.HasField("skip_glass") else True,
        stain=text(message.stain) or "macenko",
        stain_matrix=matrix_of(message.stain_matrix) if message.HasField("stain_matrix") else None,
        measure=message.measure if message.HasField("measure") else True,
        normalized_tiles=message.normalized_tiles,
        interactive=message.interactive,
        core=core,
    )


def _polygon(number: int, message: pb.Polygon) -> shapely.Polygon:
    rings = []
    for ring in message.rings:
        xy = np.array(ring.xy, np.float64)
        if len(xy) % 2 or len(xy) < 6 or not np.isfinite(xy).all():
            raise UsageError(f"region {number} has a ring that is no polygon; send x, y of at least three points")
        rings.append(xy.reshape(-1, 2))
    if not rings:
        raise UsageError(f"region {number} has no ring; send at least its outside")
    return shapely.Polygon(rings[0], rings[1:])


def matrix_message(matrix) -> pb.StainMatrix:
    """A 2 × 3 stain matrix."""
    return pb.StainMatrix(haematoxylin=map(float, matrix[0]), eosin=map(float, matrix[1]))


def matrix_of(message: pb.StainMatrix) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Raises `UsageError` unless both rows have three finite numbers that differ in direction."""
    rows = tuple(message.haematoxylin), tuple(message.eosin)
    if [len(row) for row in rows] != [3, 3] or not all(math.isfinite(v) for row in rows for v in row):
        raise UsageError(
            "a stain matrix has two rows of three numbers; give optical densities of haematoxylin and eosin for R, G, B"
        )
    if np.linalg.norm(np.cross(*rows)) < 1e-3:
        raise UsageError("the two rows of the stain matrix are the same stain; give haematoxylin and eosin")
    (r, g, b), (x, y, z) = rows
    return (r, g, b), (x, y, z)


def stain_message(stain: Stain) -> pb.Stain:
    """A `hemalum.stain.Stain`."""
    record = stain.record()
    return pb.Stain(matrix=matrix_message(record.pop("matrix")), **record)


def stain_of(message: pb.Stain) -> Stain:
    """Raises `UsageError` where a field has the wrong number of values."""
    from hemalum.stain.estimation import Stain

    rows = (message.matrix.haematoxylin, message.matrix.eosin)
    rest = {name: list(getattr(message, name)) for name in ("maxima", "background", "lab_mean", "lab_std")}
    return Stain.from_record({"method": message.method, "matrix": rows, "note": message.note, **rest})


def table_message(table: np.ndarray | None, method: str) -> pb.ColourTable | None:
    """A colour table, uint8 S×S×S×3."""
    return (
        None
        if table is None
        else pb.ColourTable(size=len(table), rgb=np.ascontiguousarray(table).tobytes(), stain=method)
    )


def table_of(message: pb.ColourTable) -> np.ndarray | None:
    """uint8 S×S×S×3, or None for an empty message."""
    return np.frombuffer(message.rgb, np.uint8).reshape((message.size,) * 3 + (3,)) if message.size else None


def image_message(image: ImageInfo) -> pb.Image:
    """What `image_of` reads back."""
    return pb.Image(
        width=image.width,
        height=image.height,
        mpp=image.mpp,
        mpp_source=image.mpp_source,
        name=image.name,
        identity=image.identity,
    )


def image_of(message: pb.Image, identity: str = "") -> ImageInfo:
    """Raises `UnknownResolution` without mpp, `UsageError` for a size or mpp that cannot be."""
    if message.mpp == 0:
        raise UnknownResolution("the image has no resolution; set its µm per pixel (0.25 for a 40× scan, 0.5 for 20×)")
    return ImageInfo(
        message.width,
        message.height,
        message.mpp,
        text(message.mpp_source) or "client",
        text(message.identity) or identity,
        text(message.name),
    )


def model_message(model: Model) -> pb.ModelInfo:
    """What a client must know of a model."""
    card = model.card
    return pb.ModelInfo(
        id=card.id,
        version=card.version,
        sha256=model.digest,
        mpp=card.mpp,
        largest_nucleus_um=card.largest_nucleus_um,
        halo=card.halo,
        licence=card.licence["weights"],
        licence_why=card.licence["why"],
        commercial=bool(card.licence.get("commercial", False)),
        description=card.description,
        thresholds=pb.Thresholds(**card.thresholds),
        card_json=json.dumps(card.to_dict(), ensure_ascii=False),
        generator=model.translates,
    )


def plan_messages(plan: Plan) -> list[pb.TilePlan]:
    """The tiles of a plan."""
    factor = plan.to_level0
    messages = []
    for tile in plan.tiles:
        x, y, width, height = (value * factor for value in tile.core)
        core = pb.RectF(x=x, y=y, width=width, height=height)
        read = pb.Rect(**tile.read._asdict())
        messages.append(pb.TilePlan(index=tile.index, row=tile.row, col=tile.col, read=read, core=core))
    return messages


def plan_of(opened: pb.Opened) -> Plan:
    """The server's plan, as `hemalum.grid.tiling.plan_tiles` made it there."""
    scale = Scale(opened.box, opened.model_scale / opened.box)
    halo = opened.model.halo
    tiles = []
    for tile in opened.tiles:
        core = Rect(*(round(getattr(tile.core, side) / opened.model_scale) for side in Rect._fields))
        tiles.append(
            Tile(tile.index, tile.row, tile.col, core, Rect(*(getattr(tile.read, side) for side in Rect._fields)))
        )
    image = opened.image
    return Plan(
        (image.width, image.height),
        image.mpp,
        opened.model.mpp,
        scale,
        opened.tile_shape - 2 * halo,
        halo,
        (0, 0),
        tuple(tiles),
    )
