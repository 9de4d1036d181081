"""A server whose limits or API versions differ from the package's; argument: JSON.  Prints its port, ends when stdin
closes."""

import json
import logging
import os
import sys
from pathlib import Path

settings = json.loads(sys.argv[1])

from hemalum.wire import api  # noqa: E402

for name in ("API_VERSION", "OLDEST_API_VERSION"):
    setattr(api, name, settings.get(name, getattr(api, name)))

from hemalum.service.limits import Limits  # noqa: E402
from hemalum.service.server import Server, Settings  # noqa: E402

logging.basicConfig(level=logging.INFO)
server = Server(
    Settings(port=0, models=tuple(map(Path, settings["models"])), limits=Limits(**settings.get("limits", {})))
).start()
print(server.port, flush=True)
sys.stdin.read()
os._exit(0)
