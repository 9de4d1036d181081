"""A server with more clients than places: who gets in, who waits and is told so, who is told to come back; and that
short calls are always answered."""

import contextlib
import threading

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from service_children import Child, odd_server, served

from hemalum.client.client import Client, Patience
from hemalum.errors import Busy, Cancelled, ServerUnavailable
from hemalum.runs.events import Finished, Parameters
from hemalum.service.admission import Admission
from hemalum.slides import open_slide
from hemalum.v1 import nuclei_pb2 as pb
from hemalum.v1.nuclei_pb2_grpc import NucleiStub

SMALL = Parameters(core=256)
ANSWER = 20  # s that a short call may take on a machine with far too much to do; what it waits behind takes minutes


@pytest.fixture
def slide(toy_slide):
    with open_slide(toy_slide, 0.5) as slide:
        yield slide


class Held:
    """A run that stays open until it is let go."""

    def __init__(self, client: Client, slide, parameters=SMALL):
        self._go = threading.Event()
        self.run = client.run(slide, "toy", parameters, order=self._order)

    def _order(self, n):
        self._go.wait(60)
        return range(n)

    def finish(self) -> list:
        self._go.set()
        return list(self.run.events())

    def cancel(self) -> None:
        self.run.cancel()
        self._go.set()


def silent(release: threading.Event):
    """Requests of a client that never says anything."""
    release.wait(120)
    return
    yield


def test_people_go_first_and_nobody_takes_every_place():
    admission = Admission(places=2, waiting=4, each=lambda: 1)
    ann, again, bob = admission.enter("ann"), admission.enter("ann"), admission.enter("bob")
    assert ann.granted and bob.granted and not again.granted
    person = admission.enter("eve", person=True)
    assert (person.place, again.place) == (1, 2)
    bob.leave()
    assert person.granted and not again.granted
    ann.leave()
    assert again.granted and again.place == 0


def test_a_caller_with_a_share_of_the_places_has_a_share_of_the_queue():
    admission = Admission(places=2, waiting=4, each=lambda: 1)
    tickets = [admission.enter("ann") for _ in range(3)]
    with pytest.raises(Busy, match="takes 1 run of one user"):
        admission.enter("ann")
    assert admission.enter("bob").granted
    assert not admission.enter("eve").granted  # there is room to wait in
    for ticket in tickets:
        ticket.leave()
        ticket.leave()
    assert admission.count == 2 and admission.queue == 0


def test_whoever_waits_is_told_that_the_server_shuts_down():
    admission = Admission(places=1, waiting=1)
    with admission.enter(), admission.enter() as waiting:
        admission.close()
        with pytest.raises(ServerUnavailable, match="shutting down"):
            waiting.wait(10)


@pytest.fixture(scope="module")
def narrow(toy_models):
    """One run at a time, one more waits; one that cannot be told its place waits half a second."""
    child = odd_server(toy_models, limits={"runs": 1, "waiting": 1, "slot_seconds": 0.5})
    yield child
    child.end()


def test_who_waits_is_told_its_place_and_gets_its_turn(narrow, slide, expected, nuclei_of, until):
    told, found = [], []
    with Client(narrow.address) as first, Client(narrow.address, waiting=told.append) as second:
        held = Held(first, slide)

        def work():
            run = second.run(slide, "toy", SMALL)
            found.extend(nuclei_of(run, run.events()))

        thread = threading.Thread(target=work)
        thread.start()
        assert until(lambda: first.refresh().waiting == 1)
        assert until(lambda: told)
        assert told == ["the server is busy with 1 run; this one is number 1 in the queue"]
        assert isinstance(held.finish()[-1], Finished)
        thread.join(60)
        assert found == expected
        assert until(lambda: first.refresh().runs == 0)


def test_who_cannot_wait_is_told_when_to_come_back(narrow, slide, until):
    with Client(narrow.address) as client, Client(narrow.address, patience=Patience(busy=0)) as other:
        held = Held(client, slide)
        waiting = threading.Thread(target=lambda: list(client.run(slide, "toy", SMALL).events()))
        waiting.start()
        assert until(lambda: client.refresh().waiting == 1)
        with pytest.raises(Busy, match="busy with 1 run, and 1 more waits; try again") as caught:
            other.run(slide, "toy", SMALL)
        assert 2 <= caught.value.retry_after <= 60
        held.cancel()
        waiting.join(60)
        assert until(lambda: client.refresh().runs == 0)


def test_the_hint_travels_beside_the_status(narrow, slide, until):
    with Client(narrow.address) as client, grpc.insecure_channel(narrow.address) as channel:
        held = Held(client, slide)
        image = pb.Image(width=700, height=660, mpp=0.5)
        opening = pb.SegmentRequest(open=pb.Open(api_version=1, model="toy", image=image))  # knows no queue
        with pytest.raises(grpc.RpcError) as caught:
            list(NucleiStub(channel).Segment(iter([opening])))
        trailers = dict(caught.value.trailing_metadata())
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED and trailers["hemalum-error"] == "Busy"
        assert float(trailers["hemalum-retry-after"]) >= 2
        held.cancel()
        assert until(lambda: client.refresh().runs == 0)


def test_a_client_comes_back_when_it_was_told_to(narrow, slide, until):
    told = []
    with Client(narrow.address) as client, Client(narrow.address, waiting=told.append) as other:
        held = Held(client, slide)
        thread = threading.Thread(target=lambda: list(client.run(slide, "toy", SMALL).events()))
        thread.start()
        assert until(lambda: client.refresh().waiting == 1)
        ends = []
        third = threading.Thread(target=lambda: ends.extend(other.run(slide, "toy", SMALL).events()))
        third.start()
        assert until(lambda: told) and "asking again in" in told[0]
        held.finish()
        for one in (thread, third):
            one.join(60)
        assert isinstance(ends[-1], Finished)
        assert until(lambda: client.refresh().runs == 0)


@pytest.fixture(scope="module")
def quiet(toy_models):
    """A server that waits long for a first message, with eight places."""
    child = odd_server(toy_models, limits={"first_seconds": 600, "waiting": 16})
    yield child
    child.end()


def test_streams_that_say_nothing_take_no_place_and_keep_nobody_waiting(quiet, slide, expected, nuclei_of):
    release = threading.Event()
    with Client(quiet.address, timeout=ANSWER) as client, grpc.insecure_channel(quiet.address) as channel:
        for _ in range(48):
            NucleiStub(channel).Segment(silent(release))
        info = client.refresh()
        assert info.runs == 0 and info.waiting == 0
        run = client.run(slide, "toy", SMALL)
        assert nuclei_of(run, run.events()) == expected
        release.set()


def test_short_calls_are_answered_while_three_times_the_runs_wait(quiet, slide, until):
    with Client(quiet.address, timeout=ANSWER) as client:
        held = [Held(client, slide) for _ in range(8)]
        others = [Client(quiet.address) for _ in range(24)]

        def wait(other):
            with contextlib.suppress(Cancelled, ServerUnavailable):  # its connection was closed
                other.run(slide, "toy", SMALL).cancel()

        threads = [threading.Thread(target=wait, args=(other,), daemon=True) for other in others]
        for thread in threads:
            thread.start()
        assert until(lambda: client.refresh().waiting == 16, 60)  # the rest was told to come back
        assert client.normalize(slide.overview()).table.shape == (33, 33, 33, 3)
        with grpc.insecure_channel(quiet.address) as channel:
            check = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=ANSWER)
        assert check.status == health_pb2.HealthCheckResponse.SERVING
        for run in held:
            run.cancel()
        for other in others:
            other.close()
        assert until(lambda: client.refresh().runs == 0 and client.refresh().waiting == 0, 60)


def test_watching_the_health_takes_nothing_from_others(quiet, slide):
    with grpc.insecure_channel(quiet.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        watching = [stub.Watch(health_pb2.HealthCheckRequest()) for _ in range(40)]
        answers = []
        for call in watching:
            try:
                answers.append(next(call).status)
            except grpc.RpcError as error:
                answers.append(error.code().name)
        assert answers.count("RESOURCE_EXHAUSTED") == 24
        with Client(quiet.address, timeout=ANSWER) as client:
            assert client.info.runs == 0
        for call in watching:
            call.cancel()


def test_a_stream_that_says_nothing_is_ended_with_the_reason(toy_models):
    child = odd_server(toy_models, limits={"first_seconds": 1})
    release = threading.Event()
    try:
        with grpc.insecure_channel(child.address) as channel, pytest.raises(grpc.RpcError) as caught:
            list(NucleiStub(channel).Segment(silent(release), timeout=60))
        assert caught.value.code() == grpc.StatusCode.ABORTED  # not UNAVAILABLE, which asks for a repetition
        assert "has not sent what was due for 1 s" in caught.value.details()
    finally:
        release.set()
        child.end()


def test_one_of_several_tokens_gets_half_of_the_places(toy_models, slide, tmp_path, until):
    tokens = tmp_path / "tokens"
    tokens.write_text("# people\nann ann-has-a-long-token\n\nbob bob-has-another-token\n")
    child = served("--models", toy_models, "--token-file", tokens, "--max-runs", 2)
    try:
        with (
            Client(child.address, token="ann-has-a-long-token") as ann,
            Client(child.address, token="ann-has-a-long-token") as again,
            Client(child.address, token="bob-has-another-token") as bob,
        ):
            held = Held(ann, slide)
            second = threading.Thread(target=lambda: list(again.run(slide, "toy", SMALL).events()))
            second.start()
            assert until(lambda: ann.refresh().waiting == 1)
            assert isinstance(list(bob.run(slide, "toy", SMALL).events())[-1], Finished)
            assert ann.refresh().waiting == 1
            held.finish()
            second.join(60)
        child.wait_for(r"run \w+: ann with hemalum .* \(Python\), 700×660 px")
        child.wait_for(r"run \w+: bob with hemalum")
    finally:
        child.end()


def test_the_command_line_says_what_it_waits_for(narrow, slide, toy_slide, tmp_path, until):
    with Client(narrow.address) as client:
        held = Held(client, slide)
        options = ["--mpp", 0.5, "--model", "toy", "-o", tmp_path / "out", "--server", narrow.address, "--json"]
        child = Child("-m", "hemalum", "segment", toy_slide, *options)
        child.wait_for("this one is number 1 in the queue")
        held.finish()
        assert child.process.wait(120) == 0
        assert child.process.stdout.read().startswith("[")
