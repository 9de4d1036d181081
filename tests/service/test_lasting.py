"""A server that is lost in mid-run comes back, and the run goes on: every nucleus once, and the same ones."""

import numpy as np
import pytest
from service_children import odd_server

from hemalum.client.client import Client, Patience
from hemalum.errors import RunLost
from hemalum.runs.events import Finished, NucleiFound, Parameters, Progress, TileFailed, TileSettled
from hemalum.slides import open_slide
from hemalum.v1 import nuclei_pb2 as pb

SMALL = Parameters(core=256)


@pytest.fixture
def slide(toy_slide):
    with open_slide(toy_slide, 0.5) as slide:
        yield slide


@pytest.mark.parametrize("seed", range(4))
def test_a_server_that_is_killed_and_comes_back(toy_models, slide, expected, nuclei_of, seed):
    rng = np.random.default_rng(seed)
    told, kills, events = [], sorted(rng.choice(range(1, 8), 2, replace=False).tolist()), []
    child = odd_server(toy_models, slow=0.2)  # so that it dies in mid-run
    children = [child]
    order = rng.permutation(9).tolist()

    try:
        with Client(child.address, waiting=told.append, patience=Patience(reconnect=120)) as client:
            run = client.run(slide, "toy", SMALL, order=lambda tiles: order)
            for event in run.events():
                events.append(event)
                if kills and isinstance(event, Progress) and kills[0] <= event.done < 9:
                    kills.pop(0)
                    children[-1].kill()
                    children.append(odd_server(toy_models, port=child.port, slow=0.2))
            rows = nuclei_of(run, iter(events))
    finally:
        for one in children:
            one.kill()
    assert rows == expected
    assert sorted(event.index for event in events if isinstance(event, TileSettled)) == list(range(9))
    assert not [event for event in events if isinstance(event, TileFailed)]
    assert isinstance(events[-1], Finished) and events[-1].summary.nuclei == len(expected)
    assert sum(isinstance(event, Finished) for event in events) == 1
    assert len(children) == 3 and "trying to go on" in told[0]


def test_settled_tiles_are_not_read_again(toy_models, slide, expected, nuclei_of):
    from hemalum.client.client import PixelSource
    from hemalum.runs.pipeline import image_info

    read, events = [], []
    child = odd_server(toy_models, slow=0.2)
    second = None

    def reading(rect, n):
        read.append(rect)
        return slide.read(rect, n)

    source = PixelSource(image=image_info(slide), overview=slide.overview(), read=reading)
    try:
        with Client(child.address, patience=Patience(reconnect=120)) as client:
            run = client.run_source(source, "toy", SMALL)
            for event in run.events():
                events.append(event)
                if second is None and isinstance(event, TileSettled):
                    done = event.index
                    child.kill()
                    second = odd_server(toy_models, port=child.port)
            assert nuclei_of(run, iter(events)) == expected
            assert read.count(run.plan.tiles[done].read) == 1
    finally:
        child.kill()
        if second is not None:
            second.kill()


def test_a_server_that_does_not_come_back(toy_models, slide):
    child = odd_server(toy_models)
    with Client(child.address, timeout=2, patience=Patience(reconnect=1)) as client:
        events = client.run(slide, "toy", SMALL).events()
        next(events)
        child.kill()
        with pytest.raises(RunLost, match="lost in mid-run"):
            list(events)


def test_what_cannot_be_known_is_refused(server, slide):
    import grpc

    from hemalum.v1.nuclei_pb2_grpc import NucleiStub
    from hemalum.wire.pixels import message_of
    from hemalum.wire.values import parameters_message

    image = pb.Image(width=700, height=660, mpp=0.5)
    opening = pb.Open(api_version=1, model="toy", image=image, parameters=parameters_message(SMALL))
    start = [
        pb.SegmentRequest(open=opening),
        pb.SegmentRequest(overview=pb.Overview(pixels=message_of(slide.overview()))),
    ]
    far = pb.FoundNuclei(
        vertex_counts=[3], deltas=[8, 8, 80, 0, 0, 80], probability=[1], centroids=[9000, 9000], tiles=[0], edge=[1]
    )
    metadata = [("authorization", f"Bearer {server.token}")]
    with grpc.insecure_channel(server.address) as channel:
        for known, words in (
            (pb.Known(tiles=[99]), "no tile 99"),
            (pb.Known(tiles=[1, 1]), "sent twice"),
            (pb.Known(tiles=[0], nuclei=far), "other measurements"),
        ):
            requests = [*start, pb.SegmentRequest(known=known)]
            with pytest.raises(grpc.RpcError) as caught:
                list(NucleiStub(channel).Segment(iter(requests), metadata=metadata))
            assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT and words in caught.value.details()
        known = pb.SegmentRequest(known=pb.Known(tiles=range(9)))
        *_, last = NucleiStub(channel).Segment(iter([*start, known]), metadata=metadata)
        assert last.summary.tiles == 9 and last.summary.nuclei == 0 and not last.summary.failed


def test_nuclei_are_kept_only_where_a_seam_is_open(client, slide):
    from hemalum.client.lasting import Found

    run = client.run(slide, "toy", SMALL)
    found = Found(run)
    for event in run.own_events():
        found.new(event)
        if isinstance(event, NucleiFound):
            assert found.known().tiles == sorted(found.settled)
    assert not found._nuclei and len(found.known().tiles) == 9
