"""The run record: one schema wherever a run was computed; nuclei that reached the size limit are counted and said."""

import json

import pytest

from hemalum.client.child import local_server
from hemalum.client.client import Client
from hemalum.runs.events import Parameters
from hemalum.runs.pipeline import Pipeline, segment_slide
from hemalum.slides import open_slide

ELSEWHERE = {"server"}  # only where there was one


def schema(value):
    """Keys and types, all the way down; texts of a dictionary's keys count, of lists the kinds of their members."""
    if isinstance(value, dict):
        return {key: schema(part) for key, part in value.items()}
    if isinstance(value, list):
        return sorted({json.dumps(schema(part), sort_keys=True) for part in value})
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


def test_a_record_has_one_schema_here_and_from_a_server(toy_model, toy_models, toy_slide, tmp_path):
    parameters = Parameters(core=256, foreground=0.4)
    for where in ("here", "there"):
        (tmp_path / where).mkdir()
    with Pipeline("cpu", threads=1) as pipeline, open_slide(toy_slide, 0.5) as slide:
        here = segment_slide(slide, toy_model, pipeline, parameters, ["geojson"], tmp_path / "here")
    with (
        local_server([toy_models]) as (port, token),
        Client(f"127.0.0.1:{port}", token=token) as client,
        open_slide(toy_slide, 0.5) as slide,
    ):
        there = client.segment_slide(slide, "toy", parameters, ["geojson"], tmp_path / "there")
    records = [
        json.loads((tmp_path / where / "tissue.run.json").read_text(encoding="utf-8")) for where in ("here", "there")
    ]
    assert set(records[1]) - set(records[0]) == ELSEWHERE
    local, remote = ({key: part for key, part in record.items() if key not in ELSEWHERE} for record in records)
    assert schema(local) == schema(remote)
    for key in ("model", "parameters", "stain", "plan", "counts", "precision"):
        assert local[key] == remote[key], key
    assert local["model"]["licence"]["why"] and local["precision"] == "fp32"
    assert here.summary.nuclei == there.summary.nuclei > 300


@pytest.mark.parametrize(("mpp", "said"), [(0.5, False), (2.0, True)])
def test_nuclei_as_large_as_the_model_allows_are_said(toy_model, toy_slide, tmp_path, mpp, said):
    with Pipeline("cpu", threads=1) as pipeline, open_slide(toy_slide, mpp) as slide:
        outcome = segment_slide(slide, toy_model, pipeline, Parameters(), ["geojson"], tmp_path)
    notices = [notice for notice in outcome.notices if "reached 30 µm" in notice]
    assert bool(notices) == said and (not said or "check --mpp" in notices[0])
    counts = outcome.record["counts"]
    assert (counts["at_size_limit"] > 0.03 * counts["nuclei"]) == said
