"""A person first, all the way: at a server a small run waits for no batch tile, wherever that is."""

import os
import sys
import threading

import pytest

from hemalum.runs.events import Finished, NucleiFound, Parameters
from hemalum.runs.pipeline import Pipeline, drive, image_info
from hemalum.slides import open_slide


@pytest.fixture
def served(toy_model, toy_slide):
    """A pipeline as a server has it, a way to open runs, and the slide."""
    with Pipeline("cpu", threads=1, polite=True) as pipeline, open_slide(toy_slide, 0.5) as slide:

        def start(**parameters):
            return pipeline.run(toy_model, image_info(slide), slide.overview(), Parameters(core=256, **parameters))

        yield start, slide


def found(run, slide) -> list[str]:
    names = []
    with run:
        for event in drive(run, slide.read):
            if isinstance(event, NucleiFound):
                names += run.ids(event.nuclei)
    return sorted(names)


@pytest.mark.parametrize("place", ["network", "post-processing"])
def test_a_person_does_not_wait_for_a_batch_tile(served, monkeypatch, place):
    start, slide = served
    begun, gate, given_up = threading.Event(), threading.Event(), []
    with start() as batch:
        if place == "network":
            monkeypatch.setattr(batch.engine, "maps", held_up(batch.engine.maps, begun, gate, given_up))
        else:
            workers, work = batch.place.workers, held_up(pow, begun, gate, given_up)
            for _ in range(3):
                workers.submit(work, 2, 5)
        for index in range(3):
            batch.submit(index, slide.read(batch.plan.tiles[index].read, 1))
        assert begun.wait(20)
        person = found(start(interactive=True), slide)
        assert not given_up and len(person) > 300
        gate.set()
        batch.end()
        assert list(batch.events())[-1].summary.nuclei > 50
    assert found(start(), slide) == person  # whoever asks


def held_up(function, begun, gate, given_up):
    def wrapper(*arguments):
        begun.set()
        if not gate.wait(30):
            given_up.append(arguments)
        return function(*arguments)

    return wrapper


def test_batch_work_goes_on_while_people_come_and_go(served):
    start, slide = served
    with start() as batch:
        summaries = []

        def work():
            summaries.extend(event.summary for event in drive(batch, slide.read) if isinstance(event, Finished))

        thread = threading.Thread(target=work)
        thread.start()
        while thread.is_alive():
            found(start(interactive=True), slide)
        thread.join()
    assert summaries[0].nuclei > 300 and not summaries[0].failed


@pytest.mark.skipif(sys.platform != "linux", reason="niceness is a thread's own on Linux only")
def test_batch_threads_give_way_and_those_of_people_do_not(served):
    start, slide = served
    mine = os.getpriority(os.PRIO_PROCESS, 0)
    nice = {}
    for interactive in (False, True):
        with start(interactive=interactive) as run:
            list(drive(run, slide.read))
            threads = [run.place.queue._thread.native_id]
            threads.append(run.place.workers.submit(threading.get_native_id, interactive=interactive).result(20))
        nice[interactive] = {os.getpriority(os.PRIO_PROCESS, thread) for thread in threads}
    assert nice[True] == {mine} and min(nice[False]) > mine
    assert os.getpriority(os.PRIO_PROCESS, 0) == mine
