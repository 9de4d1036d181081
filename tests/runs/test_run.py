"""The run itself: what may be submitted, failing, cancelling, credits, and one queue for several runs."""

import gc
import threading
import time
import weakref
from types import SimpleNamespace

import numpy as np
import pytest

from hemalum.engine import TileQueue
from hemalum.errors import Cancelled, ProtocolError, RegionOutside, UnreadableImage, UsageError
from hemalum.models import find
from hemalum.runs.events import Finished, ImageInfo, NormalizedTile, Parameters, TileConsumed, TileFailed, TileSettled
from hemalum.runs.pipeline import Pipeline, drive, image_info
from hemalum.runs.planning import plan_run
from hemalum.slides import open_slide


@pytest.fixture
def opened(toy_slide, toy_model):
    with Pipeline("cpu", threads=1) as pipeline, open_slide(toy_slide, 0.5) as slide:

        def start(**parameters):
            return pipeline.run(toy_model, image_info(slide), slide.overview(), Parameters(core=256, **parameters))

        yield start, slide


def test_bad_tiles_are_refused_and_the_run_goes_on(opened):
    start, slide = opened
    run = start()
    tile = run.plan.tiles[0]
    pixels = slide.read(tile.read, run.plan.scale.n)
    with pytest.raises(ProtocolError, match="no tile 99"):
        run.submit(99, pixels)
    with pytest.raises(ProtocolError, match="size"):
        run.submit(0, pixels[:-1])
    run.submit(0, pixels)
    with pytest.raises(ProtocolError, match="twice"):
        run.submit(0, pixels)
    run.end()
    summary = [event for event in run.events() if isinstance(event, Finished)][0].summary
    assert summary.nuclei > 20 and set(summary.failed.values()) == {"not sent"} and len(summary.failed) == 8


def test_a_tile_that_cannot_be_read_fails_alone(opened):
    start, slide = opened
    run = start()

    def read(rect, n):
        if rect == run.plan.tiles[4].read:
            raise UnreadableImage("the middle cannot be decoded; copy the slide again")
        return slide.read(rect, n)

    events = list(drive(run, read))
    assert [(e.index, e.reason[:10]) for e in events if isinstance(e, TileFailed)] == [(4, "the middle")]
    assert sorted(e.index for e in events if isinstance(e, TileSettled)) == list(range(9))
    assert sorted(e.index for e in events if isinstance(e, TileConsumed)) == [0, 1, 2, 3, 5, 6, 7, 8]
    assert list(events[-1].summary.failed) == [4] and events[-1].summary.nuclei > 300


def test_a_run_that_breaks_is_told_why_and_takes_no_other_with_it(opened, monkeypatch):
    start, slide = opened
    broken, other = start(), start()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    workers = type("Workers", (), {"tile": full, "count": 1})()
    monkeypatch.setattr(broken, "place", broken.place._replace(workers=workers))
    with pytest.raises(OSError, match="No space left"):
        list(drive(broken, slide.read))
    assert list(drive(other, slide.read))[-1].summary.nuclei > 300


def test_cancel_stops_within_a_tile(opened):
    start, slide = opened
    run = start()
    seen = []
    with pytest.raises(Cancelled):
        for event in drive(run, slide.read):
            seen.append(event)
            run.cancel()
    assert len(seen) == 1
    with pytest.raises(Cancelled):
        run.submit(8, slide.read(run.plan.tiles[8].read, 1))


def test_a_reader_that_stops_holds_back_only_its_own_run(opened):
    start, slide = opened
    stuck, lively = start(), start()
    for tile in stuck.plan.tiles:
        stuck.submit(tile.index, slide.read(tile.read, 1))  # nobody reads its events
    events = list(drive(lively, slide.read))
    assert isinstance(events[-1], Finished) and len(stuck._lane) > 0
    stuck.cancel()


def test_normalized_tiles_cover_the_image_once(opened):
    start, slide = opened
    covered = np.zeros(slide.size[::-1], int)
    for event in drive(start(normalized_tiles=True), slide.read):
        if isinstance(event, NormalizedTile):
            height, width = event.pixels.shape[:2]
            covered[event.y : event.y + height, event.x : event.x + width] += 1
    assert (covered == 1).all()


def test_parameters_are_checked_before_work(opened):
    import shapely

    start, _ = opened
    for wrong in ({"foreground": 1.5}, {"stain": "x"}, {"stain_matrix": ((1, 0, 0), (1, 0, 0))}):
        with pytest.raises(UsageError):
            start(**wrong)
    with pytest.raises(RegionOutside):
        start(regions=(shapely.box(5000, 5000, 5100, 5100),))


def test_white_and_tiny_images_have_no_nuclei(toy_model):
    with Pipeline("cpu", threads=1) as pipeline:
        for height, width in ((1, 1), (1, 40), (300, 300)):
            white = np.full((height, width, 3), 255, np.uint8)
            for skip in (True, False):
                run = pipeline.run(
                    toy_model, ImageInfo(width, height, 0.5, "test", "x"), white, Parameters(skip_glass=skip)
                )
                summary = list(
                    drive(
                        run,
                        lambda rect, n, white=white: white[rect.y : rect.y + rect.height, rect.x : rect.x + rect.width],
                    )
                )[-1].summary
                assert summary.nuclei == 0 and not summary.failed and (summary.tiles == 0) == skip


class Slow:
    device, precision, tile, batch, notices = "test", "fp32", 32, 1, []

    def __init__(self):
        self.started = []

    def maps(self, tiles):
        self.started.append(int(tiles[0, 0, 0, 0]))
        time.sleep(0.01)
        return np.zeros((len(tiles), 2, 8, 8), np.float32)


def test_people_go_first_and_batch_work_does_not_starve():
    engine, gate = Slow(), threading.Semaphore(0)
    with TileQueue() as queue:
        lanes = {}
        for name, interactive in ((1, False), (2, True), (3, True)):

            def result(index, pixels, maps, error, name=name):
                lanes[name].release()
                gate.release()

            lanes[name] = queue.lane(engine, result, interactive=interactive)
        for name in (1, 2, 3):
            for index in range(10):
                lanes[name].put(index, np.full((32, 32, 3), name, np.uint8))
        for _ in range(30):
            assert gate.acquire(timeout=20)
    order = engine.started[1:]  # the first tile was taken before people came
    waiting = order[: max(i for i, name in enumerate(order) if name != 1)]
    assert 1 in waiting and waiting.count(1) <= len(waiting) // 4
    people = [name for name in order if name != 1]
    assert abs(people[:10].count(2) - 5) <= 1  # the two of them take turns


def gone(references, seconds=20) -> bool:
    """Whether nothing holds the objects of weak references any more, within some time."""
    end = time.monotonic() + seconds
    while any(reference() is not None for reference in references) and time.monotonic() < end:
        gc.collect()
        time.sleep(0.01)
    return all(reference() is None for reference in references)


def test_an_idle_pipeline_holds_nothing_of_the_last_run(toy_model, toy_slide):
    with Pipeline("cpu", threads=1) as pipeline, open_slide(toy_slide, 0.5) as slide:
        run = pipeline.run(toy_model, image_info(slide), slide.overview(), Parameters(core=256))
        pixels = slide.read(run.plan.tiles[0].read, 1)
        held = [weakref.ref(thing) for thing in (run, run.mask, run._lane, pixels)]
        with run:
            run.submit(0, pixels)
            run.end()
            assert list(run.events())[-1].summary.nuclei > 20
        del run, pixels
        assert gone(held)


def test_the_pixels_of_a_failed_tile_are_let_go_at_once(opened, monkeypatch):
    start, slide = opened
    with start(normalized_tiles=True) as run:
        monkeypatch.setattr(run.engine, "maps", lambda tiles: 1 / 0)
        pixels = slide.read(run.plan.tiles[0].read, 1)
        held = [weakref.ref(pixels)]
        run.submit(0, pixels)
        del pixels
        assert next(event for event in run.events() if isinstance(event, TileFailed)).index == 0
        assert gone(held)


def test_how_many_workers_there_are_does_not_depend_on_the_first_model(monkeypatch):
    def opened(model, *_):
        return SimpleNamespace(device="a GPU" if model.id == "large" else "CPU", batch=1, notices=[])

    monkeypatch.setattr("hemalum.runs.pipeline.open_engine", opened)
    monkeypatch.setattr("hemalum.runs.pipeline.cores", lambda: 6)
    small, large = (SimpleNamespace(id=name, digest=name) for name in ("small", "large"))
    counts = []
    for models in ((small, large), (large, small)):
        with Pipeline() as pipeline:
            counts.append({model.id: pipeline.place(model).workers.count for model in models})
    assert counts[0] == counts[1] == {"small": 1, "large": 4}


def test_a_run_that_is_left_is_cancelled(opened):
    start, slide = opened
    with pytest.raises(ZeroDivisionError), start() as run:
        run.submit(0, slide.read(run.plan.tiles[0].read, 1))
        raise ZeroDivisionError
    with pytest.raises(Cancelled):
        run.submit(1, slide.read(run.plan.tiles[1].read, 1))
    assert run._lane not in run.place.queue._lanes


def test_a_tile_core_keeps_the_windows_of_the_network_where_they_are_in_the_whole_image():
    image = ImageInfo(4000, 4000, 0.25, "test", "an image")
    model = find("nuclei")
    starts = [tile.read.x for tile in plan_run(model, image, Parameters(core=512)).tiles]
    assert max(starts) > 0 and all(start % 512 == 0 for start in starts), "128 µm at 0.25 µm/px"
    with pytest.raises(UsageError, match="multiple of 512"):
        plan_run(model, image, Parameters(core=768))
