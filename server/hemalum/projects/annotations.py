"""What a GeoJSON of QuPath's says for training: regions in which everything is annotated, and nuclei.

Rules, each counted in the report:

* An annotation whose metadata say that a person has corrected it, or, where they say nothing, of class `Complete`, is a
  region; regions are united, so that no pixel is exported twice.
* Every other polygon with a class, and every detection or cell, is a nucleus; detections without a class are of class
  `Nucleus`.  Classes are read as QuPath writes them: a name, a list of names ("Tumor: Positive"), a name below another.
* Classes that end in `*` are no nuclei, nor are annotations without a class.  But what lies there is not known to be
  background: `unknown` holds the first kind and `unclassified` the second, of which those of nuclear size are unknown.
* A feature that cannot be understood is left out, and `odd` says which and why.
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
import math
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import shapely
from shapely.geometry import shape

from hemalum.errors import UsageError

COMPLETE, DEFAULT = "Complete", "Nucleus"
CORRECTED = "hemalum.corrected"  # metadata of a region


@dataclass
class Annotations:
    """Level-0 px.

    Attributes:
        region: union of what was corrected.  nuclei: polygons without holes; classes: one name each.
        unknown: areas of which nothing is known.  unclassified: annotations without a class.
        odd: sentences on features that were left out.
    """

    region: shapely.Geometry
    nuclei: list[shapely.Polygon] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    counts: Counter = field(default_factory=Counter)
    unknown: list[shapely.Geometry] = field(default_factory=list)
    unclassified: list[shapely.Geometry] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)

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
        content = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read ({error.strerror}); export the annotations from QuPath again"
        ) from None
    except ValueError:
        raise UsageError(f"{path} is not GeoJSON; export the annotations from QuPath again") from None
    if isinstance(content, dict):
        content = content.get("features") if content.get("type") == "FeatureCollection" else [content]
    if not isinstance(content, list):
        raise UsageError(f"{path} is not GeoJSON: it has no list of features; export the annotations again")
    found = parse(content)
    if found.odd and len(found.odd) == len(content):
        raise UsageError(f"{path} is not GeoJSON as QuPath writes it ({found.odd[0]}); export the annotations again")
    return found


def parse(features: list[dict]) -> Annotations:
    """Sort features by the rules above."""
    regions: list[shapely.Geometry] = []
    found = Annotations(shapely.Polygon())
    for number, feature in enumerate(features, 1):
        try:
            _sort(feature, found, regions)
        except (KeyError, TypeError, AttributeError, ValueError, IndexError, shapely.errors.ShapelyError) as error:
            why = str(error) if type(error) is ValueError else "not as QuPath writes it"
            found.odd.append(f"feature {number}: {why}")
            found.counts["features that cannot be understood, left out"] += 1
    found.region = shapely.union_all(regions) if regions else shapely.Polygon()
    return found


def _sort(feature: dict, found: Annotations, regions: list[shapely.Geometry]) -> None:
    """Raises whatever an odd feature makes arise."""
    properties = feature.get("properties") or {}
    kind = properties.get("objectType") or properties.get("object_type") or "annotation"
    name = class_name(properties.get("classification"))
    stored = feature.get("nucleusGeometry") or feature.get("geometry")
    if not stored:
        raise ValueError("it has no geometry")
    geometry = shape(stored)
    if not shapely.is_empty(geometry) and not all(map(math.isfinite, geometry.bounds)):
        raise ValueError("its coordinates are no numbers")
    if properties.get("isLocked") or properties.get("locked"):
        found.counts["locked objects, taken"] += 1
    if kind != "detection" and kind != "cell" and is_corrected(properties, name):
        mended = shapely.make_valid(geometry)
        if mended.area > 0:
            regions.append(mended)
            found.counts["complete regions"] += 1
        else:
            found.counts["complete regions of zero area, left out"] += 1
    elif name.endswith("*"):
        found.counts["of an ignored class (*), left out"] += 1
        if name.rpartition(":")[2].strip() != "Region*":  # which only frames something
            found.unknown.append(shapely.make_valid(geometry))
    elif kind == "annotation" and not name:
        found.counts["annotations without a class, left out"] += 1
        found.unclassified.append(shapely.make_valid(geometry))
    elif (polygon := _outline(geometry, found.counts)) is not None:
        found.nuclei.append(polygon)
        found.classes.append(name or DEFAULT)


def class_name(said) -> str:
    """The name of a class in whatever way QuPath, now and before, wrote it; "" for none.

    >>> class_name({"names": ["Tumor", "Positive"]}), class_name("Tumor"), class_name(None)
    ('Tumor: Positive', 'Tumor', '')
    >>> class_name({"name": "Positive", "parentClass": {"name": "Tumor"}})
    'Tumor: Positive'
    """
    if said is None:
        return ""
    if isinstance(said, str):
        return said.strip()
    if isinstance(said, list):
        return ": ".join(filter(None, map(class_name, said)))
    if not isinstance(said, dict):
        raise ValueError(f"its class is {said!r}, which is no name")
    own = class_name(said.get("names") or said.get("name"))
    above = class_name(said.get("parentClass") or said.get("parent"))
    return ": ".join(filter(None, [above, own]))


def is_corrected(properties: dict, name: str) -> bool:
    """Whether a person answers for the nuclei of an annotation; as QuPath's extension decides it."""
    metadata = properties.get("metadata")
    said = metadata.get(CORRECTED) if isinstance(metadata, dict) else None
    return str(said) != "no" if said is not None else name == COMPLETE


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
