"""Every reason why a server cannot be used has its own sentence; each is provoked for real."""

import http.server
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from service_children import Child, local_child, odd_server, served

from hemalum.client.client import Client
from hemalum.client.connection import parse_address
from hemalum.errors import ServerUnavailable, Unauthenticated, UsageError, VersionMismatch


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    """A TLS server for 127.0.0.1, its files, and the CA of another."""
    from hemalum.service.tls import init_tls

    folder = tmp_path_factory.mktemp("tls")
    made = init_tls(folder / "mine", ["127.0.0.1"])
    init_tls(folder / "other", ["127.0.0.1"])
    mine = folder / "mine"
    child = served("--tls-cert", mine / "server.crt", "--tls-key", mine / "server.key", "--token-file", mine / "token")
    child.ca, child.other_ca, child.token = mine / "ca.crt", folder / "other" / "ca.crt", made.token
    yield child
    child.end()


@pytest.mark.parametrize(
    "typed, endpoint",
    [
        ("gpu.lab", ("gpu.lab", 50051, True)),
        ("127.0.0.1:7", ("127.0.0.1", 7, False)),
        (" http://10.0.0.7:80/x ", ("10.0.0.7", 80, False)),
        ("[::1]:9", ("::1", 9, False)),
        ("grpcs://localhost", ("localhost", 50051, True)),
        ('"lab:1"', ("lab", 1, True)),
        ("127.evil.example", ("127.evil.example", 50051, True)),
        ("127.0.0.1.evil.example:9", ("127.0.0.1.evil.example", 9, True)),
        ("[::ffff:10.0.0.7]", ("::ffff:10.0.0.7", 50051, True)),
        ("localhost", ("localhost", 50051, False)),
        ("insecure://10.0.0.7", ("10.0.0.7", 50051, False)),
    ],
)
def test_addresses_are_read_forgivingly(typed, endpoint):
    assert parse_address(typed)[:3] == endpoint


@pytest.mark.parametrize("typed", ["", "a b", "host:port", "host:0", "host:70000", "ftp://host", "::1"])
def test_what_is_no_address_is_said(typed):
    with pytest.raises(UsageError):
        Client(typed)


def refused(error, match, address, **options):
    with pytest.raises(error, match=match) as caught:
        Client(address, **options)
    assert caught.value.exit_code == 2 and "\n" not in str(caught.value)


def test_unknown_computer():
    refused(ServerUnavailable, "no computer called", "http://no-such-host.invalid:50051")


def test_nothing_listens():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    refused(ServerUnavailable, "nothing listens", f"127.0.0.1:{port}")


def test_a_web_server_is_not_grpc():
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    try:
        refused(ServerUnavailable, "not a gRPC server", f"127.0.0.1:{web.server_port}", timeout=3)
    finally:
        web.shutdown()


def test_another_grpc_server():
    other = grpc.server(ThreadPoolExecutor(1))
    port = other.add_insecure_port("127.0.0.1:0")
    other.start()
    refused(ServerUnavailable, "no Hemalum server", f"127.0.0.1:{port}")
    other.stop(0)


def test_tls_with_its_ca_and_token(tls):
    with Client(tls.address, token=tls.token, ca=tls.ca) as client:
        assert client.info.api_version == 1


def test_tls_failures_are_told_apart(tls):
    refused(ServerUnavailable, "not made by the CA given", tls.address, ca=tls.other_ca)
    refused(ServerUnavailable, "does not know", f"https://{tls.address}")
    refused(ServerUnavailable, "expects TLS", tls.address)
    refused(ServerUnavailable, "not for localhost", f"https://localhost:{tls.port}", ca=tls.ca)
    refused(UsageError, "PEM", tls.address, ca=__file__)
    refused(UsageError, "PEM", "https://127.0.0.1:9", ca=__file__)  # said before anything is sent
    refused(UsageError, "cannot be read", tls.address, ca="nowhere.crt")


def test_tls_against_a_plain_server(server, tls):
    refused(ServerUnavailable, "does not speak TLS", f"https://{server.address}", ca=tls.ca)


def test_tokens(server, tls):
    refused(Unauthenticated, "none was sent", server.address)
    refused(Unauthenticated, "token was refused", server.address, token="wrong")
    refused(Unauthenticated, "characters that no token has", server.address, token="größer")
    refused(Unauthenticated, "token was refused", tls.address, token=server.token, ca=tls.ca)


def test_a_stream_without_a_token_is_refused_at_once(server):
    from hemalum.v1 import nuclei_pb2 as pb
    from hemalum.v1.nuclei_pb2_grpc import NucleiStub

    with grpc.insecure_channel(server.address) as channel, pytest.raises(grpc.RpcError) as caught:
        next(NucleiStub(channel).Segment(iter([pb.SegmentRequest()])))
    assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
    assert dict(caught.value.trailing_metadata())["hemalum-error"] == "Unauthenticated"


@pytest.mark.parametrize("versions, match", [((0, 0), "too old for this client"), ((3, 2), "too new for this client")])
def test_servers_of_other_versions(versions, match):
    child = odd_server(API_VERSION=versions[0], OLDEST_API_VERSION=versions[1])
    try:
        refused(VersionMismatch, match, child.address)
    finally:
        child.end()


def test_token_and_ca_from_the_environment(tls, monkeypatch):
    monkeypatch.setenv("HEMALUM_TOKEN", tls.token)
    monkeypatch.setenv("HEMALUM_CA", str(tls.ca))
    Client(tls.address).close()


def test_the_first_answer_does_not_wait_for_the_model(toy_models):
    def answers_while_loading() -> bool:
        child = local_child("--models", toy_models)
        with Client(child.address, token=child.token) as client:
            early = not client.info.ready and client.info.state.startswith("loading")
        child.end()
        return early

    assert any(answers_while_loading() for _ in range(3))  # `make bench` measures how soon


def test_an_address_that_is_in_use(server):
    child = Child("-m", "hemalum", "serve", "--port", server.port)
    assert child.process.wait(20) == 2
    child.wait_for(f"port {server.port} is in use")
