"""Post-processing workers: people first, processes that die."""

import os
import signal
import sys
import threading

import numpy as np
import pytest

from hemalum.engine.workers import Workers, WorkersLost
from hemalum.runs.events import Parameters
from hemalum.runs.pipeline import Pipeline, drive, image_info
from hemalum.slides import open_slide

needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="kills with SIGKILL")


def pid() -> int:
    return os.getpid()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killed(workers: Workers) -> int:
    """Kill the process that answers; its id."""
    victim = workers.submit(pid).result(60)
    os.kill(victim, signal.SIGKILL)
    return victim


@needs_signals
def test_a_process_that_dies_costs_no_tile_and_no_memory(toy_model, toy_slide):
    with Pipeline("cpu", threads=1, workers=1, processes=True) as pipeline, open_slide(toy_slide, 0.5) as slide:

        def nuclei() -> tuple[int, dict]:
            run = pipeline.run(toy_model, image_info(slide), slide.overview(), Parameters(core=256))
            with run:
                summary = list(drive(run, slide.read))[-1].summary
            assert run.place.workers.blocks == 0 and not pipeline.problem
            return summary.nuclei, summary.failed

        before = nuclei()
        for _ in range(3):
            killed(pipeline.place(toy_model).workers)
            assert nuclei() == before
    assert before[0] > 300 and not before[1]


@needs_signals
def test_only_what_kills_its_process_twice_fails():
    with Workers(1, processes=True) as workers:
        good, bad, also = workers.submit(pow, 2, 5), workers.submit(die), workers.submit(pow, 2, 6)
        with pytest.raises(WorkersLost, match="died on it twice"):
            bad.result(120)
        assert good.result(60) == 32 and also.result(60) == 64
        assert workers.submit(pow, 3, 3).result(60) == 27 and not workers.problem


@needs_signals
def test_processes_that_do_not_start_again_are_said(monkeypatch):
    said = []
    with Workers(1, processes=True, lost=said.append) as workers:
        workers.submit(pid).result(60)
        monkeypatch.setattr("hemalum.engine.workers._warm", die)
        told = workers.submit(die)
        waiting = workers.submit(pow, 2, 5)
        for future in (told, waiting):
            with pytest.raises(WorkersLost, match="does not start again"):
                future.result(120)
        assert "does not start again" in workers.problem and said == [workers.problem]
        with pytest.raises(WorkersLost):
            workers.tile(*tile_of())
        assert workers.blocks == 0


def tile_of():
    from hemalum.grid.tiling import plan_tiles
    from hemalum.nuclei.from_maps import MapSettings

    plan = plan_tiles((64, 64), 0.5, 0.5, core=64, halo=0)
    settings = MapSettings(
        foreground=0.5, marker=0.5, sigma=1.0, min_area_um2=1.0, largest_nucleus_um=25.0, output_scale=1
    )
    return np.zeros((2, 64, 64), np.float32), np.zeros((64, 64, 3), np.uint8), plan.tiles[0], plan, settings


def test_people_go_before_batch_work_that_waits_longer():
    gate, order = threading.Event(), []

    def work(name):
        gate.wait(20)
        order.append(name)

    with Workers(1) as workers:
        futures = [workers.submit(work, f"batch {number}") for number in range(4)]
        futures += [workers.submit(work, f"person {number}", interactive=True) for number in range(3)]
        gate.set()
        for future in futures:
            future.result(20)
    last_person = max(position for position, name in enumerate(order) if name.startswith("person"))
    assert last_person <= 4  # beside the batch tile that was in work, and one that a free worker took
    assert sorted(order) == sorted(f"batch {n}" for n in range(4)) + [f"person {n}" for n in range(3)]


def test_what_waits_when_the_workers_end_is_cancelled():
    gate = threading.Event()
    workers = Workers(1)
    working, waiting = workers.submit(gate.wait, 20), workers.submit(gate.wait, 20)
    ending = threading.Thread(target=workers.close)
    ending.start()
    while not waiting.done():
        ending.join(0.01)
    gate.set()
    ending.join(20)
    assert working.result(1) and waiting.cancelled()
    with pytest.raises(RuntimeError, match="shutting down"):
        workers.submit(pow, 2, 5)


@needs_signals
def test_a_server_that_can_compute_no_more_is_not_ready_and_says_so(monkeypatch, toy_models):
    from hemalum.service.limits import Limits
    from hemalum.service.work import Work

    told = []
    work = Work([toy_models], Limits(), on_ready=lambda: told.append(work.ready), device="cpu", threads=1)
    work.load().join(120)
    pipeline = work.pipeline()
    pipeline._workers = {False: Workers(1, processes=True, lost=pipeline._lost)}  # as beside a GPU
    monkeypatch.setattr("hemalum.engine.workers._warm", die)
    with pytest.raises(WorkersLost):
        pipeline._workers[False].submit(die).result(120)
    assert told == [True, False] and not work.ready and "cannot compute" in work.state and pipeline.problem
    work.close()
