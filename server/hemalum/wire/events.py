"""Events of a run ↔ replies of the stream.

>>> from hemalum.runs.events import Progress
>>> event_of(reply_of(Progress(1, 4, 120, 2.5), "nuclei", "slide"))
Progress(done=1, total=4, nuclei=120, seconds=2.5)
"""

from __future__ import annotations

import uuid

import numpy as np

from hemalum.errors import ProtocolError
from hemalum.nuclei.nuclei import Nuclei, pack, unpack
from hemalum.runs import events as e
from hemalum.v1 import nuclei_pb2 as pb
from hemalum.wire.pixels import array_of, message_of
from hemalum.wire.texts import text

REASONS = 16 << 20  # bytes of reasons in a summary

Event = e.TileConsumed | e.NucleiFound | e.TileSettled | e.TileFailed | e.NormalizedTile | e.Progress | e.Finished


def nuclei_message(nuclei: Nuclei, model: str, image: str) -> pb.FoundNuclei:
    """Nuclei with their ids, which derive from the model, the image's identity and the centroids."""
    counts, deltas = pack(nuclei.vertices, nuclei.offsets)
    return pb.FoundNuclei(
        vertex_counts=counts.tolist(),
        deltas=deltas.tolist(),
        probability=nuclei.probability.tolist(),
        ids=bytes.fromhex("".join(nuclei.ids(model, image)).replace("-", "")),
        centroids=nuclei.centroids.ravel().tolist(),
        tiles=nuclei.tile.tolist(),
        edge=nuclei.edge.tolist(),
        measurements=[pb.Column(name=name, values=values.tolist()) for name, values in nuclei.columns.items()],
    )


def nuclei_of(message: pb.FoundNuclei) -> Nuclei:
    """Raises `ProtocolError` where the fields do not fit together."""
    try:
        vertices, offsets = unpack(message.vertex_counts, message.deltas)
        columns = {column.name: np.array(column.values, np.float32) for column in message.measurements}
        centroids = np.array(message.centroids, np.float64).reshape(-1, 2)
        return Nuclei(
            vertices,
            offsets,
            centroids,
            np.array(message.probability),
            np.array(message.tiles),
            np.array(message.edge),
            columns,
        )
    except ValueError as error:
        raise ProtocolError(
            f"nuclei arrived damaged ({error}); update server and client to the same version"
        ) from error


def ids_of(message: pb.FoundNuclei) -> list[str]:
    """The ids in a message, as text."""
    return [str(uuid.UUID(bytes=message.ids[i : i + 16])) for i in range(0, len(message.ids), 16)]


def reply_of(event: Event, model: str, image: str) -> pb.SegmentReply:
    """An event as a reply; `model` and `image` name the run's model and image as nucleus ids do."""
    match event:
        case e.TileConsumed(index):
            return pb.SegmentReply(credit=pb.Credit(index=index))
        case e.NucleiFound(nuclei):
            return pb.SegmentReply(nuclei=nuclei_message(nuclei, model, image))
        case e.TileSettled(index):
            return pb.SegmentReply(settled=pb.Settled(index=index))
        case e.TileFailed(index, reason):
            return pb.SegmentReply(failed=pb.TileFailed(index=index, reason=text(reason)))
        case e.NormalizedTile(index, x, y, pixels):
            return pb.SegmentReply(normalized_tile=pb.NormalizedTile(index=index, x=x, y=y, pixels=message_of(pixels)))
        case e.Progress(done, total, nuclei, seconds):
            return pb.SegmentReply(progress=pb.Progress(done=done, total=total, nuclei=nuclei, seconds=seconds))
        case e.Finished(s):
            failed = _failures(s.failed)
            summary = pb.Summary(
                nuclei=s.nuclei,
                tiles=s.tiles,
                skipped=s.skipped,
                failed=failed,
                seconds=s.seconds,
                duplicates_removed=s.duplicates_removed,
                at_size_limit=s.at_size_limit,
            )
            return pb.SegmentReply(summary=summary)
    raise TypeError(f"{event!r} is not an event of a run")


def _failures(failed: dict[int, str]) -> list[pb.TileFailed]:
    """The failed tiles; reasons that would make the summary too large for a message were said when the tile failed."""
    messages, room = [], REASONS
    for index, reason in sorted(failed.items()):
        said = text(reason)
        room -= len(said.encode())
        messages.append(pb.TileFailed(index=index, reason=said if room >= 0 else ""))
    return messages


def event_of(reply: pb.SegmentReply) -> Event | None:
    """The event in a reply; None for replies that are none of a run's (overview request, opened) or come from a newer
    server."""
    match reply.WhichOneof("message"):
        case "credit":
            return e.TileConsumed(reply.credit.index)
        case "nuclei":
            return e.NucleiFound(nuclei_of(reply.nuclei))
        case "settled":
            return e.TileSettled(reply.settled.index)
        case "failed":
            return e.TileFailed(reply.failed.index, reply.failed.reason)
        case "normalized_tile":
            tile = reply.normalized_tile
            return e.NormalizedTile(tile.index, tile.x, tile.y, array_of(tile.pixels, f"normalized tile {tile.index}"))
        case "progress":
            p = reply.progress
            return e.Progress(p.done, p.total, p.nuclei, p.seconds)
        case "summary":
            s = reply.summary
            failed = {tile.index: tile.reason for tile in s.failed}
            counts = s.duplicates_removed, s.at_size_limit
            return e.Finished(e.Summary(s.nuclei, s.tiles, s.skipped, failed, dict(s.seconds), *counts))
    return None
