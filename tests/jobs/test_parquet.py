"""The Parquet table says what the GeoJSON says, in row groups, whole or not at all."""

import json

import numpy as np
import pytest
import shapely

parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed (extra `batch`)")


def test_the_table_equals_the_geojson(tmp_path, toy_slide, toy_model, monkeypatch):
    from hemalum.runs.events import Parameters
    from hemalum.runs.pipeline import Pipeline, segment_slide
    from hemalum.slides import open_slide

    monkeypatch.setattr("hemalum.sinks.parquet.GROUP", 100)
    with Pipeline("cpu", 1) as pipeline, open_slide(toy_slide, 0.5) as slide:
        segment_slide(slide, toy_model, pipeline, Parameters(core=256), ["geojson", "parquet"], tmp_path)
    features = json.loads((tmp_path / "tissue.geojson").read_text(encoding="utf-8"))["features"]
    file = parquet.ParquetFile(tmp_path / "tissue.parquet")
    table = file.read()
    assert file.num_row_groups > 1 and len(table) == len(features) > 400
    assert file.schema_arrow.metadata[b"hemalum.mpp"] == b"0.5"
    assert table["Object ID"].to_pylist() == [feature["id"] for feature in features]
    for name in features[0]["properties"]["measurements"]:
        said = [feature["properties"]["measurements"][name] for feature in features]
        assert np.allclose(table[name].to_numpy(), said, atol=5.1e-5, rtol=1e-6)
    outlines = shapely.from_wkb(table["Outline WKB px"].to_pylist())
    assert all(outlines[i].equals(shapely.geometry.shape(features[i]["geometry"])) for i in range(0, len(features), 37))
    assert not list(tmp_path.glob("*.part"))


def test_nothing_stays_after_an_abort_and_no_nuclei_make_an_empty_table(tmp_path):
    from hemalum.sinks import ParquetSink, Target

    ParquetSink(tmp_path / "a.parquet", Target(1, 1, 1.0, "m", "i")).abort()
    assert not list(tmp_path.iterdir())
    sink = ParquetSink(tmp_path / "b.parquet", Target(1, 1, 1.0, "m", "i", ("a",)))
    sink.close()
    assert len(parquet.read_table(tmp_path / "b.parquet")) == 0
