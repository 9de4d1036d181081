"""A server that takes tiles and does nothing with them, to see what reading and sending cost.

Prints its port, ends when stdin closes.
"""

import os
import sys
from concurrent.futures import ThreadPoolExecutor

import grpc

from hemalum.v1 import nuclei_pb2 as pb
from hemalum.v1.nuclei_pb2_grpc import NucleiServicer, add_NucleiServicer_to_server
from hemalum.wire.api import API_VERSION

TILE, CREDITS = 1024, 4


class Swallow(NucleiServicer):
    """A run on tiles of 1024 × 1024 px at level 0, without halo."""

    def GetServerInfo(self, request, context):
        return pb.ServerInfo(
            api_version=API_VERSION, oldest_api_version=API_VERSION, ready=True, limits=pb.Limits(overview_side=64)
        )

    def Segment(self, requests, context):
        image = next(requests).open.image
        yield pb.SegmentReply(overview_request=pb.OverviewRequest(max_side=64))
        next(requests)
        corners = [
            (x, y) for y in range(0, image.height - TILE + 1, TILE) for x in range(0, image.width - TILE + 1, TILE)
        ]
        tiles = [
            pb.TilePlan(
                index=i,
                read=pb.Rect(x=x, y=y, width=TILE, height=TILE),
                core=pb.RectF(x=x, y=y, width=TILE, height=TILE),
            )
            for i, (x, y) in enumerate(corners)
        ]
        yield pb.SegmentReply(opened=pb.Opened(box=1, tiles=tiles, credits=CREDITS))
        for request in requests:
            assert len(request.tile.pixels.data) == 3 * TILE * TILE
            yield pb.SegmentReply(credit=pb.Credit(index=request.tile.index))
        yield pb.SegmentReply(summary=pb.Summary(tiles=len(tiles)))


server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.max_receive_message_length", 32 << 20)])
add_NucleiServicer_to_server(Swallow(), server)
port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(port, flush=True)
sys.stdin.read()
os._exit(0)
