"""`hemalum serve`: models for QuPath and other clients."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import click

from hemalum.errors import UsageError

FOLDER = click.Path(path_type=Path)


@click.command()
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 for all of this machine's."
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=50051, show_default=True, help="Port; 0 takes a free one."
)
@click.option("--tls-cert", type=FOLDER, help="Certificate (PEM).")
@click.option("--tls-key", type=FOLDER, help="Its key (PEM).")
@click.option(
    "--init-tls", "tls_folder", type=FOLDER, help="Make a CA, a certificate and a token in this folder, and end."
)
@click.option("--token-file", type=FOLDER, help="File with the token that clients must send.")
@click.option("--insecure", is_flag=True, help="Listen beyond this machine without TLS or token.")
@click.option("--slides", type=FOLDER, multiple=True, help="Folder with slides that clients may name (repeatable).")
@click.option(
    "--models", type=FOLDER, multiple=True, help="Folder with models (repeatable); new ones are found while serving."
)
@click.option("--max-runs", type=click.IntRange(1, 256), default=8, show_default=True, help="Runs at a time.")
@click.option(
    "--drain",
    type=click.FloatRange(0, 86400),
    default=60,
    show_default=True,
    metavar="SECONDS",
    help="For runs under way when told to end.",
)
@click.option(
    "--local-child", is_flag=True, help="For programs: free port, one line of JSON on stdout, ends when stdin closes."
)
def serve(
    host, port, tls_cert, tls_key, tls_folder, token_file, insecure, slides, models, max_runs, drain, local_child
):
    """Serve models to QuPath and other clients.

    Listens on this machine only, unless --host says otherwise; then TLS and a token are required (see --init-tls), or
    --insecure.
    """
    if tls_folder is not None:
        _init_tls(tls_folder, host, port)
        return
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    from hemalum.service.auth import new_token, read_token
    from hemalum.service.limits import Limits
    from hemalum.service.server import Server, Settings, is_loopback

    token = read_token(token_file) if token_file else None
    if local_child:
        if not is_loopback(host) or tls_cert or token_file:
            raise UsageError(
                "--local-child listens on this machine with a token of its own; leave out --host, --tls-cert and "
                "--token-file"
            )
        context = click.get_current_context()
        token, port = new_token(), port if context.get_parameter_source("port").name != "DEFAULT" else 0
    _give_memory_back()
    server = Server(Settings(host, port, tls_cert, tls_key, token, insecure, slides, models, Limits(runs=max_runs)))
    ended = threading.Event()
    _on_signals(ended, server)
    server.start()
    if local_child:
        _say_hello(server, token)
        threading.Thread(target=_lifeline, name="hemalum-lifeline", daemon=True).start()
    else:
        _say_where(server, insecure)
    server.wait(ended)
    click.echo(f"ending; runs under way have {drain:g} s, another signal ends at once", err=True)
    server.stop(drain)
    _leave(0)


def _give_memory_back() -> None:
    """Have glibc return large freed arrays to the system; elsewhere nothing is done.

    By default it learns to keep blocks of up to 32 MiB, in an area for each thread: a third more memory after a few
    runs.
    """
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    threshold = -3  # M_MMAP_THRESHOLD
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(threshold, 1 << 20)


def _on_signals(ended: threading.Event, server) -> None:
    def stop(number, frame):
        if ended.is_set():
            _leave(0)
        server.work.drain()
        ended.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


def _leave(code: int) -> None:
    """End the process now: a thread that is still inside the network or a library must not keep it."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _lifeline() -> None:
    """End with the program that started us: the system closes our stdin however that program ends."""
    stdin: Any = sys.stdin  # its buffer reads what is there without waiting for more
    try:
        while stdin.buffer.read1(4096):
            continue
    except (OSError, ValueError, AttributeError):
        pass
    _leave(0)


def _say_hello(server, token: str) -> None:
    from hemalum import __version__
    from hemalum.wire.api import API_VERSION

    hello = {"event": "listening", "port": server.port, "token": token, "pid": os.getpid(), "version": __version__}
    print(json.dumps({**hello, "api_version": API_VERSION}), flush=True)


def _say_where(server, insecure: bool) -> None:
    settings = server.settings
    what = f"{'TLS' if settings.certificate else 'no encryption'}, {'token' if settings.token else 'no token'}"
    click.echo(f"hemalum serves on {settings.host}:{server.port} ({what}); Ctrl+C ends it", err=True)
    from hemalum.service.server import is_loopback

    if insecure and not is_loopback(settings.host) and not (settings.certificate and settings.token):
        click.echo(
            "--insecure: whoever reaches this address can use the server, and may read the pixels that are sent to it",
            err=True,
        )


def _init_tls(folder: Path, host: str, port: int) -> None:
    from hemalum.service.server import is_loopback
    from hemalum.service.tls import init_tls, own_names

    made = init_tls(folder, own_names([] if is_loopback(host) else [host]))
    listen = "0.0.0.0" if is_loopback(host) else host
    options = {"--tls-cert": "server.crt", "--tls-key": "server.key", "--token-file": "token"}
    files = " ".join(f"{option} {made.folder / name}" for option, name in options.items())
    click.echo(
        f"""Made in {made.folder}, good until {made.expires} for
  {", ".join(made.names)}

Start the server (keep server.key and token readable for it alone):
  hemalum serve --host {listen} --port {port} {files}

Give the clients three things:
  address  {made.names[0]}:{port}
  CA file  {made.folder / "ca.crt"}
  token    {made.token}
In QuPath: Extensions > Hemalum > Server.  On the command line:
  HEMALUM_TOKEN={made.token} HEMALUM_CA=ca.crt hemalum segment SLIDE -o DIR --server {made.names[0]}:{port}"""
    )
