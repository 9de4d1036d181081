"""Servers in child processes, as a user or QuPath would start them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

ENVIRONMENT = {**os.environ, "PYTHONUNBUFFERED": "1"}
for name in ("HEMALUM_TOKEN", "HEMALUM_TOKEN_FILE", "HEMALUM_CA", "HEMALUM_MODELS"):
    ENVIRONMENT.pop(name, None)


class Child:
    """A started program; `log` grows with its stderr."""

    def __init__(self, *command, stdin=subprocess.PIPE):
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, *map(str, command)],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=ENVIRONMENT,
        )
        self.log: list[str] = []
        threading.Thread(target=self._drain, daemon=True).start()

    def _drain(self):
        self.log.extend(iter(self.process.stderr.readline, ""))

    @property
    def said(self) -> str:
        return "".join(self.log)

    def wait_for(self, pattern: str, seconds: float = 30) -> re.Match:
        """The first match in stderr."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := re.search(pattern, self.said):
                return found
            time.sleep(0.02)
        raise AssertionError(f"{pattern!r} was not said within {seconds} s, but:\n{self.said}")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def end(self, seconds: float = 10) -> int:
        """Its exit code, after closing its stdin and, without a lifeline, SIGTERM."""
        if self.process.stdin:
            self.process.stdin.close()
        try:
            return self.process.wait(1)
        except subprocess.TimeoutExpired:
            self.process.terminate()
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise


def local_child(*options) -> Child:
    """`hemalum serve --local-child`, listening; with `port`, `token` and `hello`."""
    child = Child("-m", "hemalum", "serve", "--local-child", *options)
    line = child.process.stdout.readline()
    assert line, child.said
    child.hello = json.loads(line)
    child.port, child.token = child.hello["port"], child.hello["token"]
    child.address = f"127.0.0.1:{child.port}"
    return child


def served(*options) -> Child:
    """`hemalum serve`, listening; with `port`."""
    child = Child("-m", "hemalum", "serve", "--port", 0, *options)
    child.port = int(child.wait_for(r"serves on \S+:(\d+)")[1])
    child.address = f"127.0.0.1:{child.port}"
    return child


def odd_server(models: Path | None = None, **settings) -> Child:
    """A real server with limits or API versions of its own; see `odd_server.py`."""
    child = Child(
        Path(__file__).with_name("odd_server.py"), json.dumps({"models": [str(models)] if models else [], **settings})
    )
    child.port = int(child.process.stdout.readline())
    child.address = f"127.0.0.1:{child.port}"
    return child
