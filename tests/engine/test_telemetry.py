"""Nothing leaves the machine: no library writes a device id, in no process; what listens, listens on loopback."""

import json
import os
import subprocess
import sys

import pytest

VARIABLE = "ORT_DISABLE_TELEMETRY"


@pytest.fixture
def clean(tmp_path):
    """An environment as of a new user, and the new home."""
    home = tmp_path / "home"
    home.mkdir()
    gone = {VARIABLE, "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "LOCALAPPDATA", "APPDATA"}
    environment = {name: value for name, value in os.environ.items() if name not in gone}
    changes = {"HOME": str(home), "USERPROFILE": str(home), "NUMBA_CACHE_DIR": str(tmp_path / "numba")}
    return {**environment, **changes}, home


def test_segment_leaves_no_file_in_a_new_home(clean, toy_models, toy_slide, tmp_path):
    environment, home = clean
    options = ["--mpp", "0.5", "--models", str(toy_models), "--model", "toy", "-o", str(tmp_path / "out")]
    command = [sys.executable, "-m", "hemalum", "segment", str(toy_slide), *options]
    subprocess.run(command, check=True, env=environment, capture_output=True)
    assert (tmp_path / "out" / "tissue.geojson").is_file()
    assert [path for path in home.rglob("*") if path.is_file()] == []


CHILDREN = """
import json, os

def found():
    import psutil
    places = [c.laddr.ip for c in psutil.Process().net_connections("inet") if c.status == "LISTEN"]
    return os.environ.get("ORT_DISABLE_TELEMETRY"), places

if __name__ == "__main__":
    from hemalum.engine.workers import Workers
    with Workers(1, processes=True) as workers:
        children = [found(), workers.submit(found).result()]
    try:
        from hemalum.jobs.cluster import Cluster
        with Cluster(1) as cluster:
            children += [found(), *cluster.client.run(found).values()]
    except ImportError:
        pass
    print(json.dumps(children))
"""


def test_every_child_has_telemetry_off_and_listens_on_loopback_only(clean, tmp_path):
    pytest.importorskip("distributed")
    environment, home = clean
    script = tmp_path / "children.py"
    script.write_text(CHILDREN, encoding="utf-8")
    done = subprocess.run([sys.executable, str(script)], check=True, env=environment, capture_output=True, text=True)
    children = json.loads(done.stdout.splitlines()[-1])
    assert len(children) == 4 and {value for value, _ in children} == {"1"}
    assert {place for _, places in children for place in places} == {"127.0.0.1"}
    assert [path for path in home.rglob("*") if path.is_file()] == []


def test_an_operator_may_turn_it_on(clean):
    environment, _ = clean
    code = f"import hemalum, os; print(os.environ['{VARIABLE}'])"
    said = [
        subprocess.run([sys.executable, "-c", code], check=True, env={**environment, **more}, capture_output=True)
        for more in ({}, {VARIABLE: "0"})
    ]
    assert [done.stdout.strip() for done in said] == [b"1", b"0"]
