"""Silence: who hears nothing of a server that has promised to speak gives it up, and no honest client is accused."""

import os
import signal
import threading
import time

import grpc
import pytest
from service_children import odd_server

from hemalum.client.client import Client, Patience
from hemalum.errors import RunLost, ServerUnavailable
from hemalum.runs.events import Finished, Parameters, Progress, TileConsumed
from hemalum.slides import open_slide
from hemalum.stain.estimation import REFERENCE
from hemalum.v1 import nuclei_pb2 as pb
from hemalum.v1.nuclei_pb2_grpc import NucleiServicer, NucleiStub, add_NucleiServicer_to_server
from hemalum.wire.values import stain_message

SMALL = Parameters(core=256)
IMPATIENT = Patience(silence=5, opening=5, reconnect=0)
posix = pytest.mark.skipif(os.name != "posix", reason="only there a process can be stopped for a while")


@pytest.fixture
def slide(toy_slide):
    with open_slide(toy_slide, 0.5) as slide:
        yield slide


@pytest.fixture
def lively(toy_models):
    """A server that speaks at least every 0.4 s."""
    child = odd_server(toy_models, limits={"heartbeat_seconds": 0.4})
    yield child
    if os.name == "posix":
        child.process.send_signal(signal.SIGCONT)
    child.end()


def test_a_run_in_which_nothing_happens_is_heard_of(lively, slide):
    go, beats = threading.Event(), []

    def order(n):
        go.wait(60)
        return range(n)

    with Client(lively.address) as client:
        run = client.run(slide, "toy", SMALL, order=order)
        for event in run.events():
            if isinstance(event, Progress) and not go.is_set():
                beats.append(event)
                if len(beats) == 3:
                    go.set()
    assert isinstance(event, Finished) and event.summary.nuclei > 300
    assert [beat.done for beat in beats] == [0, 0, 0] and beats[0].total == 9
    assert beats[0].seconds < beats[1].seconds < beats[2].seconds


def test_heartbeats_are_announced_before_anything_else(lively):
    with grpc.insecure_channel(lively.address) as channel:
        release = threading.Event()

        def silent():
            release.wait(60)
            return
            yield

        call = NucleiStub(channel).Segment(silent())
        assert dict(call.initial_metadata())["hemalum-heartbeat"] == "0.4"
        assert NucleiStub(channel).GetServerInfo(pb.GetServerInfoRequest()).heartbeat_seconds == 0.4
        release.set()


def test_a_client_that_waits_before_its_overview_hears_that_the_server_is_there(lively, slide):
    with grpc.insecure_channel(lively.address) as channel:
        release = threading.Event()

        def requests():
            image = pb.Image(width=700, height=660, mpp=0.5)
            yield pb.SegmentRequest(open=pb.Open(api_version=1, model="toy", image=image, queues=True))
            release.wait(60)

        call = NucleiStub(channel).Segment(requests())
        kinds = [next(call).WhichOneof("message") for _ in range(3)]
        assert kinds == ["overview_request", "queued", "queued"]
        call.cancel()
        release.set()


@posix
def test_a_server_that_hangs_in_mid_run_is_lost(lively, slide):
    with Client(lively.address, patience=IMPATIENT) as client:
        events = client.run(slide, "toy", SMALL, order=lambda n: [0]).events()
        next(events)
        lively.process.send_signal(signal.SIGSTOP)
        with pytest.raises(RunLost, match="said nothing for 5 s") as caught:
            list(events)
    assert caught.value.exit_code == 1


@posix
def test_a_server_that_hangs_while_opening_is_given_up(lively, slide):
    with Client(lively.address, patience=IMPATIENT) as client:
        lively.process.send_signal(signal.SIGSTOP)
        with pytest.raises(ServerUnavailable, match="said nothing for 5 s while the run was being opened") as caught:
            client.run(slide, "toy", SMALL)
    assert caught.value.exit_code == 2


def test_a_slow_reader_does_not_make_the_server_look_silent(lively, slide):
    with Client(lively.address, patience=IMPATIENT) as client:
        events = client.run(slide, "toy", SMALL).events()
        next(events)
        time.sleep(6)  # more than its patience
        assert isinstance(list(events)[-1], Finished)


class Ending(NucleiServicer):
    """A server that ends a run by itself, with the status of a user's cancel."""

    def GetServerInfo(self, request, context):
        return pb.ServerInfo(api_version=1, oldest_api_version=1, limits=pb.Limits(message_bytes=64 << 20))

    def SegmentSlide(self, request, context):
        model = pb.ModelInfo(id="toy", mpp=0.5, halo=64, sha256="0" * 64)
        image = pb.Image(width=10, height=10, mpp=0.5, identity="x")
        opened = pb.Opened(model=model, image=image, box=1, model_scale=1, tile_shape=256)
        opened.stain.CopyFrom(stain_message(REFERENCE))
        yield pb.SegmentReply(opened=opened)
        context.abort(grpc.StatusCode.CANCELLED, "out of hours")


def test_cancelled_by_the_server_is_not_cancelled_by_the_user():
    from concurrent.futures import ThreadPoolExecutor

    server = grpc.server(ThreadPoolExecutor(2))
    add_NucleiServicer_to_server(Ending(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with Client(f"127.0.0.1:{port}") as client, pytest.raises(RunLost, match="out of hours") as caught:
            list(client.run_there("x.svs", "toy").events())
        assert type(caught.value) is RunLost
    finally:
        server.stop(0)


def test_a_client_without_a_credit_is_not_accused(toy_models, slide):
    child = odd_server(toy_models, limits={"idle_seconds": 1.5}, slow=2.5)
    try:
        with Client(child.address) as client:
            events = list(client.run(slide, "toy", Parameters(core=256, regions=())).events())
        assert isinstance(events[-1], Finished) and not events[-1].summary.failed
        assert sum(isinstance(event, TileConsumed) for event in events) == 9
    finally:
        child.end()
