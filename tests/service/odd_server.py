"""A server whose limits or API versions differ from the package's, whose engine is slow, or that has a fault; argument:
JSON.  Prints its port, ends when stdin closes."""

import json
import logging
import os
import sys
import time
from pathlib import Path

settings = json.loads(sys.argv[1])

from hemalum.wire import api  # noqa: E402

for name in ("API_VERSION", "OLDEST_API_VERSION"):
    setattr(api, name, settings.get(name, getattr(api, name)))

from hemalum.service.limits import Limits  # noqa: E402
from hemalum.service.server import Server, Settings  # noqa: E402

if slow := settings.get("slow"):  # s a batch
    from hemalum.engine.onnx_engine import OnnxEngine

    maps = OnnxEngine.maps

    def slow_maps(self, tiles):
        if server.work.ready:  # not while it checks itself
            time.sleep(slow)
        return maps(self, tiles)

    OnnxEngine.maps = slow_maps

if fault := settings.get("fault"):
    from hemalum.service.work import Work

    def broken(self, *arguments):
        raise RuntimeError(fault)

    Work.open_run = broken

logging.basicConfig(level=logging.INFO)
folders = {name: tuple(map(Path, settings.get(name, []))) for name in ("models", "slides")}
server = Server(Settings(port=settings.get("port", 0), limits=Limits(**settings.get("limits", {})), **folders)).start()
print(server.port, flush=True)
sys.stdin.read()
os._exit(0)
