"""A local server for as long as a context lasts: for the demo, for projects that QuPath reads, for benchmarks.

>>> with local_server() as (port, token):                                        # doctest: +SKIP
...     client = Client(f"127.0.0.1:{port}", token=token)
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from hemalum.errors import ServerUnavailable

PATIENCE = 10  # s that it may take to end


class LocalServer(NamedTuple):
    """Where a local server listens, and its process."""

    port: int
    token: str
    process: subprocess.Popen

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


@contextmanager
def local_server(folders: Iterable[str | Path] = ()) -> Iterator[tuple[int, str]]:
    """Start `hemalum serve --local-child`; gives its port and token, and ends it with the context.

    Args:
        folders: with further models.

    Raises:
        ServerUnavailable: it did not start; the message carries its last line.
    """
    with local_process(folders) as server:
        yield server.port, server.token


@contextmanager
def local_process(folders: Iterable[str | Path] = (), slides: Iterable[str | Path] = ()) -> Iterator[LocalServer]:
    """The same with its process.

    Args:
        slides: folders that it may read itself.
    """
    command = [sys.executable, "-m", "hemalum", "serve", "--local-child"]
    for folder in folders:
        command += ["--models", str(folder)]
    for folder in slides:
        command += ["--slides", str(folder)]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        assert process.stdin is not None and process.stdout is not None
        try:
            try:
                hello = json.loads(process.stdout.readline())
            except ValueError:
                process.wait(PATIENCE)
                log.seek(0)
                lines = log.read().decode("utf-8", "replace").strip().splitlines() or ["nothing"]
                raise ServerUnavailable(
                    f"the local server did not start (it said: {lines[-1]}); see `hemalum check`"
                ) from None
            yield LocalServer(hello["port"], hello["token"], process)
        finally:
            process.stdin.close()  # it ends with that
            process.stdout.close()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
