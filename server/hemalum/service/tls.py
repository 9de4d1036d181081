"""Certificates and a token for a server that other machines use: `hemalum serve --init-tls DIR`.

A certificate authority is made, signs one certificate and is forgotten: its key is never written, so that nobody can
make another certificate clients would trust.  To renew, run it again in a new folder and give the clients the new
`ca.crt`.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as folder:
...     made = init_tls(folder, ["gpu.lab.example", "10.0.0.7"])
...     sorted(path.name for path in Path(folder).iterdir()), "10.0.0.7" in made.names
(['ca.crt', 'server.crt', 'server.key', 'token'], True)
"""

from __future__ import annotations

import datetime
import ipaddress
import logging
import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import grpc

from hemalum.errors import NotWritable, UsageError
from hemalum.service.auth import new_token

log = logging.getLogger("hemalum.service")
DAYS = 5 * 365
FILES = ("ca.crt", "server.crt", "server.key", "token")


@dataclass(frozen=True)
class Made:
    """`folder` with its files; `names`: host names and addresses the certificate is good for."""

    folder: Path
    names: list[str]
    token: str
    expires: datetime.date


def own_names(more: Iterable[str] = ()) -> list[str]:
    """Names and addresses under which this machine may be reached, `more` first."""
    import psutil

    found = [*more, socket.gethostname(), socket.getfqdn(), "localhost"]
    for addresses in psutil.net_if_addrs().values():
        found += [a.address.split("%")[0] for a in addresses if a.family in (socket.AF_INET, socket.AF_INET6)]
    found += ["127.0.0.1", "::1"]
    return [name for name in dict.fromkeys(found) if name and name not in ("0.0.0.0", "::")]


def init_tls(folder: str | Path, names: Iterable[str] | None = None) -> Made:
    """Write `ca.crt`, `server.crt`, `server.key` and `token`; the last two only their owner can read.

    Args:
        names: what the certificate is good for; None takes `own_names()`.

    Raises:
        UsageError: one of the files is there already.
        NotWritable: the folder cannot be written.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    folder = Path(folder)
    if there := [name for name in FILES if (folder / name).exists()]:
        raise UsageError(
            f"{folder / there[0]} exists already; name an empty folder, or remove it to make new certificates"
        )
    names = own_names() if names is None else list(names)
    now = datetime.datetime.now(datetime.timezone.utc)
    start, end = now - datetime.timedelta(hours=1), now + datetime.timedelta(days=DAYS)  # clocks differ a little

    def certificate(subject: str, issuer: str, key, signer, *extensions):
        builder = x509.CertificateBuilder().subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        builder = builder.issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)])).public_key(
            key.public_key()
        )
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(start).not_valid_after(end)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(signer, hashes.SHA256())

    def usage(signs: bool) -> x509.KeyUsage:
        return x509.KeyUsage(not signs, False, False, False, False, signs, signs, False, False)

    authority, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = f"Hemalum CA of {socket.gethostname()}"[:64]
    ca = certificate(
        ca_name,
        ca_name,
        authority,
        authority,
        (x509.BasicConstraints(ca=True, path_length=0), True),
        (usage(True), True),
    )
    server = certificate(
        names[0][:64], ca_name, key, authority,
        (x509.BasicConstraints(ca=False, path_length=None), True), (usage(False), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.SubjectAlternativeName([_general_name(name) for name in names]), False),
    )  # fmt: skip
    token = new_token()
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content, mode in (
            ("ca.crt", ca.public_bytes(pem), 0o644),
            ("server.crt", server.public_bytes(pem), 0o644),
            ("server.key", private, 0o600),
            ("token", f"{token}\n".encode(), 0o600),
        ):
            # the mode from the first moment on: never a key that others could have opened
            with os.fdopen(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                file.write(content)
    except OSError as error:
        raise NotWritable(f"{folder} cannot be written ({error.strerror}); name a folder of your own") from error
    return Made(folder, names, token, end.date())


def _general_name(name: str):
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name.encode("idna").decode() if not name.isascii() else name)


def check_pair(certificate: bytes, key: bytes) -> None:
    """Raises `UsageError` unless the key belongs to the certificate, which gRPC would only say by never answering."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    try:
        leaf = x509.load_pem_x509_certificates(certificate)[0]
        private = serialization.load_pem_private_key(key, None)
    except (ValueError, TypeError, IndexError) as error:
        raise UsageError(
            f"certificate or key cannot be read ({error}); both must be PEM, the key without a password"
        ) from error
    if private.public_key() != leaf.public_key():
        raise UsageError("the key does not belong to the certificate; give the pair that was made together")
    if leaf.not_valid_after_utc < datetime.datetime.now(datetime.timezone.utc):
        raise UsageError(
            f"the certificate expired on {leaf.not_valid_after_utc.date()}; make a new one with --init-tls"
        )


class Certificate:
    """Certificate and key of a server, read again when their files change.

    Args:
        certificate, key: PEM files.

    Raises:
        UsageError: one cannot be read, or they do not belong together.
    """

    def __init__(self, certificate: Path, key: Path):
        self._files = certificate, key
        self._stamps = self._stamped()
        self._pair = self._read()

    def credentials(self) -> grpc.ServerCredentials:
        """For a port; every connection after a change gets the new certificate."""
        first = grpc.ssl_server_certificate_configuration([self._pair])
        return grpc.dynamic_ssl_server_credentials(first, self._changed)

    def _changed(self) -> grpc.ServerCertificateConfiguration | None:
        stamps = self._stamped()
        if stamps == self._stamps:
            return None
        try:
            pair = self._read()
        except UsageError as error:  # one of the two files may not be there yet
            log.warning("the certificate stays as it was: %s", error)
            return None
        self._stamps = stamps
        log.info("the certificate has changed")
        return grpc.ssl_server_certificate_configuration([pair])

    def _stamped(self) -> list[tuple[int, int] | None]:
        stamps: list[tuple[int, int] | None] = []
        for path in self._files:
            try:
                found = os.stat(path)
                stamps.append((found.st_mtime_ns, found.st_size))
            except OSError:
                stamps.append(None)
        return stamps

    def _read(self) -> tuple[bytes, bytes]:
        contents = []
        for path in self._files:
            try:
                contents.append(Path(path).read_bytes())
            except OSError as error:
                raise UsageError(
                    f"{path} cannot be read ({error.strerror}); make it with `hemalum serve --init-tls DIR`"
                ) from error
        certificate, key = contents
        check_pair(certificate, key)
        return key, certificate
