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

from hemalum.cli.options import DEVICE, PRECISION, THREADS
from hemalum.errors import UsageError

LINGER = 4  # s after the drain time, for what does not end by itself
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
@click.option("--token-file", type=FOLDER, help="File with the token that clients must send, or one NAME TOKEN a line.")
@click.option("--insecure", is_flag=True, help="Listen without TLS or token where they would be asked for.")
@click.option("--slides", type=FOLDER, multiple=True, help="Folder with slides that clients may name (repeatable).")
@click.option(
    "--models", type=FOLDER, multiple=True, help="Folder with models (repeatable); new ones are found while serving."
)
@click.option("--max-runs", type=click.IntRange(1, 256), default=8, show_default=True, help="Runs at a time.")
@click.option(
    "--runs-per-token",
    type=click.IntRange(1, 256),
    help="Runs of one named token at a time; half of all where there are several tokens.",
)
@DEVICE
@THREADS
@PRECISION
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
    host,
    port,
    tls_cert,
    tls_key,
    tls_folder,
    token_file,
    insecure,
    slides,
    models,
    max_runs,
    runs_per_token,
    drain,
    local_child,
    device,
    threads,
    precision,
):
    """Serve models to QuPath and other clients.

    Listens on this machine only, unless --host says otherwise; then TLS and a token are required (see --init-tls), or
    --insecure.  With --slides a token is required here, too: without --token-file one is made, which clients of the
    same user find by themselves.
    """
    if tls_folder is not None:
        _init_tls(tls_folder, host, port)
        return
    _log_lines()
    from hemalum.service.auth import new_token
    from hemalum.service.limits import Limits
    from hemalum.service.server import Server, Settings
    from hemalum.wire.local import is_loopback, write_token
    from hemalum.wire.local import token_file as own_token_file

    token = None
    if local_child:
        if not is_loopback(host) or tls_cert or token_file:
            raise UsageError(
                "--local-child listens on this machine with a token of its own; leave out --host, --tls-cert and "
                "--token-file"
            )
        context = click.get_current_context()
        token, port = new_token(), port if context.get_parameter_source("port").name != "DEFAULT" else 0
    keep = bool(slides) and not (token_file or insecure or local_child) and is_loopback(host)
    if keep:
        token = new_token()
    _give_memory_back()
    settings = Settings(
        host=host,
        port=port,
        certificate=tls_cert,
        key=tls_key,
        token=token,
        token_file=token_file,
        insecure=insecure,
        slides=slides,
        models=models,
        limits=Limits(runs=max_runs, runs_per_caller=runs_per_token),
        device=device,
        threads=threads,
        precision=precision,
    )
    server = Server(settings)
    ended = threading.Event()
    _on_signals(ended, server)
    server.start()
    kept = write_token(server.port, token) if keep and token is not None else None
    if local_child:
        _say_hello(server, token)
        threading.Thread(target=_lifeline, name="hemalum-lifeline", daemon=True).start()
    else:
        _say_where(server, insecure, kept)
    server.wait(ended)
    _at_the_latest(drain + LINGER)
    click.echo(f"ending; runs under way have {drain:g} s, another signal ends at once", err=True)
    server.stop(drain)
    if kept is not None and kept == own_token_file(server.port):
        kept.unlink(missing_ok=True)
    _leave(0)


class _Lines(logging.Formatter):
    """One record begins one line: whatever it quotes, nothing in it looks like another record."""

    def format(self, record: logging.LogRecord) -> str:
        lines = super().format(record).split("\n")
        return "\n    ".join("".join(c if c.isprintable() else " " for c in line) for line in lines)


def _log_lines() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def _at_the_latest(seconds: float) -> None:
    """End the process after so long, whatever it is doing."""
    timer = threading.Timer(seconds, _leave, (0,))
    timer.daemon = True
    timer.start()


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
    """End the process now: a thread that is still inside the network or a library must not keep it, nor somebody who
    does not read what it says."""

    def flush() -> None:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                stream.flush()

    last = threading.Thread(target=flush, daemon=True)
    last.start()
    last.join(1)
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


def _say_where(server, insecure: bool, kept: Path | None) -> None:
    from hemalum.wire.local import is_loopback

    settings = server.settings
    secret = settings.token or settings.token_file
    what = f"{'TLS' if settings.certificate else 'no encryption'}, {'token' if secret else 'no token'}"
    click.echo(f"hemalum serves on {settings.host}:{server.port} ({what}); Ctrl+C ends it", err=True)
    if kept is not None:
        click.echo(f"your own clients on this computer find the token in {kept}", err=True)
    if insecure and not is_loopback(settings.host) and not (settings.certificate and secret):
        click.echo(
            "--insecure: whoever reaches this address can use the server, and may read the pixels that are sent to it",
            err=True,
        )


def _init_tls(folder: Path, host: str, port: int) -> None:
    from hemalum.service.tls import init_tls, own_names
    from hemalum.wire.local import is_loopback

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
  token    the line in {made.folder / "token"}
In QuPath: Extensions > Hemalum > Server.  On the command line, with both files copied there:
  hemalum segment SLIDE -o DIR --server {made.names[0]}:{port} --ca ca.crt --token-file token

To tell people apart, give each a line NAME TOKEN in that file; it is read again when it changes."""
    )
