"""Real clusters of processes: the same bytes, also when workers are killed, come late, or take the scheduler with
them."""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from hemalum.errors import PartlyFailed, RunLost, ServerUnavailable, VersionMismatch
from hemalum.jobs import pieces
from hemalum.jobs.job import begin, work_on
from hemalum.jobs.status import state

pytest.importorskip("distributed", reason="Dask is not installed (extra `batch`)")
spec = importlib.util.spec_from_file_location("kill_many", Path(__file__).with_name("kill_many.py"))
kills = importlib.util.module_from_spec(spec)
spec.loader.exec_module(kills)


def quiet(sentence):
    pass


@pytest.fixture
def cluster():
    from hemalum.jobs.cluster import Cluster

    with Cluster(workers=2) as made:
        yield made


@pytest.fixture
def scheduler():
    """A scheduler in a process of its own, as on a cluster: (address, process)."""
    with subprocess.Popen(
        [
            sys.executable,
            "-m",
            "distributed.cli.dask_scheduler",
            "--host",
            "127.0.0.1",
            "--port",
            "0",
            "--no-dashboard",
        ],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        for line in process.stderr:
            if "Scheduler at:" in line:
                break
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield line.split()[-1], process
        process.kill()


def worker(address):
    command = [
        sys.executable,
        "-m",
        "distributed.cli.dask_worker",
        address,
        "--nthreads",
        "1",
        "--no-dashboard",
        "--no-nanny",
    ]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_for_pieces(job, many=1):
    until = time.monotonic() + 100
    while sum(pieces.count(folder) for folder in job.glob("job.work/*/pieces")) < many and time.monotonic() < until:
        time.sleep(0.01)


def test_two_workers_one_killed_same_bytes(tmp_path, toy_models, monkeypatch, cluster):
    monkeypatch.setattr("hemalum.jobs.cluster.AHEAD", 1)  # more tasks than the cluster gets at first
    manifest = kills.manifest(kills.make_slides(tmp_path / "in", 3), toy_models)
    begin(tmp_path / "alone", manifest)
    work_on(tmp_path / "alone", quiet)
    begin(tmp_path / "job", manifest)
    killed = []

    def kill() -> None:
        wait_for_pieces(tmp_path / "job")
        process = next(iter(cluster.client.run(os.getpid).values()))
        os.kill(process, signal.SIGKILL)
        killed.append(process)

    thread = threading.Thread(target=kill)
    thread.start()
    work_on(tmp_path / "job", quiet, compute=cluster)
    thread.join()
    assert killed and kills.compare(tmp_path / "job", tmp_path / "alone") == []


def test_killed_with_its_workers_and_resumed_without_any(tmp_path, toy_models):
    manifest = kills.manifest(kills.make_slides(tmp_path / "in", 2), toy_models)
    begin(tmp_path / "job", manifest)
    command = [sys.executable, "-m", "hemalum", "job", "resume", str(tmp_path / "job"), "--workers", "2"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
        wait_for_pieces(tmp_path / "job", 3)
        child.kill()
    work_on(tmp_path / "job", quiet)
    begin(tmp_path / "alone", manifest)
    work_on(tmp_path / "alone", quiet)
    assert kills.compare(tmp_path / "job", tmp_path / "alone") == []


def test_a_poisonous_tile_is_set_aside_and_costs_no_other(tmp_path, toy_models, cluster):
    from distributed import WorkerPlugin

    class Poison(WorkerPlugin):
        """Reading one tile ends the process, in every worker that is started."""

        def setup(self, worker):
            from hemalum.jobs.slide_run import Reader

            read = Reader.read

            def poisoned(reader, rect, n):
                if rect.x > 300 and rect.y == 0:
                    os._exit(1)
                return read(reader, rect, n)

            Reader.read = poisoned

    cluster.client.register_plugin(Poison())
    manifest = kills.manifest(kills.make_slides(tmp_path / "in", 1), toy_models)
    begin(tmp_path / "job", manifest)
    with pytest.raises(PartlyFailed, match="1 done in part"):
        work_on(tmp_path / "job", quiet, compute=cluster)
    failed = state(tmp_path / "job", "slide0")["failed_tiles"]
    assert list(failed.values()) == ["set aside: took down 3 workers"]


def test_workers_that_come_late_and_a_scheduler_that_goes(tmp_path, toy_models, scheduler):
    from hemalum.jobs.cluster import Cluster

    address, process = scheduler
    manifest = kills.manifest(kills.make_slides(tmp_path / "in", 2), toy_models)
    begin(tmp_path / "job", manifest)
    said = []
    with Cluster(scheduler=address, say=said.append) as cluster:
        assert "has no workers; waiting" in said[0]

        def late() -> None:
            helper = worker(address)
            wait_for_pieces(tmp_path / "job", 3)
            process.kill()
            helper.kill()
            helper.wait()

        thread = threading.Thread(target=late)
        thread.start()
        with pytest.raises(RunLost, match="scheduler was lost"):
            work_on(tmp_path / "job", quiet, compute=cluster)
        thread.join()
    work_on(tmp_path / "job", quiet)
    begin(tmp_path / "alone", manifest)
    work_on(tmp_path / "alone", quiet)
    assert kills.compare(tmp_path / "job", tmp_path / "alone") == []


def test_a_worker_with_another_model_is_refused_at_once(tmp_path, toy_models, cluster):
    """The worker finds other weights under the same name, as on a machine where another model is installed."""
    others = str(tmp_path / "others")
    shutil.copytree(toy_models, others)
    card = json.loads((tmp_path / "others" / "toy" / "card.json").read_text())
    card["files"]["model.onnx"] = "0" * 64
    (tmp_path / "others" / "toy" / "card.json").write_text(json.dumps(card))
    begin(tmp_path / "job", kills.manifest(kills.make_slides(tmp_path / "in", 2), toy_models))

    def install_another() -> None:
        import hemalum.models

        find = hemalum.models.find
        hemalum.models.find = lambda name, folders: find(name, [others])

    cluster.client.run(install_another)
    with pytest.raises(VersionMismatch, match=r"a worker on .* its model toy has sha256 000000000000…"):
        work_on(tmp_path / "job", quiet, compute=cluster)
    assert json.loads((tmp_path / "job" / "job.work" / "slide0" / "state.json").read_text())["status"] == "running", (
        "not set aside"
    )


def test_a_scheduler_that_is_not_there():
    from hemalum.jobs.cluster import Cluster

    with pytest.raises(ServerUnavailable, match="cannot be reached"):
        Cluster(scheduler="tcp://127.0.0.1:9")
