"""Maps to instances: known discs, what holds for any map, and scikit-image's watershed beside ours."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.segmentation import watershed as reference_watershed

from hemalum.nuclei.instances import InstanceParameters, instances
from hemalum.nuclei.watershed import LEVELS, watershed

FOREGROUND, MARKER, MIN_MARKER = 0.45, 0.5, 3.0


def discs(shape, circles):
    """Foreground and distance maps of discs (x, y, radius); a pixel in two belongs to the one it is deeper in."""
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    distance = np.zeros(shape, np.float32)
    for x, y, radius in circles:
        distance = np.maximum(distance, 1 - np.hypot(cols - x, rows - y) / radius).astype(np.float32)
    return (distance > 0).astype(np.float32), distance


def noise(seed, size=90, smooth=2.5):
    rng = np.random.default_rng(seed)
    fields = [ndimage.gaussian_filter(rng.standard_normal((size, size)), s) for s in (smooth, smooth * 0.8)]
    foreground, distance = (np.clip(f / f.std() * 0.3 + 0.45, 0, 1).astype(np.float32) for f in fields)
    return foreground, distance


def check(labels, parameters):
    """What holds for every label image."""
    count = labels.max()
    assert labels.dtype == np.int32 and set(np.unique(labels)) - {0} == set(range(1, count + 1))
    firsts = [np.flatnonzero(labels == k)[0] for k in range(1, count + 1)]
    assert firsts == sorted(firsts), "numbered in raster order"
    for k in range(1, count + 1):
        own = np.pad(labels == k, 1)
        assert own.sum() >= parameters.min_area
        assert ndimage.label(own)[1] == 1, "one 4-connected piece"
        outside, pieces = ndimage.label(~own, np.ones((3, 3)))
        for piece in range(1, pieces + 1):
            if piece != outside[0, 0]:
                # with a nucleus in it, it is a lake
                assert np.pad(labels, 1)[outside == piece].any(), "a hole of background"


def test_separate_discs_are_found_pixel_by_pixel():
    circles = [(30, 30, 12), (80, 40, 15), (50, 90, 9), (110, 100, 14)]
    foreground, distance = discs((130, 140), circles)
    labels = instances(foreground, distance, InstanceParameters())
    check(labels, InstanceParameters())
    assert labels.max() == 4
    np.testing.assert_array_equal(labels > 0, foreground > 0.45)
    assert len({labels[y, x] for x, y, _ in circles}) == 4


def test_touching_discs_are_cut_along_the_line_between_them():
    foreground, distance = discs((60, 90), [(30, 30, 14), (54, 30, 14)])
    labels = instances(foreground, distance, InstanceParameters())
    assert labels.max() == 2
    rows, cols = np.nonzero(foreground)
    expected = np.where(cols < 42, labels[30, 30], labels[30, 54])
    clear = abs(cols - 42) > 1
    np.testing.assert_array_equal(labels[rows, cols][clear], expected[clear])


def test_specks_and_faint_pixels_are_no_nuclei():
    foreground, distance = discs((100, 100), [(20, 20, 3), (60, 60, 12), (85, 20, 12)])
    foreground[:40, 70:] *= 0.3
    labels = instances(foreground, distance, InstanceParameters(min_area=40, foreground=0.45))
    assert labels.max() == 1 and labels[60, 60] == 1
    assert instances(foreground, np.zeros_like(distance), InstanceParameters()).max() == 0, "no marker, no nucleus"


def test_a_speckled_marker_does_not_split_a_nucleus():
    foreground, distance = discs((80, 80), [(40, 40, 20)])
    distance[30, 60] = distance[52, 50] = 0.9
    labels = instances(foreground, distance, InstanceParameters(sigma=0, min_marker=8))
    assert labels.max() == 1 and (labels > 0).sum() == (foreground > 0).sum()


def test_holes_in_the_foreground_are_filled_but_lakes_between_nuclei_are_not():
    foreground, distance = discs((80, 80), [(40, 40, 20)])
    foreground[38:42, 50:54] = 0
    assert instances(foreground, distance, InstanceParameters())[40, 52] == 1
    circles = [(40 + 22 * np.cos(a), 40 + 22 * np.sin(a), 13) for a in np.arange(6) * np.pi / 3]
    ring = instances(*discs((80, 80), circles), InstanceParameters())
    assert ring.max() == 6 and ring[40, 40] == 0


@given(st.integers(0, 10_000), st.sampled_from([0.0, 1.0, 1.5]), st.integers(1, 60))
@settings(max_examples=40, deadline=None)
def test_any_map_gives_whole_instances_without_holes(seed, sigma, min_area):
    foreground, distance = noise(seed)
    parameters = InstanceParameters(sigma=sigma, min_area=min_area, min_marker=3)
    copies = foreground.copy(), distance.copy()
    labels = instances(foreground, distance, parameters)
    check(labels, parameters)
    np.testing.assert_array_equal(foreground, copies[0])
    np.testing.assert_array_equal(distance, copies[1])


@given(st.integers(0, 10_000), st.floats(8, 60))
@settings(max_examples=30, deadline=None)
def test_no_nucleus_is_larger_than_the_largest(seed, largest):
    foreground, distance = noise(seed, smooth=4)
    parameters = InstanceParameters(largest=largest, min_area=1, min_marker=1, foreground=0.2)
    labels = instances(foreground, distance, parameters)
    for rows, cols in (np.nonzero(labels == k) for k in range(1, labels.max() + 1)):
        assert max(np.ptp(rows), np.ptp(cols)) <= largest


@given(st.integers(0, 10_000), st.integers(0, 40), st.integers(0, 40))
@settings(max_examples=40, deadline=None)
def test_instances_move_with_their_map(seed, down, right):
    foreground, distance = (np.pad(a, 25) for a in noise(seed))
    moved = [np.pad(a, ((down, 40 - down), (right, 40 - right))) for a in (foreground, distance)]
    still = [np.pad(a, ((0, 40), (0, 40))) for a in (foreground, distance)]
    expected = instances(*still, InstanceParameters(min_marker=3))
    result = instances(*moved, InstanceParameters(min_marker=3))
    np.testing.assert_array_equal(result, np.roll(expected, (down, right), (0, 1)))


@given(st.integers(0, 10_000), st.integers(90, 160))
@settings(max_examples=30, deadline=None)
def test_a_cut_changes_nothing_far_inside(seed, cut):
    """A nucleus reaches at most `largest`, and shares borders only with nuclei that do."""
    largest = 24.0
    foreground, distance = noise(seed, size=200)
    parameters = InstanceParameters(largest=largest, min_area=1, min_marker=3)
    whole = instances(foreground, distance, parameters)
    part = instances(foreground[:, :cut], distance[:, :cut], parameters)
    inside = np.s_[:, : cut - int(2.5 * largest)]
    np.testing.assert_array_equal(whole[inside] > 0, part[inside] > 0)
    both = zip(whole[inside].ravel().tolist(), part[inside].ravel().tolist(), strict=True)
    pairs = {(a, b) for a, b in both if a or b}
    assert len({a for a, _ in pairs}) == len({b for _, b in pairs}) == len(pairs), "the same pixels belong together"


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (2, 2)])
def test_the_smallest_maps(shape):
    ones = np.ones(shape, np.float32)
    parameters = InstanceParameters(min_area=1, min_marker=1)
    np.testing.assert_array_equal(instances(ones, ones, parameters), np.ones(shape))
    assert instances(ones * 0, ones, parameters).max() == 0


def test_touching_nuclei_whose_distance_never_falls_below_the_marker_come_apart_when_parts_count():
    maps = discs((60, 90), [(35, 30, 15), (49, 30, 15)])
    whole, parts = (instances(*maps, InstanceParameters(marker=0.45, sigma=1.0, part=part)) for part in (0, 20))
    assert whole.max() == 1 and parts.max() == 2
    assert parts[30, 35] != parts[30, 49] and ((whole > 0) == (parts > 0)).all()


def test_a_part_smaller_than_asked_for_is_no_nucleus_of_its_own():
    maps = discs((60, 90), [(35, 30, 15), (49, 30, 15)])
    assert instances(*maps, InstanceParameters(marker=0.45, sigma=1.0, part=400)).max() == 1


def test_three_in_a_row_come_apart_whichever_pair_is_closer():
    for gap in (13, 15):
        maps = discs((60, 90), [(20, 30, 15), (20 + gap, 30, 15), (48, 30, 15)])
        labels = instances(*maps, InstanceParameters(marker=0.3, sigma=1.0, part=12))
        assert labels.max() == 3


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_parts_turn_with_the_image(seed):
    rng = np.random.default_rng(seed)
    centres = zip(rng.integers(10, 80, 4), rng.integers(10, 50, 4), strict=True)
    maps = discs((60, 90), [(x, y, 11) for x, y in centres])
    parameters = InstanceParameters(marker=0.45, sigma=1.0, part=20)
    turned = instances(*(np.ascontiguousarray(m[::-1, ::-1]) for m in maps), parameters)
    assert turned.max() == instances(*maps, parameters).max()


def levels_of(smooth):
    return np.clip((1 - smooth) * np.float32(LEVELS - 1), 0, LEVELS - 1).astype(np.uint8)


def both(foreground, smooth):
    """Labels of ours and of scikit-image's from the same markers on the same levels; nothing stops growth."""
    mask = foreground > np.float32(FOREGROUND)
    markers, _ = ndimage.label(mask & (smooth > np.float32(MARKER)))
    markers[np.bincount(markers.ravel())[markers] < MIN_MARKER] = 0
    theirs = reference_watershed(levels_of(smooth), markers, mask=mask, connectivity=1)
    ours, cut = watershed(foreground, FOREGROUND, smooth, MARKER, MIN_MARKER, reach=1e6)
    assert not cut.any()
    return ours, theirs


@given(st.integers(0, 10**6), st.integers(1, 14))
@settings(max_examples=100, deadline=None)
def test_touching_discs_are_parted_as_by_scikit_image(seed, count):
    """From discs' markers the levels only rise; then both differ at most where two nuclei reach a pixel at one level.

    scikit-image gives all pixels of markers one age, so which of them comes first is left to its heap.
    """
    rng = np.random.default_rng(seed)
    low, high = (5, 5, 4), (85, 75, 18)
    foreground, smooth = discs((80, 90), rng.uniform(low, high, (count, 3)))
    ours, theirs = both(foreground, smooth)
    levels, labels = np.pad(levels_of(smooth).astype(int), 1, constant_values=LEVELS), np.pad(ours, 1)
    for y, x in np.argwhere(ours != theirs) + 1:
        beside = [(y - 1, x), (y, x - 1), (y, x + 1), (y + 1, x)]
        first = min(levels[place] for place in beside)
        assert len({labels[place] for place in beside if levels[place] == first}) > 1, "no tie"


@given(st.integers(0, 10**6))
@settings(max_examples=50, deadline=None)
def test_any_map_is_parted_nearly_as_by_scikit_image(seed):
    ours, theirs = both(*noise(seed))
    np.testing.assert_array_equal(ours > 0, theirs > 0)
    assert np.count_nonzero(ours != theirs) <= 0.01 * np.count_nonzero(ours)
