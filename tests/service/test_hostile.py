"""What a client sends is never kept long, never forges a line of the log, and never keeps a server from ending."""

import json
import os
import signal
import subprocess
import sys
import threading

import grpc
import psutil
import pytest
from service_children import ENVIRONMENT, odd_server, served

from hemalum.client.client import Client
from hemalum.errors import RunLost
from hemalum.runs.events import Finished, Parameters
from hemalum.slides import open_slide
from hemalum.v1 import nuclei_pb2 as pb
from hemalum.v1.nuclei_pb2_grpc import NucleiStub
from hemalum.wire.pixels import message_of
from hemalum.wire.values import parameters_message

SMALL = Parameters(core=256)
FORGED = "QuPath\n2026-01-01 00:00:00,000 ERROR forged\r\x1b[2K\u2028 line"
posix = pytest.mark.skipif(os.name != "posix", reason="SIGTERM ends a process at once on Windows")


@pytest.fixture
def slide(toy_slide):
    with open_slide(toy_slide, 0.5) as slide:
        yield slide


def opening(slide, **fields) -> pb.SegmentRequest:
    image = pb.Image(width=700, height=660, mpp=0.5)
    opened = {"api_version": 1, "model": "toy", "image": image, "parameters": parameters_message(SMALL), **fields}
    return pb.SegmentRequest(open=pb.Open(**opened))


def overview(slide) -> pb.SegmentRequest:
    return pb.SegmentRequest(overview=pb.Overview(pixels=message_of(slide.overview())))


def test_no_client_writes_a_line_of_its_own_into_the_log(toy_models, slide, tmp_path):
    slides = tmp_path / "slides"
    slides.mkdir()
    child = served("--models", toy_models, "--slides", slides, "--insecure")
    try:
        with grpc.insecure_channel(child.address) as channel:
            stub = NucleiStub(channel)
            list(stub.Segment(iter([opening(slide, client=FORGED), overview(slide)])))
            for call in (
                lambda: list(stub.Segment(iter([opening(slide, client=FORGED, model=FORGED)]))),
                lambda: list(stub.SegmentSlide(pb.SegmentSlideRequest(api_version=1, client=FORGED, path=FORGED))),
            ):
                with pytest.raises(grpc.RpcError) as caught:
                    call()
                assert "\n" not in caught.value.details()
        child.wait_for(r"run \w+: 0 nuclei, 9 tiles, 9 failed")
        lines = child.said.splitlines()
        assert sum("forged" in line for line in lines) == 1, child.said
        assert all("INFO run" in line for line in lines if "forged" in line)
        assert "\x1b" not in child.said and "\r" not in child.said
    finally:
        child.end()


def test_reasons_of_megabytes_leave_the_memory_as_it_was(toy_models, slide):
    child = odd_server(toy_models)
    reason = "x" * (7 << 20)
    process = psutil.Process(child.process.pid)

    def round_of_tiles() -> int:
        with grpc.insecure_channel(child.address) as channel:
            requests = [opening(slide), overview(slide)]
            failed = (pb.SegmentRequest(failed=pb.TileFailed(index=index, reason=reason)) for index in range(9))
            replies = NucleiStub(channel).Segment(iter([*requests, *failed]))
            summary = [reply for reply in replies if reply.HasField("summary")][0].summary
        assert [len(tile.reason) for tile in summary.failed] == [200] * 9
        return process.memory_info().rss

    try:
        warm = [round_of_tiles() for _ in range(3)][-1]
        later = [round_of_tiles() for _ in range(6)][-1]
        assert later - warm < 40 << 20, (warm >> 20, later >> 20)  # 378 MiB of reasons came in between
    finally:
        child.end()


def test_a_summary_of_two_hundred_thousand_failures_can_be_received():
    from hemalum.runs.events import Summary
    from hemalum.wire.events import event_of, reply_of

    failed = dict.fromkeys(range(200_000), "ü" * 300)
    reply = reply_of(Finished(Summary(nuclei=0, tiles=200_000, skipped=0, failed=failed)), "", "")
    assert reply.ByteSize() < 64 << 20
    found = event_of(reply).summary.failed
    assert len(found) == 200_000 and len(found[0]) == 200 and found[199_999] == ""


@pytest.mark.parametrize("letters", [16_000, 1_000_000])
@pytest.mark.parametrize("letter", ["n", "ä", "%", "\n"])
def test_a_refusal_of_something_long_arrives(server, slide, letter, letters):
    long = letter * letters
    with grpc.insecure_channel(server.address) as channel:
        stub, metadata = NucleiStub(channel), [("authorization", f"Bearer {server.token}")]
        for call, name in (
            (lambda: stub.Segment(iter([opening(slide, model=long)]), metadata=metadata), "UnknownModel"),
            (
                lambda: stub.Segment(
                    iter([opening(slide, parameters=pb.Parameters(stain=long))]), metadata=metadata
                ),
                "UsageError",
            ),
            (
                lambda: stub.SegmentSlide(
                    pb.SegmentSlideRequest(api_version=1, model="toy", path=long), metadata=metadata
                ),
                "NotAllowed",
            ),
        ):
            if letter == "\n" and name == "UsageError":
                continue  # blanks are no stain's name
            with pytest.raises(grpc.RpcError) as caught:
                list(call())
            assert dict(caught.value.trailing_metadata())["hemalum-error"] == name, caught.value.details()[:200]


def test_a_fault_of_the_server_tells_nothing_of_its_inside(toy_models, slide):
    child = odd_server(toy_models, fault="/home/someone/patient-17.svs is locked")
    try:
        with Client(child.address) as client, pytest.raises(Exception, match="the server failed; its log") as caught:
            client.run(slide, "toy", SMALL)
        assert "patient" not in str(caught.value)
        number = str(caught.value).split()[-1]
        child.wait_for(rf"a call failed \({number}\)[\s\S]*patient-17")
    finally:
        child.end()


def test_the_clients_own_sentence_of_a_fault_in_mid_run_is_the_servers(server):
    from hemalum.client.remote_run import RemoteRun

    class Fault(grpc.RpcError):
        def code(self):
            return grpc.StatusCode.INTERNAL

        def details(self):
            return "the server failed; its log says more under 12ab"

        def trailing_metadata(self):
            return ()

    run = RemoteRun.__new__(RemoteRun)
    run._stop = threading.Event()
    assert type(run._lost(Fault())) is RunLost and str(run._lost(Fault())).startswith("the server failed; its log")


def garbage(address: str, count: int) -> None:
    """Streams of what is no message, some left open."""
    channel = grpc.insecure_channel(address)
    calls = []
    for number in range(count):
        method = ("Segment", "SegmentSlide", "Normalize", "GetServerInfo")[number % 4]
        send = channel.stream_stream(f"/hemalum.v1.Nuclei/{method}")
        body = bytes([number % 256, 0xFF, 0x07, 0x80]) * (1 + number % 50)
        calls.append(send(iter([body, body])))
    for call in calls:
        try:
            list(call)
        except grpc.RpcError:
            continue


@posix
def test_a_server_ends_whatever_was_sent(toy_models):
    child = served("--models", toy_models, "--drain", 1)
    garbage(child.address, 400)
    silent = grpc.insecure_channel(child.address)
    release = threading.Event()

    def requests():
        release.wait(120)
        return
        yield

    open_ones = [NucleiStub(silent).Segment(requests()) for _ in range(8)]
    with Client(child.address) as client:
        assert client.info.api_version == 1
    child.process.send_signal(signal.SIGTERM)
    assert child.process.wait(60) == 0  # it has 1 + 5 s; a loaded machine needs more
    release.set()
    del open_ones


@posix
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="sets the size of a pipe")
def test_a_child_ends_with_a_parent_that_reads_nothing(toy_models, slide, until):
    import fcntl

    child = subprocess.Popen(
        [sys.executable, "-m", "hemalum", "serve", "--local-child", "--models", str(toy_models)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
    )
    fcntl.fcntl(child.stderr, 1031, 4096)  # F_SETPIPE_SZ
    hello = json.loads(child.stdout.readline())
    metadata = [("authorization", f"Bearer {hello['token']}")]
    try:
        with grpc.insecure_channel(f"127.0.0.1:{hello['port']}") as channel:
            calls = []
            for _ in range(60):  # two lines of the log each
                requests = [opening(slide, client="c" * 200), overview(slide)]
                calls.append(NucleiStub(channel).Segment(iter(requests), metadata=metadata))
            full = threading.Event()
            threading.Thread(target=lambda: [_quietly(call) for call in calls] and full.set(), daemon=True).start()
            full.wait(10)  # or the server stands still, since nobody reads its log
            child.stdin.close()
            assert child.wait(30) == 0
    finally:
        child.kill()
        child.wait()


def _quietly(call) -> bool:
    try:
        list(call)
    except grpc.RpcError:
        return False
    return True


def test_a_slide_that_is_cancelled_while_it_is_opened_leaves_nothing(toy_models, slides, until, monkeypatch):
    from hemalum.service.server import Server, Settings
    from hemalum.slides.slide import Slide

    reading, go_on = threading.Event(), threading.Event()
    whole = Slide.overview

    def overview(self):
        reading.set()
        go_on.wait(60)
        return whole(self)

    monkeypatch.setattr(Slide, "overview", overview)
    server = Server(Settings(port=0, models=(toy_models,), slides=(slides,))).start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            request = pb.SegmentSlideRequest(api_version=1, model="toy", path="inside.png", mpp=0.5)
            call = NucleiStub(channel).SegmentSlide(request)
            assert reading.wait(60)
            call.cancel()
            assert until(lambda: server.work.runs == 0)
            go_on.set()
            queue = server.work.pipeline().queue
            assert until(lambda: not [thread for thread in threading.enumerate() if thread.name == "hemalum-beside"])
            assert not queue._lanes
            again = list(NucleiStub(channel).SegmentSlide(request))
            assert again[-1].HasField("summary") and until(lambda: not queue._lanes)
    finally:
        server.stop(0)
