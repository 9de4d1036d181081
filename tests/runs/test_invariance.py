"""The same pixels and parameters give the same nuclei, whatever the tile order, the workers, the tile size."""

import json
import random

import numpy as np
import pytest
import shapely

from hemalum.runs.events import Parameters
from hemalum.runs.pipeline import Pipeline, segment_slide
from hemalum.slides import open_slide


def segmented(slide, model, folder, parameters=None, order=None, formats=("geojson", "labels", "csv"), **pipeline):
    folder.mkdir()
    with Pipeline("cpu", threads=1, **pipeline) as shared, open_slide(slide, 0.5) as opened:
        return segment_slide(opened, model, shared, parameters or Parameters(core=256), formats, folder, order=order)


def polygons(folder):
    features = json.loads((folder / "tissue.geojson").read_text(encoding="utf-8"))["features"]
    return [shapely.Polygon(f["geometry"]["coordinates"][0]) for f in features]


@pytest.fixture(scope="module")
def reference(toy_slide, toy_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("reference") / "out"
    return segmented(toy_slide, toy_model, folder), folder


def test_order_and_workers_change_no_byte(reference, toy_slide, toy_model, tmp_path):
    outcome, folder = reference
    assert outcome.summary.tiles == 9 and outcome.summary.nuclei > 400 and not outcome.summary.failed
    shuffled = list(range(9))
    random.Random(3).shuffle(shuffled)
    segmented(toy_slide, toy_model, tmp_path / "shuffled", order=shuffled)
    segmented(toy_slide, toy_model, tmp_path / "threads", workers=3)
    for name in ("tissue.geojson", "tissue.labels.png", "tissue.csv"):
        expected = (folder / name).read_bytes()
        assert (tmp_path / "shuffled" / name).read_bytes() == expected
        assert (tmp_path / "threads" / name).read_bytes() == expected


def test_processes_give_the_same(reference, toy_slide, toy_model, tmp_path):
    segmented(toy_slide, toy_model, tmp_path / "processes", workers=2, processes=True, formats=["geojson"])
    assert (tmp_path / "processes" / "tissue.geojson").read_bytes() == (reference[1] / "tissue.geojson").read_bytes()


def test_another_tile_size_finds_the_same_nuclei(reference, toy_slide, toy_model, tmp_path):
    segmented(toy_slide, toy_model, tmp_path / "large", Parameters(core=512), formats=["geojson"])
    ours, theirs = polygons(reference[1]), polygons(tmp_path / "large")
    tree = shapely.STRtree(theirs)
    matched = 0
    for polygon in ours:
        near = [theirs[i] for i in tree.query(polygon, predicate="intersects")]
        matched += any(polygon.intersection(other).area / polygon.union(other).area > 0.7 for other in near)
    assert matched / len(ours) >= 0.995 and abs(len(ours) - len(theirs)) <= 0.005 * len(ours)


def test_no_nucleus_is_counted_twice_and_every_outline_is_valid(reference):
    found = polygons(reference[1])
    assert all(polygon.is_valid and not polygon.is_empty for polygon in found)
    tree = shapely.STRtree(found)
    first, second = tree.query(found, predicate="intersects")
    pairs = first < second
    first, second = np.array(found)[first[pairs]], np.array(found)[second[pairs]]
    shared = shapely.area(shapely.intersection(first, second)) / np.minimum(shapely.area(first), shapely.area(second))
    assert not len(shared) or shared.max() <= 0.5
    assert shapely.union_all(found).bounds[0] >= 0 and shapely.union_all(found).bounds[2] <= 700


def test_region_keeps_nuclei_by_centroid_and_agrees_with_the_whole(reference, toy_slide, toy_model, tmp_path):
    box = shapely.box(200, 150, 420, 380)
    segmented(toy_slide, toy_model, tmp_path / "region", Parameters(core=256, regions=(box,)), formats=["geojson"])
    ids = [
        {f["id"] for f in json.loads((folder / "tissue.geojson").read_text())["features"]}
        for folder in (reference[1], tmp_path / "region")
    ]
    inside = {
        f["id"]
        for f in json.loads((reference[1] / "tissue.geojson").read_text())["features"]
        if box.intersects(shapely.Polygon(f["geometry"]["coordinates"][0]).centroid)
    }
    assert ids[1] <= ids[0] and ids[1] == inside


def test_united_regions_name_the_deepest(toy_slide, toy_model, tmp_path):
    from hemalum.runs.pipeline import drive, image_info
    from hemalum.runs.planning import REGION

    outer, inner = shapely.box(0, 0, 300, 300), shapely.box(100, 100, 200, 200)
    with Pipeline("cpu", threads=1) as shared, open_slide(toy_slide, 0.5) as slide:
        run = shared.run(toy_model, image_info(slide), slide.overview(), Parameters(core=256, regions=(outer, inner)))
        nuclei = [
            event.nuclei
            for event in drive(run, slide.read)
            if hasattr(event, "nuclei") and hasattr(event.nuclei, "centroids")
        ]
    centroids, owner = (
        np.concatenate([n.centroids for n in nuclei]),
        np.concatenate([n.columns[REGION] for n in nuclei]),
    )
    deep = shapely.intersects_xy(inner, *centroids.T)
    assert deep.any() and (~deep).any() and (owner == deep).all()
