"""What a GeoJSON of QuPath's says for training: regions in which everything is annotated, and nuclei.

Rules, each counted in the report:

* An annotation of class `Complete` is a region; regions are united, so that no pixel is exported twice.
* Every other polygon with a class, and every detection or cell, is a nucleus; detections without a class are of class
  `Nucleus`.
* Classes that end in `*` are ignored, as QuPath does; an annotation without a class is ignored.
* Holes are filled; outlines that cross themselves are mended; of several pieces the largest is taken.
* Locked objects are taken like others.

>>> square = {"type": "Polygon", "coordinates": [[[0, 0], [9, 0], [9, 9], [0, 9], [0, 0]]]}
>>> properties = {"objectType": "annotation", "classification": {"name": "Complete"}}
>>> found = parse([{"geometry": square, "properties": properties}])
>>> found.region.area, len(found.nuclei), dict(found.counts)
(81.0, 0, {'complete regions': 1})
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import shapely
from shapely.geometry import shape

from hemalum.errors import UsageError

COMPLETE, DEFAULT = "Complete", "Nucleus"


@dataclass
class Annotations:
    """Level-0 px.  `region`: union of the Complete annotations; `nuclei`: polygons without holes; `classes`: one name
    each."""

    region: shapely.Geometry
    nuclei: list[shapely.Polygon] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    counts: Counter = field(default_factory=Counter)

    @cached_property
    def tree(self) -> shapely.STRtree:
        """Finds the nuclei near a place."""
        return shapely.STRtree(self.nuclei)


def read(path: str | Path) -> Annotations:
    """The annotations of a GeoJSON file (FeatureCollection, Feature, or a plain list of features).

    Raises:
        UsageError: it cannot be read or is no GeoJSON.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read ({error.strerror}); export the annotations from QuPath again"
        ) from None
    except ValueError:
        raise UsageError(f"{path} is not GeoJSON; export the annotations from QuPath again") from None
    if isinstance(content, dict):
        content = content["features"] if content.get("type") == "FeatureCollection" else [content]
    try:
        return parse(content)
    except (KeyError, TypeError, AttributeError, ValueError, shapely.errors.ShapelyError) as error:
        raise UsageError(
            f"{path} is not GeoJSON as QuPath writes it ({error!r}); export the annotations again"
        ) from None


def parse(features: list[dict]) -> Annotations:
    """Sort features by the rules above."""
    regions, found = [], Annotations(shapely.Polygon())
    for feature in features:
        properties = feature.get("properties") or {}
        kind = properties.get("objectType") or properties.get("object_type") or "annotation"
        name = (properties.get("classification") or {}).get("name") or ""
        geometry = shape(feature.get("nucleusGeometry") or feature["geometry"])
        if properties.get("isLocked") or properties.get("locked"):
            found.counts["locked objects, taken"] += 1
        if name == COMPLETE:
            mended = shapely.make_valid(geometry)
            if mended.area > 0:
                regions.append(mended)
                found.counts["complete regions"] += 1
            else:
                found.counts["complete regions of zero area, left out"] += 1
            continue
        if name.endswith("*"):
            found.counts["of an ignored class (*), left out"] += 1
        elif kind == "annotation" and not name:
            found.counts["annotations without a class, left out"] += 1
        elif (polygon := _outline(geometry, found.counts)) is not None:
            found.nuclei.append(polygon)
            found.classes.append(name or DEFAULT)
    found.region = shapely.union_all(regions) if regions else shapely.Polygon()
    return found


def _outline(geometry, counts: Counter) -> shapely.Polygon | None:
    if not geometry.is_valid:
        counts["outlines that crossed themselves, mended"] += 1
        geometry = shapely.make_valid(geometry)
    pieces = [part for part in shapely.get_parts(geometry) if part.geom_type == "Polygon" and part.area > 0]
    if not pieces and geometry.geom_type == "GeometryCollection":
        pieces = [
            p
            for part in shapely.get_parts(geometry)
            for p in shapely.get_parts(part)
            if p.geom_type == "Polygon" and p.area > 0
        ]
    if not pieces:
        counts["points, lines and outlines of zero area, left out"] += 1
        return None
    if len(pieces) > 1:
        counts["outlines of several pieces, largest taken"] += 1
    largest = max(pieces, key=lambda part: part.area)
    if len(largest.interiors):
        counts["holes, filled"] += len(largest.interiors)
    return shapely.Polygon(largest.exterior)
