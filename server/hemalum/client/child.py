"""A local server for as long as a context lasts: for the demo, for projects that QuPath reads, for benchmarks."""

from __future__ import annotations


def local_server(folders=()):
    """A context that starts `hemalum serve --local-child` and gives its (port, token); the server ends with the context.

    Raises:
        ServerUnavailable: it did not start; the message carries its last line.
    """
    import json
    import subprocess
    import sys
    import tempfile
    from contextlib import contextmanager

    from hemalum.errors import ServerUnavailable

    @contextmanager
    def started():
        command = [sys.executable, "-m", "hemalum", "serve", "--local-child"]
        for folder in folders:
            command += ["--models", str(folder)]
        with tempfile.TemporaryFile() as log:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
            try:
                line = process.stdout.readline()
                try:
                    hello = json.loads(line)
                except ValueError:
                    process.wait(10)
                    log.seek(0)
                    said = log.read().decode("utf-8", "replace").strip().splitlines() or ["nothing"]
                    raise ServerUnavailable(f"the local server did not start (it said: {said[-1]}); see `hemalum check`") from None
                yield hello["port"], hello["token"]
            finally:
                process.stdin.close()
                process.stdout.close()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    return started()
