"""`hemalum serve` as a user starts it: addresses, TLS, tokens, drain, the lifeline of a child; slides the server reads;
normalizing."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from service_children import ENVIRONMENT, Child, local_child, served

from hemalum.client.client import Client
from hemalum.errors import NotAllowed, ServerUnavailable, UnreadableImage, UsageError
from hemalum.runs.events import Finished, Parameters, Progress
from hemalum.slides import open_slide

ROOT = Path(__file__).parents[2]


def said(*options, code=2) -> str:
    command = [sys.executable, "-m", "hemalum", "serve", *map(str, options)]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=60)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def test_what_cannot_be_served(tmp_path, toy_models):
    weak = tmp_path / "weak"
    weak.write_text("abc")
    assert "no TLS and no token" in said("--host", "0.0.0.0")
    assert "no usable token" in said("--token-file", weak)
    assert "cannot be read" in said("--token-file", tmp_path / "none")
    assert "--tls-cert and --tls-key" in said("--tls-cert", weak)
    assert "no address of this machine" in said("--host", "192.0.2.1", "--insecure")
    assert "does not exist" in said("--slides", tmp_path / "none")
    assert "does not exist" in said("--models", tmp_path / "none")
    assert "of its own" in said("--local-child", "--host", "0.0.0.0", "--insecure")


def test_init_tls(tmp_path):
    text = said("--init-tls", tmp_path / "tls", "--host", "10.9.8.7", code=0)
    files = {path.name: path for path in (tmp_path / "tls").iterdir()}
    assert set(files) == {"ca.crt", "server.crt", "server.key", "token"}
    token = files["token"].read_text().strip()
    assert len(token) > 40 and "10.9.8.7" in text and "ca.crt" in text
    assert token not in text and f"--token-file {files['token']}" in text  # shells and terminals keep what they show
    if os.name == "posix":
        assert {
            name: stat.S_IMODE(path.stat().st_mode) for name, path in files.items() if name in ("server.key", "token")
        } == {
            "server.key": 0o600,
            "token": 0o600,
        }
    assert "exists already" in said("--init-tls", tmp_path / "tls")
    other = tmp_path / "other"
    said("--init-tls", other, code=0)
    assert "does not belong" in said("--tls-cert", files["server.crt"], "--tls-key", other / "server.key")
    assert "no token" in said("--host", "0.0.0.0", "--tls-cert", files["server.crt"], "--tls-key", files["server.key"])


def test_insecure_says_so(toy_models):
    child = served("--host", "0.0.0.0", "--insecure", "--models", toy_models)
    child.wait_for("whoever reaches this address can use the server")
    Client(child.address).close()
    child.end()


def test_the_hello_of_a_child(server):
    from hemalum import __version__

    assert server.hello == {
        "event": "listening",
        "port": server.port,
        "token": server.token,
        "pid": server.process.pid,
        "version": __version__,
        "api_version": 1,
    }


def test_a_child_ends_with_its_parent(toy_models):
    child = local_child("--models", toy_models)
    child.process.stdin.close()
    assert child.process.wait(30) == 0


PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-m", "hemalum", "serve", "--local-child"], stdin=subprocess.PIPE)
print(child.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(os.name != "posix", reason="looks for the process by its number")
def test_a_child_ends_when_its_parent_is_killed(until):
    parent = Child("-c", PARENT)
    pid = int(parent.process.stdout.readline())
    assert '"listening"' in parent.process.stdout.readline()
    parent.kill()

    def gone():
        try:
            return (
                Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z" if Path("/proc").exists() else os.kill(pid, 0)
            )
        except (OSError, ProcessLookupError):
            return True

    assert until(gone, 5)


@pytest.mark.skipif(os.name != "posix", reason="SIGTERM ends a process at once on Windows")
def test_sigterm_lets_runs_finish_and_takes_no_new_ones(toy_models, toy_slide):
    child = served("--models", toy_models)
    with Client(child.address) as client, open_slide(toy_slide, 0.5) as slide:
        hold = threading.Event()

        def order(n):
            yield 0
            hold.wait(20)
            yield from range(1, n)

        events = client.run(slide, "toy", Parameters(core=256), order=order).events()
        while not isinstance(next(events), Progress):
            continue
        child.process.send_signal(signal.SIGTERM)
        child.wait_for("ending; runs under way")
        with (
            Client(child.address) as late,
            pytest.raises(ServerUnavailable, match="shutting down and takes no new run"),
        ):
            assert late.info.state == "shutting down; 1 run(s) are being finished"
            list(late.run(slide, "toy", Parameters(core=256)).events())
        with grpc.insecure_channel(child.address) as channel:
            found = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(service="hemalum.v1.Nuclei")
            )
        assert found.status == health_pb2.HealthCheckResponse.NOT_SERVING
        hold.set()
        last = list(events)[-1]
        assert isinstance(last, Finished) and not last.summary.failed and last.summary.nuclei > 300
    assert child.process.wait(10) == 0


def test_health_and_reflection(server, client, until):
    with grpc.insecure_channel(server.address) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check  # needs no token
        serving = health_pb2.HealthCheckResponse.SERVING
        assert check(health_pb2.HealthCheckRequest()).status == serving
        assert until(lambda: check(health_pb2.HealthCheckRequest(service="hemalum.v1.Nuclei")).status == serving, 30)
        asked = [reflection_pb2.ServerReflectionRequest(list_services="")]
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        metadata = [("authorization", f"Bearer {server.token}")]
        listed = next(stub.ServerReflectionInfo(iter(asked), metadata=metadata)).list_services_response.service
        assert "hemalum.v1.Nuclei" in [service.name for service in listed]
        with pytest.raises(grpc.RpcError):
            next(stub.ServerReflectionInfo(iter(asked)))


def test_what_a_server_says_of_itself(client, slides, server, until):
    assert until(lambda: client.refresh().ready, 30)
    info = client.refresh()
    assert info.state == "ready" and info.device.startswith("CPU") and info.execution_provider == "CPUExecutionProvider"
    assert list(info.slide_folders) == [str(slides.resolve())] and info.pid == server.process.pid
    model = next(model for model in info.models if model.id == "toy")
    assert (
        model.mpp == 0.5
        and model.thresholds.marker == 0.35
        and '"written by hand"' in model.card_json
        and not model.commercial
    )
    assert info.limits.message_bytes == 64 << 20 and info.limits.overview_side == 2048 and "vahadane" in info.stains


def test_a_model_that_is_copied_in_while_serving(tmp_path, toy_models, toy_slide):
    child = local_child("--models", tmp_path)
    try:
        with Client(child.address, token=child.token) as client, open_slide(toy_slide, 0.5) as slide:
            assert "toy" not in [model.id for model in client.info.models]
            shutil.copytree(toy_models / "toy", tmp_path / "toy")
            (tmp_path / "broken").mkdir()
            (tmp_path / "broken" / "card.json").write_text('{"id": "broken", "colour": "red"}')
            info = client.refresh()
            assert "toy" in [model.id for model in info.models] and "'colour'" in info.broken_models[0]
            assert isinstance(list(client.run(slide, "toy", Parameters(core=256)).events())[-1], Finished)
    finally:
        child.end()


def test_same_nuclei_where_the_server_reads(client, slides, expected, nuclei_of):
    for path in ("inside.png", str(slides / "inside.png")):
        run = client.run_there(path, "toy", Parameters(core=256), mpp=0.5)
        assert nuclei_of(run, run.events()) == expected


@pytest.mark.parametrize(
    "path",
    ["", "../slides/tissue.png", "/etc/passwd", "link.png", "sub/../inside.png", "..\\inside.png", "a\0b", "~/x.svs"],
)
def test_nothing_outside_is_opened(client, slides, path):
    error = UnreadableImage if path == "~/x.svs" else NotAllowed  # no shell: a folder called ~ inside
    with pytest.raises(error):
        client.run_there(path, "toy", mpp=0.5)


def test_slides_that_cannot_be_read_there(client, slides, toy_models):
    (slides / "text.png").write_text("no picture")
    with pytest.raises(UnreadableImage):
        client.run_there("text.png", "toy", mpp=0.5)
    with pytest.raises(UnreadableImage, match="does not exist"):
        client.run_there("missing.svs", "toy", mpp=0.5)
    with pytest.raises(UsageError, match="1000"):
        client.run_there("inside.png", "toy", mpp=1000)
    child = served("--models", toy_models)
    with Client(child.address) as other, pytest.raises(NotAllowed, match="opens no files"):
        other.run_there("inside.png", "toy")
    child.end()


def test_another_file_of_the_same_path(server, slides):
    from hemalum.v1 import nuclei_pb2 as pb
    from hemalum.v1.nuclei_pb2_grpc import NucleiStub

    with grpc.insecure_channel(server.address) as channel:
        for difference in ({"width": 701}, {"identity": "0" * 64}):
            request = pb.SegmentSlideRequest(api_version=1, model="toy", path="inside.png", mpp=0.5, **difference)
            with pytest.raises(grpc.RpcError) as caught:
                next(NucleiStub(channel).SegmentSlide(request, metadata=[("authorization", f"Bearer {server.token}")]))
            assert (
                caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION and "another image" in caught.value.details()
            )


def test_normalizing(client, toy_slide):
    from hemalum.stain.estimation import REFERENCE, estimate
    from hemalum.stain.table import apply_table, colour_table
    from hemalum.stain.tissue import tissue_mask

    with open_slide(toy_slide, 0.5) as slide:
        overview = slide.overview()
    found = client.normalize(overview, "macenko", mpp=0.5)
    stain = estimate(overview, tissue_mask(overview), "macenko", 0.5)
    table = colour_table(stain, REFERENCE)
    assert (
        found.stain == stain
        and (found.table == table).all()
        and (found.thumbnail == apply_table(overview, table)).all()
    )
    assert client.normalize(np.full((50, 50, 3), 255, np.uint8)).notices
    with pytest.raises(UsageError):
        client.normalize(overview, "lilac")
    with pytest.raises(UsageError, match="500 points"):
        client.normalize(overview, size=500)
    for mpp in (-1, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="are not possible"):
            client.normalize(overview, mpp=mpp)


def test_the_command_line_through_a_server(server, toy_slide, toy_models, tmp_path):
    token = tmp_path / "token"
    token.write_text(server.token)
    base = [
        sys.executable,
        "-m",
        "hemalum",
        "segment",
        toy_slide,
        "--mpp",
        "0.5",
        "--model",
        "toy",
        "--format",
        "geojson,csv",
    ]
    there = ["--server", server.address, "--token-file", token, "--threads", 1]
    for out, options in (("here", ["--models", toy_models]), ("there", there)):
        command = list(map(str, [*base, "-o", tmp_path / out, *options]))
        done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=120)
        assert done.returncode == 0, done.stderr
        assert ("--threads: left out" in done.stderr) == (out == "there")
    for name in ("tissue.geojson", "tissue.csv"):
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "there" / name).read_bytes()


def test_stubs_are_those_of_the_contract(tmp_path):
    pytest.importorskip("grpc_tools")
    command = [
        sys.executable,
        "-m",
        "grpc_tools.protoc",
        "-I",
        "proto",
        f"--python_out={tmp_path}",
        f"--pyi_out={tmp_path}",
    ]
    subprocess.run(
        [*command, f"--grpc_python_out={tmp_path}", "proto/hemalum/v1/nuclei.proto"], cwd=ROOT, check=True, timeout=60
    )
    for made in (tmp_path / "hemalum" / "v1").iterdir():
        assert made.read_bytes() == (ROOT / "server" / "hemalum" / "v1" / made.name).read_bytes(), (
            f"{made.name}: run make proto"
        )
