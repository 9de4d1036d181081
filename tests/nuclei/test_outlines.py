"""Label image to outlines: closed, valid, smooth, and true to the pixels."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from hemalum.nuclei.outlines import cracks, outlines


def blobs(seed, size=56, smooth=2.0, level=0.3):
    """4-connected blobs without holes, of any size from one pixel up, touching each other and the border."""
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.standard_normal((size, size)), smooth)
    parts = ndimage.label(field > level * field.std())[0]
    labels, count = np.zeros((size, size), np.int32), 0
    for k in range(1, parts.max() + 1):
        own = ndimage.binary_fill_holes(parts == k) & (labels == 0)
        for half in (own & (field > field.std()), own & (field <= field.std())):  # neighbours that share a border
            pieces, most = ndimage.label(half)
            for piece in range(1, most + 1):
                one = ndimage.binary_fill_holes(pieces == piece) & (labels == 0)
                if one.any() and ndimage.label(one)[1] == 1 and (ndimage.binary_fill_holes(one) == one).all():
                    count += 1
                    labels[one] = count
    return labels


def polygons(rings):
    if len(rings.offsets) == 1:
        return []
    return [shapely.Polygon(points) for points in np.split(rings.points, rings.offsets[1:-1])]


def iou(a, b):
    return a.intersection(b).area / a.union(b).area


def shoelace(points):
    x, y = points.T
    return 0.5 * np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))


def signed_areas(rings):
    return [shoelace(points) for points in np.split(rings.points, rings.offsets[1:-1])]


@given(st.integers(0, 100_000), st.sampled_from([0.6, 1.0, 2.0, 3.5]))
@settings(max_examples=20, deadline=None)
def test_outlines_are_true_to_the_pixels(seed, smooth):
    labels = blobs(seed, smooth=smooth)
    pixels = np.bincount(labels.ravel())[1:]
    raw, smoothed = cracks(labels), outlines(labels)
    assert len(smoothed.offsets) == len(raw.offsets) == len(pixels) + 1
    np.testing.assert_allclose(signed_areas(raw), pixels)
    for area, crack, ring in zip(pixels, polygons(raw), polygons(smoothed), strict=True):
        assert ring.is_valid or not crack.is_valid
        assert abs(ring.area / area - 1) < 0.01 or not ring.is_valid
        if crack.is_valid:
            iou = ring.intersection(crack).area / ring.union(crack).area
            assert iou >= (0.95 if area >= 60 else 0.9)
    np.testing.assert_allclose(signed_areas(smoothed), pixels, rtol=0.01)


@given(st.integers(0, 100_000), st.integers(0, 30), st.integers(0, 30))
@settings(max_examples=15, deadline=None)
def test_outlines_move_with_their_pixels(seed, down, right):
    labels = blobs(seed)
    still, moved = outlines(labels), outlines(np.pad(labels, ((down, 3), (right, 3))))
    np.testing.assert_array_equal(still.offsets, moved.offsets)
    np.testing.assert_allclose(moved.points, still.points + (right, down), atol=1e-9)


@given(st.integers(0, 100_000))
@settings(max_examples=15, deadline=None)
def test_cracks_are_drawn_back_to_the_same_pixels(seed):
    labels = blobs(seed, size=40)
    x, y = np.meshgrid(np.arange(40) + 0.5, np.arange(40) + 0.5)
    for label, crack in enumerate(polygons(cracks(labels)), 1):
        if crack.is_valid:
            np.testing.assert_array_equal(shapely.contains_xy(crack, x, y), labels == label)


def test_one_pixel_is_its_square():
    labels = np.zeros((4, 5), np.int32)
    labels[0, 0], labels[3, 4] = 1, 2
    first, second = polygons(cracks(labels))
    assert first.equals(shapely.box(0, 0, 1, 1)) and second.equals(shapely.box(4, 3, 5, 4))
    for ring, square in zip(polygons(outlines(labels)), (first, second), strict=True):
        assert ring.is_valid and ring.area == pytest.approx(1, rel=0.01)
        assert ring.intersection(square).area / ring.union(square).area >= 0.9


@pytest.mark.parametrize("shape", [(1, 7), (9, 1), (2, 2), (3, 30)])
def test_bars_that_fill_the_image(shape):
    labels = np.ones(shape, np.int32)
    (ring,) = polygons(outlines(labels))
    (crack,) = polygons(cracks(labels))
    assert crack.equals(shapely.box(0, 0, shape[1], shape[0]))
    assert ring.is_valid and ring.area == pytest.approx(labels.size, rel=0.01)
    assert iou(ring, crack) >= 0.9


@pytest.mark.parametrize("radius", [6, 10, 20, 40])
def test_a_disc_gets_a_disc_not_a_staircase(radius):
    rows, cols = np.mgrid[:100, :100]
    inside = np.hypot(cols + 0.5 - 50.3, rows + 0.5 - 49.6) < radius
    (ring,) = polygons(outlines(inside.astype(np.int32)))
    (crack,) = polygons(cracks(inside.astype(np.int32)))
    circle = shapely.Point(50.3, 49.6).buffer(radius, quad_segs=64)
    assert iou(ring, circle) > iou(crack, circle)
    tolerance = 0.03 if radius >= 10 else 0.06  # a staircase is 27 % too long
    assert ring.length == pytest.approx(2 * np.pi * radius, rel=tolerance)
    assert ring.centroid.distance(circle.centroid) < 0.15


def test_an_image_without_instances_has_no_outlines():
    for labels in (np.zeros((5, 5), np.int32), np.zeros((0, 0), np.int32)):
        for rings in (outlines(labels), cracks(labels)):
            assert rings.points.shape == (0, 2) and rings.offsets.tolist() == [0]
