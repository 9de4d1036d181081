"""One server for the tests that only talk to it, and what they compare its answers with."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import time
from pathlib import Path

import pytest

_spec = importlib.util.spec_from_file_location("service_children", Path(__file__).with_name("children.py"))
children = sys.modules["service_children"] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(children)


@pytest.fixture(scope="session")
def slides(tmp_path_factory, toy_slide) -> Path:
    """A folder a server may open: `inside.png` and a link that leads out."""
    folder = tmp_path_factory.mktemp("allowed")
    (folder / "inside.png").write_bytes(toy_slide.read_bytes())
    with contextlib.suppress(OSError):  # Windows without the right to
        (folder / "link.png").symlink_to(toy_slide)
    return folder


@pytest.fixture(scope="session")
def server(toy_models, slides):
    child = children.local_child("--models", toy_models, "--slides", slides)
    yield child
    child.end()


@pytest.fixture
def client(server):
    from hemalum.client.client import Client

    with Client(server.address, token=server.token) as client:
        yield client


@pytest.fixture(scope="session")
def expected(toy_slide, toy_model):
    """Outlines, probabilities and measurements of the toy slide computed in this process, sorted; also its plan's
    tiles."""
    from hemalum.runs.events import Parameters
    from hemalum.runs.pipeline import Pipeline, drive, image_info
    from hemalum.slides import open_slide

    with Pipeline("cpu") as pipeline, open_slide(toy_slide, 0.5) as slide:
        run = pipeline.run(toy_model, image_info(slide), slide.overview(), Parameters(core=256))
        return sorted_nuclei(run, drive(run, slide.read))


def sorted_nuclei(run, events) -> list[tuple]:
    """Everything a run says of its nuclei, in one order."""
    from hemalum.runs.events import NucleiFound

    rows = []
    for event in events:
        if isinstance(event, NucleiFound):
            nuclei = event.nuclei
            for i, name in enumerate(run.ids(nuclei)):
                outline = nuclei.vertices[nuclei.offsets[i] : nuclei.offsets[i + 1]].tolist()
                values = {column: repr(float(values[i])) for column, values in sorted(nuclei.columns.items())}
                rows.append(
                    (
                        name,
                        outline,
                        nuclei.centroids[i].tolist(),
                        float(nuclei.probability[i]),
                        int(nuclei.tile[i]),
                        values,
                    )
                )
    return sorted(rows, key=lambda row: row[0])


@pytest.fixture(scope="session")
def nuclei_of():
    return sorted_nuclei


@pytest.fixture
def until():
    """Wait for a condition, at most so many seconds."""

    def wait(condition, seconds: float = 10) -> bool:
        end = time.monotonic() + seconds
        while not (met := condition()) and time.monotonic() < end:
            time.sleep(0.02)
        return met

    return wait
