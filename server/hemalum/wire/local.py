"""What the programs of one user on one computer share: which addresses are this computer, and a server's token.

A server that only this computer reaches but that reads files writes its token where its own user can read it, one file
a port, new at every start; a client that is given no token looks there.

>>> is_loopback("localhost"), is_loopback("127.0.0.2"), is_loopback("::1"), is_loopback("0.0.0.0")
(True, True, True, False)
>>> is_loopback("127.evil.example")
False
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import sys
from pathlib import Path

from hemalum.errors import NotWritable


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`; a name other than localhost is never looked up."""
    try:
        return ipaddress.ip_address(host.strip("[]").partition("%")[0]).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"


def configuration_folder() -> Path:
    """The user's own settings of this program."""
    if sys.platform == "win32":
        base = Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return base / "hemalum"


def token_file(port: int) -> Path:
    """Where the token of the user's own server on this port lies."""
    return configuration_folder() / "servers" / f"{port}.token"


def write_token(port: int, token: str) -> Path:
    """Write a server's token where only its user can read it; raises `NotWritable`."""
    path = token_file(port)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            path.unlink()  # of a server that was killed; never written into, since it may be a link
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(token + "\n")
    except OSError as error:
        raise NotWritable(
            f"the token cannot be kept in {path} ({error.strerror}); name a file of your own with --token-file"
        ) from error
    return path


def read_token(port: int) -> str | None:
    """The token of the user's own server on this port, or None."""
    try:
        return token_file(port).read_text(encoding="ascii").strip() or None
    except (OSError, UnicodeDecodeError, RuntimeError):  # RuntimeError: a user without a home
        return None
