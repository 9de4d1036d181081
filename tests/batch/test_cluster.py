"""A real LocalCluster with processes: the same bytes, also when a worker is killed in mid-run."""

import importlib.util
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from hemalum.batch import pieces
from hemalum.batch.job import begin, work_on
from hemalum.errors import ServerUnavailable

pytest.importorskip("distributed", reason="Dask is not installed (extra `batch`)")
spec = importlib.util.spec_from_file_location("kill_many", Path(__file__).with_name("kill_many.py"))
kills = importlib.util.module_from_spec(spec)
spec.loader.exec_module(kills)


def test_two_workers_one_killed_same_bytes(tmp_path, toy_models, monkeypatch):
    from hemalum.batch.cluster import Cluster

    monkeypatch.setattr("hemalum.batch.cluster.AHEAD", 1)       # more tasks than the cluster gets at first

    manifest = kills.manifest(kills.make_slides(tmp_path / "in", 2), toy_models)
    begin(tmp_path / "alone", manifest)
    work_on(tmp_path / "alone", lambda sentence: None)
    begin(tmp_path / "job", manifest)
    killed = []
    with Cluster(workers=2) as cluster:

        def kill() -> None:
            folder = tmp_path / "job" / "work" / "slide0" / "pieces"
            until = time.monotonic() + 60
            while not pieces.count(folder) and time.monotonic() < until:
                time.sleep(0.01)
            process = next(iter(cluster.client.run(os.getpid).values()))
            os.kill(process, signal.SIGKILL)
            killed.append(process)

        thread = threading.Thread(target=kill)
        thread.start()
        work_on(tmp_path / "job", lambda sentence: None, compute=cluster)
        thread.join()
    assert killed and kills.compare(tmp_path / "job", tmp_path / "alone") == []


def test_a_scheduler_that_is_not_there():
    from hemalum.batch.cluster import Cluster

    with pytest.raises(ServerUnavailable, match="cannot be reached"):
        Cluster(scheduler="tcp://127.0.0.1:9")
