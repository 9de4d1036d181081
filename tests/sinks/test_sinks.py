"""Sinks: numbers are printed exactly, label images follow the outlines, nothing half-written stays."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hemalum.errors import DiskFull
from hemalum.files import PartFile
from hemalum.nuclei.nuclei import Nuclei
from hemalum.sinks import CsvSink, GeoJsonSink, LabelSink, OverlaySink, Target

COLUMNS = ("Nucleus: Area µm^2", 'odd "name"')


def some(count, rng, size=400):
    angles = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    centres = rng.uniform(20, size - 20, (count, 1, 2))
    radii = rng.uniform(3, 9, (count, 1, 1))
    points = centres + radii * np.stack([np.cos(angles), np.sin(angles)], -1)
    columns = {name: rng.normal(size=count) * 100 for name in COLUMNS}
    nuclei = Nuclei.of(
        np.rint(points * 8).astype(int).reshape(-1, 2), np.arange(count + 1) * 16, rng.random(count), columns=columns
    )
    nuclei.edge = rng.uniform(0, 100, count)
    return nuclei


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 50))
def test_geojson_says_exactly_what_the_nuclei_are(tmp_path_factory, seed, count):
    nuclei = some(count, np.random.default_rng(seed))
    path = tmp_path_factory.mktemp("g") / "a.geojson"
    sink = GeoJsonSink(path, Target(400, 400, 0.25, "m", "i", COLUMNS))
    ids = nuclei.ids("m", "i")
    half = count // 2
    sink.write(nuclei.take(np.arange(half)), ids[:half])
    sink.write(nuclei.take(np.arange(half, count)), ids[half:])
    sink.close()
    features = json.loads(path.read_text(encoding="utf-8"))["features"]
    assert [f["id"] for f in features] == ids and [p.name for p in path.parent.iterdir()] == ["a.geojson"]
    for i, feature in enumerate(features):
        ring = np.array(feature["geometry"]["coordinates"][0])
        assert (ring[0] == ring[-1]).all()
        assert (ring[:-1] == nuclei.vertices[nuclei.offsets[i] : nuclei.offsets[i + 1]] / 8).all()
        said = feature["properties"]["measurements"]
        for name in COLUMNS:
            assert said[name] == pytest.approx(float(nuclei.columns[name][i]), abs=5.1e-5)
        assert feature["properties"]["objectType"] == "detection"


def test_numbers_at_the_edge(tmp_path):
    nuclei = Nuclei.of(
        np.array([[0, -9], [2**30, 1], [7, 8]]), [0, 3], columns={"a": [np.nan], "b": [-0.00001], "c": [123456.0]}
    )
    sink = GeoJsonSink(tmp_path / "a.geojson", Target(1, 1, 1, "m", "i", ("a", "b", "c")))
    sink.write(nuclei, nuclei.ids("m", "i"))
    sink.close()
    feature = json.loads((tmp_path / "a.geojson").read_text())["features"][0]
    assert feature["geometry"]["coordinates"][0][:3] == [[0, -1.125], [2**27, 0.125], [0.875, 1]]
    said = feature["properties"]["measurements"]
    assert said["a"] is None and said["b"] == 0 and said["c"] == 123456


@pytest.mark.parametrize("region", [None, (37, 60, 200, 100)])
def test_labels_follow_the_pixel_centre_rule_and_the_rank(tmp_path, region):
    import shapely

    nuclei = some(120, np.random.default_rng(5), 300)
    sink = LabelSink(tmp_path / "a", Target(300, 290, 0.25, "m", "i", COLUMNS, region))
    sink.write(nuclei, nuclei.ids("m", "i"))
    sink.close()
    x, y, width, height = region or (0, 0, 300, 290)
    found = np.asarray(Image.open(tmp_path / "a.labels.png"))
    rows, cols = np.mgrid[:height, :width]
    strict, loose = np.zeros((2, height, width), int)  # they differ where a centre lies exactly on an edge
    for i in nuclei.order()[::-1]:
        for image, rule in ((strict, shapely.contains_xy), (loose, shapely.intersects_xy)):
            image[
                rule(nuclei.polygons()[i], (cols + x + 0.5).ravel(), (rows + y + 0.5).ravel()).reshape(height, width)
            ] = i + 1
    assert found.dtype == np.uint16 and found.shape == strict.shape
    assert (strict == loose).mean() > 0.99 and (found == strict)[strict == loose].all()
    assert [p.name for p in tmp_path.iterdir()] == ["a.labels.png"]


def test_many_nuclei_make_a_32_bit_tiff(tmp_path, monkeypatch):
    import tifffile

    monkeypatch.setattr("hemalum.sinks.labels.MOST_PNG", 10)
    nuclei = some(30, np.random.default_rng(2), 1200)
    (tmp_path / "a.labels.png").write_bytes(b"of an earlier run")
    for name, most in (("a", 10), ("b", 1000)):
        monkeypatch.setattr("hemalum.sinks.labels.MOST_PNG", most)
        sink = LabelSink(tmp_path / name, Target(1200, 1100, 0.25, "m", "i", COLUMNS))
        sink.write(nuclei, nuclei.ids("m", "i"))
        sink.close()
    image = tifffile.imread(tmp_path / "a.labels.tif")
    assert image.dtype == np.uint32 and (image == np.asarray(Image.open(tmp_path / "b.labels.png"))).all()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.labels.tif", "b.labels.png"]


@pytest.mark.parametrize(
    "make",
    [
        lambda p, t: GeoJsonSink(p / "a.geojson", t),
        lambda p, t: CsvSink(p / "a.csv", t),
        lambda p, t: LabelSink(p / "a", t),
    ],
)
def test_a_full_disk_is_said_and_leaves_nothing(tmp_path, make, monkeypatch):
    nuclei = some(20, np.random.default_rng(3))
    sink = make(tmp_path, Target(400, 400, 0.25, "m", "i", COLUMNS))

    class Full:
        def write(self, content):
            raise OSError(28, "No space left on device")

        def close(self):
            pass

    inner = next(value for value in vars(sink).values() if isinstance(value, PartFile))
    inner._file.close()
    inner._file = Full()
    with pytest.raises(DiskFull, match="no space left"):
        sink.write(nuclei, nuclei.ids("m", "i"))
    sink.abort()
    assert not list(tmp_path.iterdir())


def test_an_overlay_is_the_slide_in_pieces_with_outlines_on_it(tmp_path):
    from hemalum.grid.resample import box_mean
    from hemalum.sinks.overlay import picture_of
    from hemalum.slides import open_slide

    pixels = np.random.default_rng(5).integers(0, 256, (2500, 4099, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png", compress_level=1)
    with open_slide(tmp_path / "a.png", 0.5) as slide:
        picture, downsample = picture_of(slide)
    assert downsample == 2 and (picture == box_mean(pixels, 2)).all()
    picture.flags.writeable = False  # as a slide's overview is
    nuclei = some(20, np.random.default_rng(3))
    sink = OverlaySink(
        tmp_path / "a.overlay.png", Target(4099, 2500, 0.5, "m", "i", COLUMNS, picture=lambda: (picture, downsample))
    )
    for half in (np.arange(10), np.arange(10, 20)):
        sink.write(nuclei.take(half), [])
    sink.close()
    drawn = (np.asarray(Image.open(sink.paths[0])) != picture).any(2)
    on = np.zeros_like(drawn)
    for x, y in (nuclei.vertices / 8 / downsample).astype(int):
        on[y - 2 : y + 3, x - 2 : x + 3] = True
    assert drawn.sum() > 200 and not drawn[~on].any()


@pytest.mark.parametrize("failing", [1, 2])
@pytest.mark.parametrize("step", ["finish", "close"])
def test_of_several_sinks_all_files_appear_or_none(tmp_path, monkeypatch, failing, step):
    from hemalum.runs import writing
    from hemalum.sinks import open_sinks

    target = Target(40, 40, 0.5, "m", "i", picture=lambda: (np.zeros((40, 40, 3), np.uint8), 1.0))
    sinks = open_sinks(["geojson", "csv", "labels"], tmp_path, "a", target)

    def fail():
        raise DiskFull("no space left")

    monkeypatch.setattr(sinks[failing], step, fail)
    with pytest.raises(DiskFull):
        writing.publish(sinks)
    assert list(tmp_path.iterdir()) == []
