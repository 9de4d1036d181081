"""Outlines that leave are valid, and what is called crossed is what GEOS calls invalid."""

import numpy as np
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from hemalum.nuclei.nuclei import UNIT
from hemalum.nuclei.tidying import crossings, tidy

POINTS = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=3, max_size=14)


@given(POINTS)
@settings(max_examples=400, deadline=None)
def test_crossings_are_what_geos_finds_invalid(points):
    ring = np.array(points, np.int32)
    ring = np.ascontiguousarray(ring[(ring != np.roll(ring, 1, axis=0)).any(1)])
    if len(ring) >= 3:
        assert crossings(ring, np.array([0, len(ring)]))[0] == (not shapely.is_valid(shapely.Polygon(ring)))


@given(st.lists(POINTS, min_size=1, max_size=5))
@settings(max_examples=100, deadline=None)
def test_whatever_comes_in_valid_rings_inside_the_image_come_out(rings):
    vertices = np.array([point for ring in rings for point in ring], np.int32) - 3
    vertices, offsets, kept = tidy(vertices, np.cumsum([0, *map(len, rings)]), (1, 2))
    assert len(offsets) == len(kept) + 1 and (np.diff(kept) > 0).all()
    for start, end in zip(offsets[:-1], offsets[1:], strict=True):
        polygon = shapely.Polygon(vertices[start:end])
        assert polygon.is_valid and polygon.area > 0
        assert vertices[start:end].min() >= 0 and (vertices[start:end] <= np.array([1, 2]) * UNIT).all()
