"""Nuclei as columns: nothing is lost on the way through slices, joins and messages."""

import uuid

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hemalum.nuclei.nuclei import UNIT, Nuclei, pack, unpack

coordinate = st.integers(-(2**31) + 1, 2**31 - 1)
rings = st.lists(st.lists(st.tuples(coordinate, coordinate), min_size=3, max_size=9), max_size=8)


def joined(parts):
    vertices = np.array([vertex for ring in parts for vertex in ring], np.int32).reshape(-1, 2)
    return vertices, np.cumsum([0, *map(len, parts)])


def sample(count, seed=0, columns=("Area µm^2", "Circularity")):
    rng = np.random.default_rng(seed)
    corners = np.array([[0, 0], [40, 0], [40, 40], [20, 60], [0, 40]])
    parts = [corners[: 3 + int(rng.integers(3))] + rng.integers(0, 100_000, 2) for _ in range(count)]
    vertices, offsets = joined(parts)
    return Nuclei.of(
        vertices, offsets, rng.random(count), tile=seed, edge=rng.integers(0, 5, count).astype(float),
        columns={name: rng.random(count) for name in columns},
    )  # fmt: skip


def same(a, b):
    assert len(a) == len(b) and list(a.columns) == list(b.columns)
    for name in ("vertices", "offsets", "centroids", "probability", "tile", "edge"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    for name in a.columns:
        np.testing.assert_array_equal(a.columns[name], b.columns[name])


@given(rings)
@settings(deadline=None)
def test_outlines_come_out_of_a_message_as_they_went_in(parts):
    vertices, offsets = joined(parts)
    counts, deltas = pack(vertices, offsets)
    # a jump across a whole slide may not fit the wire's int32; nothing a slide can hold is that far apart
    if len(vertices) < 2 or np.abs(np.diff(vertices.astype(np.int64), axis=0)).max() < 2**31:
        back, back_offsets = unpack(counts.tolist(), deltas.tolist())
        np.testing.assert_array_equal(back, vertices)
        np.testing.assert_array_equal(back_offsets, offsets)


@pytest.mark.parametrize(
    ("counts", "deltas"),
    [
        ([2], [0, 0, 1, 1]),
        ([3], [0, 0, 1, 1]),
        ([], [0, 0]),
        ([3], [0] * 7),
        ([3], [2**31 - 1, 0, 2**31 - 1, 0, 0, 0]),
        ([4, 0], [0] * 8),
    ],
)
def test_a_message_that_is_no_outline_is_refused(counts, deltas):
    with pytest.raises(ValueError):
        unpack(counts, deltas)


@given(st.integers(0, 12), st.data())
@settings(deadline=None)
def test_taking_pieces_and_joining_them_gives_the_same_nuclei(count, data):
    nuclei = sample(count)
    cut = data.draw(st.integers(0, count))
    same(Nuclei.concat([nuclei.take(np.arange(cut)), nuclei.take(np.arange(cut, count))]), nuclei)
    order = data.draw(st.permutations(range(count)))
    shuffled = nuclei.take(np.array(order, int))
    same(shuffled.take(np.argsort(np.array(order, int))), nuclei)
    for i, source in enumerate(order):
        assert shuffled.polygons()[i].equals(nuclei.polygons()[source])


@given(st.lists(st.booleans(), min_size=5, max_size=5))
def test_a_mask_takes_what_its_indices_take(mask):
    same(sample(5).take(np.array(mask)), sample(5).take(np.flatnonzero(mask)))


def test_parts_of_other_measurements_do_not_join_but_empty_ones_do():
    with pytest.raises(ValueError, match="measurements"):
        Nuclei.concat([sample(2), sample(2, columns=("Area µm^2",))])
    same(Nuclei.concat([Nuclei.empty(), sample(3), Nuclei.empty(("x",))]), sample(3))
    assert len(Nuclei.concat([])) == 0
    assert list(Nuclei.concat([Nuclei.empty(("a",)), Nuclei.empty(("a",))]).columns) == ["a"]


def test_columns_of_another_length_are_refused():
    square = np.array([[0, 0], [8, 0], [8, 8], [0, 8]])
    with pytest.raises(ValueError, match="lengths"):
        Nuclei.of(square, np.array([0, 4]), probability=[0.5, 0.5])
    with pytest.raises(ValueError, match="offsets"):
        Nuclei.of(square, np.array([0, 2, 4]))


@given(st.integers(0, 800_000), st.integers(0, 800_000))
def test_area_and_centroid_do_not_depend_on_the_place_on_the_slide(x, y):
    triangle = np.array([[0, 0], [24, 0], [0, 12]]) + (x, y)
    nuclei = Nuclei.of(triangle, np.array([0, 3]))
    assert nuclei.areas().tolist() == [2.25]
    np.testing.assert_allclose(nuclei.centroids[0], [(x + 8) / UNIT, (y + 4) / UNIT], rtol=0, atol=1e-9)
    assert nuclei.boxes().tolist() == [[x, y, x + 24, y + 12]]


def test_ids_are_uuid5_and_follow_model_image_and_centroid_only():
    nuclei = sample(6)
    ids = nuclei.ids("nuclei", "slide")
    assert len(set(ids)) == 6
    for name in ids:
        parsed = uuid.UUID(name)
        assert parsed.version == 5 and parsed.variant == uuid.RFC_4122 and str(parsed) == name
    assert nuclei.take([4, 1]).ids("nuclei", "slide") == [ids[4], ids[1]]
    again = Nuclei.of(nuclei.vertices, nuclei.offsets, tile=9)
    assert again.ids("nuclei", "slide") == ids
    assert not set(ids) & set(nuclei.ids("other", "slide")) and not set(ids) & set(nuclei.ids("nuclei", "other"))


@given(st.integers(1, 20), st.randoms())
@settings(deadline=None)
def test_rank_does_not_depend_on_the_order_of_columns(count, random):
    nuclei = sample(count)
    order = list(range(count))
    random.shuffle(order)
    shuffled = nuclei.take(order)
    same(shuffled.take(shuffled.order()), nuclei.take(nuclei.order()))
    assert (np.diff(nuclei.edge[nuclei.order()]) <= 0).all()
