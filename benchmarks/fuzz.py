"""Random bytes and mutated messages to every method of a real server on loopback: does it answer, and does it end?

Every case has its own seed, so that one is repeated by `--first NUMBER --cases 1`. Prints one JSON line; exit code 1
where a call hung, the server fell, failed inside, kept a run, or did not end.

    python benchmarks/fuzz.py [--cases 100000] [--seed 1] [--seconds S]
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import numpy as np
import psutil
from google.protobuf.message import Message

from hemalum.client.child import LocalServer, local_process
from hemalum.client.client import Client
from hemalum.errors import HemalumError
from hemalum.runs.events import Parameters
from hemalum.v1 import nuclei_pb2 as pb
from hemalum.wire.pixels import message_of
from hemalum.wire.values import parameters_message

PREFIX = "/hemalum.v1.Nuclei/"
SIDE = 96  # px of the image
LIMIT = 60  # s of a call
NUMBERS = (0, 1, 2, 3, 127, 128, 255, 256, 65_535, 2**31 - 1, 2**31, 2**32 - 1)
REALS = (0.0, -1.0, 0.5, 1.0, 1e-300, 1e300, float("inf"), float("-inf"), float("nan"))
TEXTS = ("", "nuclei", "a\nb", "../../etc/passwd", "\0", "ä" * 300, "x" * 20_000, "macenko", "inside.png", "%s%n")

WRONG = {"DEADLINE_EXCEEDED", "UNAVAILABLE", "UNKNOWN", "INTERNAL", "CANCELLED"}  # no mistake of a client is one


@dataclass
class Found:
    """How calls ended, and what was wrong."""

    ends: Counter = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def valid() -> dict[str, list[list[Message]]]:
    """Requests of each method that a server answers well."""
    pixels = np.full((SIDE, SIDE, 3), 235, np.uint8)
    picture = pb.Overview(pixels=message_of(pixels))
    image = pb.Image(width=SIDE, height=SIDE, mpp=0.25, mpp_source="client", name="fuzz")
    parameters = parameters_message(Parameters(core=256, skip_glass=False))
    opening = pb.Open(api_version=1, client="fuzz", model="nuclei", image=image, parameters=parameters)
    tile = pb.Tile(index=0, pixels=message_of(pixels, "PNG"))
    failed = pb.TileFailed(index=0, reason="it cannot be read")
    run = [pb.SegmentRequest(open=opening), pb.SegmentRequest(overview=picture)]
    slide = pb.SegmentSlideRequest(api_version=1, model="nuclei", path="inside.png", mpp=0.25, parameters=parameters)
    return {
        "GetServerInfo": [[pb.GetServerInfoRequest(api_version=1, client="fuzz")]],
        "Segment": [[*run, pb.SegmentRequest(tile=tile)], [*run, pb.SegmentRequest(failed=failed)]],
        "SegmentSlide": [[slide]],
        "Normalize": [[pb.NormalizeRequest(api_version=1, overview=picture, table_size=5, thumbnail=True)]],
    }


def changed_fields(message: Message, rng: random.Random) -> None:
    """Set a random field, at any depth, to a value that is odd but of its type."""
    while True:
        descriptor = rng.choice(message.DESCRIPTOR.fields)
        if descriptor.message_type is None or rng.random() < 0.1:
            break
        if descriptor.is_repeated:
            message = getattr(message, descriptor.name).add()
        else:
            message = getattr(message, descriptor.name)
            message.SetInParent()
        if not message.DESCRIPTOR.fields:
            return
    if rng.random() < 0.2:
        message.ClearField(descriptor.name)
        return
    if descriptor.message_type is not None:
        return
    kinds = {
        descriptor.CPPTYPE_STRING: lambda: rng.choice(TEXTS),
        descriptor.CPPTYPE_DOUBLE: lambda: rng.choice(REALS),
        descriptor.CPPTYPE_FLOAT: lambda: rng.choice(REALS),
        descriptor.CPPTYPE_BOOL: lambda: rng.random() < 0.5,
    }
    value = kinds.get(descriptor.cpp_type, lambda: rng.choice(NUMBERS))()
    if descriptor.type == descriptor.TYPE_BYTES:
        value = rng.randbytes(rng.choice((0, 1, 17, 3 * SIDE * SIDE)))
    try:
        if descriptor.is_repeated:
            getattr(message, descriptor.name).extend([value] * rng.choice((1, 2, 7)))
        else:
            setattr(message, descriptor.name, value)
    except (ValueError, TypeError):  # a number beyond this type
        return


def changed_bytes(data: bytes, rng: random.Random) -> bytes:
    """Some bytes turned, lost, doubled or added."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        at, length = rng.randrange(len(out) + 1), rng.choice((1, 1, 4, 64))
        match rng.randrange(4):
            case 0 if out:
                out[min(at, len(out) - 1)] ^= 1 << rng.randrange(8)
            case 1:
                del out[at : at + length]
            case 2:
                out[at:at] = out[at : at + length]
            case _:
                out[at:at] = rng.randbytes(length)
    return bytes(out)


def case(number: int, seed: int, good: dict[str, list[list[Message]]]) -> tuple[str, list[bytes]]:
    """A method, and what is sent to it."""
    rng = random.Random(f"{seed}/{number}")
    method = rng.choice(list(good))
    if rng.random() < 0.2:
        return method, [rng.randbytes(rng.choice((0, 1, 5, 100, 5000))) for _ in range(rng.randrange(1, 4))]
    messages = []
    for message in rng.choice(good[method]):
        copy = type(message)()
        copy.CopyFrom(message)
        messages.append(copy)
    for _ in range(rng.randrange(3)):
        changed_fields(rng.choice(messages), rng)
    bodies = [message.SerializeToString() for message in messages]
    if rng.random() < 0.4:
        at = rng.randrange(len(bodies))
        bodies[at] = changed_bytes(bodies[at], rng)
    if rng.random() < 0.1:
        rng.shuffle(bodies)
    if rng.random() < 0.1:
        bodies.append(rng.choice(bodies))
    return method, bodies


def call(channel: grpc.Channel, token: str, method: str, bodies: list[bytes]) -> tuple[str, str]:
    """Name of the status and the sentence with which a call ended."""
    send: Callable = channel.stream_stream(PREFIX + method)
    replies: Iterator[bytes] = send(iter(bodies), timeout=LIMIT, metadata=[("authorization", f"Bearer {token}")])
    try:
        for _ in replies:
            continue
    except grpc.RpcError as error:
        return error.code().name, error.details() or ""
    return "OK", ""


def fuzz(server: LocalServer, cases: range, seed: int, seconds: float) -> Found:
    """Send the cases to a server, one after another, until the time is up."""
    good, found, end = valid(), Found(), time.monotonic() + seconds
    with grpc.insecure_channel(server.address, [("grpc.max_receive_message_length", 64 << 20)]) as channel:
        for number in cases:
            if time.monotonic() > end:
                break
            method, bodies = case(number, seed, good)
            status, sentence = call(channel, server.token, method, bodies)
            found.ends[status] += 1
            if status in WRONG:
                found.faults.append(f"case {number}: {method} ended with {status}: {sentence[:200]}")
            if server.process.poll() is not None:
                found.faults.append(f"case {number}: the server ended with code {server.process.returncode}")
                return found
    return found


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3600)
    options = parser.parse_args(arguments)
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        Image.new("RGB", (SIDE, SIDE), (235, 235, 235)).save(Path(folder) / "inside.png")
        with local_process(slides=[folder]) as server:
            process = psutil.Process(server.process.pid)
            began = time.monotonic()
            found = fuzz(server, range(options.first, options.first + options.cases), options.seed, options.seconds)
            rate = sum(found.ends.values()) / (time.monotonic() - began)
            if server.process.poll() is None:
                try:
                    with Client(server.address, token=server.token, timeout=LIMIT) as client:
                        deadline = time.monotonic() + LIMIT
                        while client.refresh().runs and time.monotonic() < deadline:
                            time.sleep(0.1)
                        if runs := client.refresh().runs:
                            found.faults.append(f"{runs} runs were never ended")
                except HemalumError as error:
                    found.faults.append(f"afterwards: {error}")
                memory = process.memory_info().rss
            else:
                memory = 0
        if server.process.returncode != 0:
            found.faults.append(f"the server did not end by itself (code {server.process.returncode})")
    summary = {
        "cases": sum(found.ends.values()),
        "per_second": round(rate, 1),
        "ends": dict(found.ends),
        "mb": memory >> 20,
        "faults": found.faults[:20],
    }
    print(json.dumps(summary))
    return 1 if found.faults else 0


if __name__ == "__main__":
    sys.exit(main())
