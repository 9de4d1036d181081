"""A run over the stream: the same nuclei as in process, and a status with a sentence for everything that breaks the
contract."""

import signal
import threading
import time
from pathlib import Path

import grpc
import numpy as np
import pytest
from service_children import Child, odd_server

import hemalum
from hemalum.client.client import Client, Patience, PixelSource
from hemalum.errors import (
    Cancelled,
    ProtocolError,
    RunLost,
    TooMuch,
    UnknownModel,
    UnknownResolution,
    UnreadableImage,
    UsageError,
    VersionMismatch,
)
from hemalum.runs.events import (
    Finished,
    ImageInfo,
    NormalizedTile,
    NucleiFound,
    Parameters,
    Progress,
    TileFailed,
    TileSettled,
)
from hemalum.slides import open_slide
from hemalum.v1 import nuclei_pb2 as pb
from hemalum.v1.nuclei_pb2_grpc import NucleiStub
from hemalum.wire.api import error_of
from hemalum.wire.events import ids_of
from hemalum.wire.pixels import message_of
from hemalum.wire.values import parameters_message

SMALL = Parameters(core=256)
BUNDLED = Path(hemalum.__file__).parent / "models" / "nuclei"


@pytest.fixture
def slide(toy_slide):
    with open_slide(toy_slide, 0.5) as slide:
        yield slide


@pytest.fixture
def stub(server):
    with grpc.insecure_channel(server.address, [("grpc.max_receive_message_length", 64 << 20)]) as channel:
        stub = NucleiStub(channel)
        stub.metadata = (("authorization", f"Bearer {server.token}"),)
        yield stub


def opening(width=700, height=660, mpp=0.5, model="toy", version=1, parameters=SMALL) -> pb.SegmentRequest:
    image = pb.Image(width=width, height=height, mpp=mpp)
    return pb.SegmentRequest(
        open=pb.Open(api_version=version, model=model, image=image, parameters=parameters_message(parameters))
    )


def overview(slide) -> pb.SegmentRequest:
    return pb.SegmentRequest(overview=pb.Overview(pixels=message_of(slide.overview())))


def all_tiles(slide, core=256):
    """What an honest client would send, from the plan the server will make."""
    from hemalum.grid.tiling import plan_tiles

    plan = plan_tiles(slide.size, 0.5, 0.5, core=core, halo=64)
    return [
        pb.SegmentRequest(tile=pb.Tile(index=t.index, pixels=message_of(slide.read(t.read, plan.scale.n))))
        for t in plan.tiles
    ]


@pytest.fixture(scope="module")
def big_source(toy_slide):
    """The toy slide over and over: 2048 × 2048 px, 64 tiles of core 256."""
    with open_slide(toy_slide, 0.5) as slide:
        once = slide.read((0, 0, 512, 512), 1)
    pixels = np.tile(once, (4, 4, 1))
    return PixelSource(
        ImageInfo(2048, 2048, 0.5, "client", "big"),
        pixels,
        lambda r, n: pixels[r.y : r.y + r.height, r.x : r.x + r.width],
    )


def status(stub, requests) -> tuple[grpc.StatusCode, str]:
    """How a stream of these requests ends."""
    with pytest.raises(grpc.RpcError) as caught:
        list(stub.Segment(iter(requests), metadata=stub.metadata, timeout=60))
    return caught.value.code(), caught.value.details()


@pytest.mark.parametrize(
    "order", [range, lambda n: reversed(range(n)), lambda n: np.random.default_rng(4).permutation(n).tolist()]
)
def test_same_nuclei_in_process_and_through_the_server(client, slide, expected, nuclei_of, order):
    run = client.run(slide, "toy", SMALL, order=order)
    assert nuclei_of(run, run.events()) == expected and len(expected) > 300


def test_same_nuclei_from_png_tiles(client, slide, expected, nuclei_of):
    run = client.run(slide, "toy", SMALL, encoding="PNG")
    assert nuclei_of(run, run.events()) == expected


def test_the_opened_run_is_the_one_of_the_pipeline(client, slide, toy_model):
    from hemalum.runs.pipeline import Pipeline, image_info

    parameters = Parameters(core=256, foreground=0.6, stain="vahadane")
    run = client.run(slide, "toy", parameters)
    run.cancel()
    with Pipeline("cpu") as pipeline:
        here = pipeline.run(toy_model, image_info(slide), slide.overview(), parameters)
        for name in ("plan", "parameters", "stain", "image", "columns", "notices", "grid_tiles"):
            assert getattr(run, name) == getattr(here, name), name
        assert (run.table == here.table).all() and run.model.sha256 == toy_model.digest
        here.cancel()


def test_ids_travel_and_derive_alike(stub, slide, expected):
    def requests():
        yield opening()
        yield overview(slide)
        yield from all_tiles(slide)

    replies = list(stub.Segment(requests(), metadata=stub.metadata))
    assert sorted(name for reply in replies for name in ids_of(reply.nuclei)) == [row[0] for row in expected]
    kinds = [reply.WhichOneof("message") for reply in replies]
    assert kinds[:2] == ["overview_request", "opened"] and kinds[-1] == "summary"
    assert kinds.count("settled") == kinds.count("credit") == 9


WINDOW = 16 << 20  # bytes: HTTP/2's window grows up to this where the network seems slow


def test_a_client_that_ignores_its_credits_is_slowed_down_not_buffered(toy_models, big_source, until):
    child = odd_server(toy_models, slow=600)  # its engine stands still
    sent, quiet = [], []

    def requests():
        image = pb.Image(width=4096, height=4096, mpp=0.5)
        parameters = parameters_message(Parameters(core=256, skip_glass=False))
        yield pb.SegmentRequest(open=pb.Open(api_version=1, model="toy", image=image, parameters=parameters))
        yield pb.SegmentRequest(overview=pb.Overview(pixels=message_of(big_source.overview)))
        for index, tile in enumerate(plan.tiles):
            sent.append(index)
            x, y, width, height = tile.read
            tissue = pixels[y : y + height, x : x + width]
            yield pb.SegmentRequest(tile=pb.Tile(index=index, pixels=message_of(tissue)))

    def stands_still() -> bool:
        quiet.append(len(sent))
        return len(quiet) > 100 and quiet[-100] == quiet[-1] > 0  # for two seconds

    from hemalum.grid.tiling import plan_tiles

    pixels = np.tile(big_source.overview, (2, 2, 1))
    plan = plan_tiles((4096, 4096), 0.5, 0.5, core=256, halo=64)
    try:
        with grpc.insecure_channel(child.address) as channel:
            replies = NucleiStub(channel).Segment(requests())
            opened = next(reply for reply in replies if reply.WhichOneof("message") == "opened").opened
            assert until(stands_still, 60)
            assert len(opened.tiles) == 256
            # both sides have a window for reading and one for writing
            assert opened.credits <= len(sent) < opened.credits + 4 * WINDOW / (384 * 384 * 3)
            replies.cancel()
    finally:
        child.kill()


def test_only_as_many_tiles_are_read_as_there_are_credits(client, slide):
    reading, most = [], []

    def read(rect, n):
        reading.append(rect)
        most.append(len(reading) - len(consumed))
        return slide.read(rect, n)

    from hemalum.runs.events import TileConsumed
    from hemalum.runs.pipeline import image_info

    consumed = []
    run = client.run_source(PixelSource(image_info(slide), slide.overview(), read), "toy", SMALL)
    for event in run.events():
        if isinstance(event, TileConsumed):
            consumed.append(event.index)
    assert len(consumed) == 9 and max(most) <= run.credits + 1  # + 1: the credit is back before the test hears of it


@pytest.mark.parametrize(
    "change, code, words",
    [
        ({"version": 0}, "FAILED_PRECONDITION", "too old for the server"),
        ({"version": 2}, "FAILED_PRECONDITION", "too new for the server"),
        ({"model": "nobody"}, "NOT_FOUND", "no model 'nobody'"),
        ({"mpp": 0}, "FAILED_PRECONDITION", "no resolution"),
        ({"model": str(BUNDLED)}, "NOT_FOUND", "is no model's id"),
        ({"model": "..\\nuclei"}, "NOT_FOUND", "is no model's id"),
        ({"mpp": float("nan")}, "INVALID_ARGUMENT", "cannot be a slide's resolution"),
        ({"mpp": 1000}, "INVALID_ARGUMENT", "1000 µm/px"),
        ({"mpp": -1}, "INVALID_ARGUMENT", "-1 µm/px"),
        ({"width": 0}, "INVALID_ARGUMENT", "has no pixels"),
        ({"width": 2**31, "height": 2**31}, "INVALID_ARGUMENT", "too large for this server"),
        ({"width": 600_000, "height": 600_000, "mpp": 4}, "INVALID_ARGUMENT", "more than this server takes"),
        ({"parameters": Parameters(core=4096)}, "INVALID_ARGUMENT", "give at most 2048"),
        ({"parameters": Parameters(core=300)}, "INVALID_ARGUMENT", "core of 300"),
        ({"parameters": Parameters(foreground=2)}, "INVALID_ARGUMENT", "foreground 2"),
        ({"parameters": Parameters(stain="lilac")}, "INVALID_ARGUMENT", "'lilac'"),
        ({"parameters": Parameters(stain_matrix=((1, 0, 0), (1, 0, 0)))}, "INVALID_ARGUMENT", "same stain"),
    ],
)
def test_what_cannot_be_opened(stub, change, code, words):
    found, sentence = status(stub, [opening(**change)])
    assert found.name == code and words in sentence


def test_regions(client, slide, stub):
    import shapely

    run = client.run(slide, "toy", Parameters(core=256, regions=(shapely.box(10, 10, 200, 200),)))
    found = [event.nuclei for event in run.events() if isinstance(event, NucleiFound)]
    assert len(run.plan.tiles) == 1 and all((n.centroids < 200).all() for n in found) and sum(map(len, found)) > 20
    with pytest.raises(Exception, match="lies outside the image"):
        client.run(slide, "toy", Parameters(regions=(shapely.box(1000, 0, 1100, 50),)))
    bad = opening()
    bad.open.parameters.regions.add().rings.add(xy=[1, 2, 3, 4])
    assert "no polygon" in status(stub, [bad])[1]


def test_messages_out_of_turn(stub, slide):
    tile = all_tiles(slide)[0]
    for requests, words in [
        ([], "'open' was due"),
        ([tile], "'tile' came where 'open'"),
        ([opening(), tile], "'tile' came where 'overview'"),
        ([opening()], "'overview' was due"),
        ([opening(), overview(slide), opening()], "'open' came where a tile"),
        ([opening(), overview(slide), pb.SegmentRequest()], "None came"),
    ]:
        code, sentence = status(stub, requests)
        assert code == grpc.StatusCode.INVALID_ARGUMENT and words in sentence, sentence


def test_overviews_that_cannot_be(stub, slide):
    def requests(side, height=None, data=None):
        pixels = pb.Pixels(
            width=side, height=height or side, data=bytes(3 * side * (height or side)) if data is None else data
        )
        return [opening(), pb.SegmentRequest(overview=pb.Overview(pixels=pixels))]

    assert status(stub, requests(2049, 1640))[0].name == "INVALID_ARGUMENT"
    assert "cannot show an image" in status(stub, requests(100))[1]
    assert "has 5 bytes" in status(stub, requests(700, 660, b"abcde"))[1]
    assert "no pixels" in status(stub, requests(0))[1]


@pytest.mark.parametrize("fault", ["size", "bytes", "twice", "beyond", "encoding", "png", "jpeg", "bomb"])
def test_bad_tiles(stub, slide, fault):
    tiles = all_tiles(slide)
    bad = pb.SegmentRequest()
    bad.CopyFrom(tiles[1])
    pixels = bad.tile.pixels
    words = {
        "size": "are due",
        "bytes": "bytes",
        "twice": "sent twice",
        "beyond": "no tile 99",
        "encoding": "not known",
        "png": "cannot be decoded",
        "jpeg": "is no JPEG",
        "bomb": "as announced",
    }
    if fault == "size":
        pixels.width += 1
    elif fault == "bytes":
        pixels.data = pixels.data[:-1]
    elif fault == "twice":
        bad.CopyFrom(tiles[0])
    elif fault == "beyond":
        bad.tile.index = 99
    elif fault == "encoding":
        pixels.ClearField("encoding")
        bad = pb.SegmentRequest.FromString(bad.SerializeToString())
        bad.tile.pixels.encoding = 9
    elif fault == "png":
        whole = message_of(np.zeros((pixels.height, pixels.width, 3), np.uint8), "PNG").data
        pixels.encoding, pixels.data = pb.Pixels.PNG, whole[: len(whole) // 2]
    elif fault == "jpeg":
        pixels.encoding = pb.Pixels.JPEG
    else:
        small = np.zeros((pixels.height + 5, pixels.width, 3), np.uint8)
        pixels.encoding, pixels.data = pb.Pixels.PNG, message_of(small, "PNG").data
    code, sentence = status(stub, [opening(), overview(slide), tiles[0], bad, *tiles[2:]])
    assert code == grpc.StatusCode.INVALID_ARGUMENT and words[fault] in sentence, sentence


def test_a_message_of_300_mb(stub, slide, client, until):
    pixels = pb.Pixels(width=10_000, height=10_000, data=bytes(300_000_000))
    requests = [opening(), overview(slide), pb.SegmentRequest(tile=pb.Tile(index=0, pixels=pixels))]
    with pytest.raises(grpc.RpcError) as caught:
        list(stub.Segment(iter(requests), metadata=stub.metadata))
    from hemalum.client.connection import message_too_large

    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert str(message_too_large(caught.value)).startswith(
        "a message of 286 MiB exceeds the limit of 64 MiB; send smaller tiles"
    )
    assert until(lambda: client.refresh().runs == 0)


def test_the_client_refuses_to_send_too_much(client, slide):
    from hemalum.runs.pipeline import image_info

    source = PixelSource(image_info(slide), slide.overview(), lambda rect, n: np.zeros((5000, 5000, 3), np.uint8))
    with pytest.raises(TooMuch, match="the server takes 64"):
        list(client.run_source(source, "toy", SMALL).events())


def test_errors_arrive_as_what_they_were(client, slide):
    with pytest.raises(UnknownModel):
        client.run(slide, "nobody")
    with pytest.raises(UsageError, match="lilac"):
        client.run(slide, "toy", Parameters(stain="lilac"))

    def read(rect, n):
        return np.zeros((5, 5, 3), np.uint8)

    from hemalum.runs.pipeline import image_info

    with pytest.raises(RunLost, match="are due"):  # in mid-run: exit code 1
        list(client.run_source(PixelSource(image_info(slide), slide.overview(), read), "toy", SMALL).events())
    with pytest.raises(UnknownResolution), open_slide(slide.path) as uncalibrated:
        client.run(uncalibrated, "toy")
    for kind in (ProtocolError, VersionMismatch):
        answer = grpc.RpcError()
        answer.trailing_metadata, answer.details = lambda kind=kind: (("hemalum-error", kind.__name__),), lambda: "why"
        assert type(error_of(answer)) is kind and isinstance(error_of(answer, started=True), RunLost)


def test_a_tile_that_cannot_be_read_fails_alone(client, slide):
    from hemalum.runs.pipeline import image_info

    calls = []

    def read(rect, n):
        calls.append(rect)
        if len(calls) == 5:
            raise UnreadableImage("the middle cannot be decoded; copy the slide again")
        return slide.read(rect, n)

    run = client.run_source(PixelSource(image_info(slide), slide.overview(), read), "toy", SMALL)
    events = list(run.events())
    assert [(e.index, e.reason) for e in events if isinstance(e, TileFailed)] == [
        (4, "the middle cannot be decoded; copy the slide again")
    ]
    assert sorted(e.index for e in events if isinstance(e, TileSettled)) == list(range(9))
    assert list(events[-1].summary.failed) == [4] and events[-1].summary.nuclei > 200


def test_closing_early_ends_the_run_properly(client, slide, stub):
    replies = list(stub.Segment(iter([opening(), overview(slide), all_tiles(slide)[0]]), metadata=stub.metadata))
    summary = replies[-1].summary
    assert summary.nuclei > 20 and {tile.reason for tile in summary.failed} == {"not sent"} and len(summary.failed) == 8


def test_normalized_tiles_cover_the_image(client, slide):
    run = client.run(slide, "toy", Parameters(core=256, normalized_tiles=True, skip_glass=False))
    canvas = np.zeros((660, 700, 3), np.uint8)
    for event in run.events():
        if isinstance(event, NormalizedTile):
            h, w = event.pixels.shape[:2]
            canvas[event.y : event.y + h, event.x : event.x + w] = event.pixels
    from hemalum.stain.table import apply_table

    assert (canvas == apply_table(slide.read((0, 0, 700, 660), 1), run.table)).all()


def test_cancelling_leaves_nothing_behind(client, slide, until):
    for _ in range(20):
        run = client.run(slide, "toy", SMALL)
        events = run.events()
        next(events)
        run.cancel()
        with pytest.raises(Cancelled):
            list(events)
    assert until(lambda: client.refresh().runs == 0)


def test_leaving_the_loop_cancels(client, slide, until):
    for event in client.run(slide, "toy", SMALL).events():
        if isinstance(event, Progress):
            break
    assert until(lambda: client.refresh().runs == 0)


def test_an_exception_in_reading_ends_the_run_as_itself(client, slide, until):
    from hemalum.runs.pipeline import image_info

    def read(rect, n):
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        list(client.run_source(PixelSource(image_info(slide), slide.overview(), read), "toy", SMALL).events())
    assert until(lambda: client.refresh().runs == 0)


VANISHING = """
import sys, time
from hemalum.client.client import Client
from hemalum.runs.events import Parameters
from hemalum.slides import open_slide
slide = open_slide(sys.argv[3], 0.5)
run = Client(sys.argv[1], token=sys.argv[2]).run(slide, "toy", Parameters(core=256))
events = run.events()
next(events)
print("running", flush=True)
time.sleep(60)
"""


def test_a_client_that_vanishes(client, server, toy_slide, until):
    child = Child("-c", VANISHING, server.address, server.token, toy_slide)
    assert child.process.stdout.readline() == "running\n", child.said
    assert client.refresh().runs == 1
    child.process.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
    assert until(lambda: client.refresh().runs == 0, 5)
    child.process.wait()


@pytest.fixture(scope="module")
def strict(toy_models):
    """A server that waits 5 s for its client."""
    child = odd_server(toy_models, limits={"idle_seconds": 5})
    yield child
    child.end()


def test_a_client_that_stops_sending(strict, slide, until):
    with Client(strict.address) as client:
        go_on = threading.Event()

        def order(n):
            yield 0
            go_on.wait(20)

        run = client.run(slide, "toy", SMALL, order=order)
        with pytest.raises(RunLost, match="has not sent what was due for 5 s"):
            list(run.events())
        go_on.set()
        assert until(lambda: client.refresh().runs == 0)


def test_a_client_that_stops_reading(strict, big_source, until):
    with Client(strict.address) as client:
        run = client.run_source(big_source, "toy", Parameters(core=256, normalized_tiles=True, skip_glass=False))
        assert client.refresh().runs == 1
        assert until(lambda: client.refresh().runs == 0, 20)  # nobody has read an event
        with pytest.raises(RunLost):  # not Cancelled: that is what a user does
            list(run.events())


def test_a_server_that_is_killed_in_mid_run(toy_models, slide):
    child = odd_server(toy_models)
    with Client(child.address, patience=Patience(reconnect=0)) as client:
        events = client.run(slide, "toy", SMALL).events()
        next(events)
        child.kill()
        with pytest.raises(RunLost, match="lost in mid-run") as caught:
            list(events)
    assert caught.value.exit_code == 1


def test_a_person_goes_before_batch_work(client, slide, big_source):
    batch, done = client.run_source(big_source, "toy", Parameters(core=256, skip_glass=False)), []
    moving = threading.Event()

    def work():
        for event in batch.events():
            if isinstance(event, Progress):
                done.append(time.perf_counter())
                moving.set()

    thread = threading.Thread(target=work)
    thread.start()
    assert moving.wait(30)
    started = time.perf_counter()
    events = list(client.run(slide, "toy", Parameters(core=256, interactive=True)).events())
    ended = time.perf_counter()
    meanwhile = sum(started < at < ended for at in done)
    thread.join()
    assert isinstance(events[-1], Finished) and len(done) == len(batch.plan.tiles)
    assert done[-1] > ended and meanwhile < len(done) // 2, (meanwhile, len(done))


def test_an_image_of_one_pixel(client):
    pixels = np.full((1, 1, 3), 255, np.uint8)
    source = PixelSource(ImageInfo(1, 1, 0.5, "client", "one"), pixels, lambda rect, n: pixels)
    events = list(client.run_source(source, "toy").events())
    assert isinstance(events[-1], Finished) and events[-1].summary.nuclei == 0
