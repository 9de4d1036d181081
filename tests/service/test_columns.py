"""What arrives from a server is what was announced, and names are those of the table that all clients follow."""

import csv
from pathlib import Path

import pytest
import shapely

from hemalum.runs.events import NucleiFound, Parameters
from hemalum.slides import open_slide

TABLE = Path(__file__).parents[1] / "cases" / "measurements.csv"


@pytest.fixture
def slide(toy_slide):
    with open_slide(toy_slide, 0.5) as opened:
        yield opened


def test_only_what_was_announced_arrives(client, slide):
    two = (shapely.box(10, 10, 200, 200), shapely.box(50, 50, 150, 150))
    for regions in (two[:1], two):
        run = client.run(slide, "toy", Parameters(core=256, regions=regions))
        found = [event.nuclei for event in run.events() if isinstance(event, NucleiFound) and len(event.nuclei)]
        assert found and all(tuple(nuclei.columns) == tuple(run.columns) for nuclei in found)


def test_every_name_is_in_the_table_and_says_whose_it_is(client, slide):
    with TABLE.open(encoding="utf-8") as file:
        table = {row["name"]: row for row in csv.DictReader(file)}
    run = client.run(slide, "toy", Parameters(core=256, regions=(shapely.box(10, 10, 200, 200),)))
    for name in run.columns:
        row = table[name]
        assert row["writes"] == "every client" and (row["whose"] == "Hemalum") == name.startswith("Hemalum: ")
        assert row["stain"] == "none" or row["whose"] == "Hemalum", "by our own stain: not QuPath's name"
