"""Who may call: named tokens, files that change while the server runs, a token for the user's own programs, and tokens
that go nowhere else."""

import os
import shutil
import socket
import stat
import threading

import pytest
from service_children import ENVIRONMENT, Child, served

from hemalum.client.client import Client
from hemalum.client.connection import Endpoint, diagnose
from hemalum.errors import ServerUnavailable, Unauthenticated, UsageError
from hemalum.service.auth import Tokens, read_tokens
from hemalum.wire import local

ANN, BOB = "ann-has-a-long-token", "bob-has-another-token"


@pytest.mark.parametrize(
    "text, tokens",
    [
        (f"{ANN}\n", {"": ANN}),
        (f"\n# the laboratory\n{ANN}\n", {"": ANN}),
        (f"ann {ANN}", {"ann": ANN}),
        (f"ann\t{ANN}\r\n\r\nbob  {BOB}", {"ann": ANN, "bob": BOB}),
    ],
)
def test_token_files(tmp_path, text, tokens):
    (tmp_path / "tokens").write_text(text)
    assert read_tokens(tmp_path / "tokens") == tokens


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "no usable token"),
        ("# nobody", "no usable token"),
        (f"{ANN}\n{BOB}", "line 1 .* is no NAME TOKEN"),
        (f"ann {ANN}\nbob {ANN}", "line 2 .* repeats"),
        (f"ann {ANN}\nann {BOB}", "line 2 .* repeats"),
        ("ann short", "no usable token in line 1"),
        (f"ann and bob {ANN}", "line 1 .* is no NAME TOKEN"),
        ("ann größer-als-sechzehn-zeichen", "no usable token in line 1"),
    ],
)
def test_token_files_that_are_none(tmp_path, text, words):
    (tmp_path / "tokens").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=words):
        read_tokens(tmp_path / "tokens")


def test_who_is_taken_out_of_the_file_is_locked_out(tmp_path):
    path = tmp_path / "tokens"
    path.write_text(f"ann {ANN}\nbob {BOB}\n")
    tokens = Tokens.of_file(path)

    def caller(token):
        return tokens.caller([("authorization", f"Bearer {token}")])

    assert (caller(ANN), caller(BOB), caller("nobody"), tokens.several) == ("ann", "bob", None, True)
    path.write_text(f"bob {BOB}\n")
    assert (caller(ANN), caller(BOB), tokens.several) == (None, "bob", False)
    path.write_text("half a li")  # being edited: as it was
    assert (caller(ANN), caller(BOB)) == (None, "bob")
    path.unlink()
    assert caller(BOB) == "bob"


def test_tokens_and_certificates_are_read_again_while_serving(tmp_path):
    from hemalum.service.tls import init_tls

    live, old, new = tmp_path / "live", tmp_path / "old", tmp_path / "new"
    made = {folder: init_tls(folder, ["127.0.0.1"]) for folder in (old, new)}
    shutil.copytree(old, live)
    options = ("--tls-cert", live / "server.crt", "--tls-key", live / "server.key", "--token-file", live / "token")
    child = served(*options)
    try:
        Client(child.address, token=made[old].token, ca=old / "ca.crt").close()
        for name in ("token", "server.key"):
            shutil.copyfile(new / name, live / name)
        Client(child.address, token=made[new].token, ca=old / "ca.crt").close()  # half of a pair: the old one stays
        shutil.copyfile(new / "server.crt", live / "server.crt")
        Client(child.address, token=made[new].token, ca=new / "ca.crt").close()
        with pytest.raises(ServerUnavailable, match="not made by the CA given"):
            Client(child.address, token=made[new].token, ca=old / "ca.crt")
        with pytest.raises(Unauthenticated, match="refused"):
            Client(child.address, token=made[old].token, ca=new / "ca.crt")
    finally:
        child.end()


def test_a_server_that_reads_files_lets_only_its_own_user_in(toy_models, slides, tmp_path, monkeypatch):
    for name in ("XDG_CONFIG_HOME", "APPDATA", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
        monkeypatch.setitem(ENVIRONMENT, name, str(tmp_path))
    child = served("--slides", slides)
    try:
        path = local.token_file(child.port)
        child.wait_for("your own clients on this computer find the token in")
        if os.name == "posix":
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with Client(child.address) as client:  # the same user
            assert list(client.info.slide_folders) == [str(slides.resolve())]
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "another"))
        monkeypatch.setenv("APPDATA", str(tmp_path / "another"))
        monkeypatch.setenv("HOME", str(tmp_path / "another"))
        with pytest.raises(Unauthenticated, match="none was sent"):
            Client(child.address)
        assert child.end() == 0 and not path.exists()
    finally:
        child.kill()


def test_a_token_of_an_own_server_goes_to_no_other(tmp_path, monkeypatch):
    for name in ("XDG_CONFIG_HOME", "APPDATA", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    local.write_token(50051, ANN)
    assert local.read_token(50051) == ANN and local.read_token(50052) is None
    heard = []
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(30)

        def listen():
            connection, _ = other.accept()
            with connection:
                connection.settimeout(3)
                heard.append(connection.recv(4096))

        thread = threading.Thread(target=listen)
        thread.start()
        with pytest.raises(ServerUnavailable):
            Client(f"127.0.0.1:{other.getsockname()[1]}", timeout=2)
        thread.join()
    assert ANN.encode() not in heard[0]


@pytest.mark.parametrize("address", ["http://10.0.0.7", "http://127.evil.example", "grpc://gpu.lab.example:7"])
def test_a_token_never_travels_in_the_clear(address):
    with pytest.raises(UsageError, match="would travel to .* without encryption; write https://"):
        Client(address, token=ANN)


def test_who_says_insecure_by_name_gets_it():
    with pytest.raises(ServerUnavailable):  # it was tried
        Client("insecure://no-such-host.invalid", token=ANN, timeout=2)


def test_every_address_of_a_name_is_tried(monkeypatch):
    found = socket.getaddrinfo
    with socket.create_server(("127.0.0.1", 0)) as web:
        port = web.getsockname()[1]

        def both(host, *arguments, **more):
            if host != "lab.test":
                return found(host, *arguments, **more)
            six = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0))
            return [six, (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

        monkeypatch.setattr(socket, "getaddrinfo", both)
        monkeypatch.setattr("hemalum.client.connection.STEP", 1.0)
        why = diagnose(Endpoint("lab.test", port, False), None)
    assert "nothing listens" not in str(why) and "not a gRPC server" in str(why)


def test_a_token_file_may_hold_a_name(tmp_path, toy_models):
    path = tmp_path / "tokens"
    path.write_text(f"ann {ANN}\n")
    child = served("--models", toy_models, "--token-file", path)
    try:
        Client(child.address, token_file=path).close()
    finally:
        child.end()


def test_a_server_computes_with_what_it_was_told(toy_models, until):
    child = served("--models", toy_models, "--threads", 1, "--device", "cpu", "--precision", "fp32")
    try:
        with Client(child.address) as client:
            assert until(lambda: client.refresh().ready, 60)
            assert "1 thread" in client.refresh().device and "fp32" in client.refresh().device
    finally:
        child.end()


def test_what_cannot_be_computed_with_is_said_before_the_port_opens():
    import importlib.util

    if importlib.util.find_spec("torch") is not None:
        import torch

        if torch.cuda.is_available():
            pytest.skip("this machine has what is asked for")
    child = Child("-m", "hemalum", "serve", "--port", 0, "--device", "cuda")
    assert child.process.wait(60) == 2
    child.wait_for("hemalum: ")
