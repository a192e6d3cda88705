"""The proxy without toxics: a wire that nobody notices, and nothing left when it is gone."""

import asyncio
import errno
import os
import resource
import select
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from network_peers import PATIENCE, Pair, Rig, Upstream, eventually, receive, receive_all

from pytest_resilience.chaos.network import pipes, wires
from pytest_resilience.chaos.network import proxy as proxy_module
from pytest_resilience.chaos.network.proxy import ProxyEffect
from pytest_resilience.chaos.network.specs import ProxySpec
from pytest_resilience.endpoints import Endpoint

HAS_IPV6 = Path("/proc/net/if_inet6").exists()
MEGABYTE = 1 << 20


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture(params=["as it is", "no pipes", "one pipe", "no epoll"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the kernel offers: other systems have less, and pipes may run out."""
    match request.param:
        case "no pipes":
            monkeypatch.setattr(pipes, "CAN_SPLICE", False)
        case "one pipe":
            monkeypatch.setattr(pipes, "MOST_PIPES", 1)
        case "no epoll":
            monkeypatch.setattr(wires, "new_events", wires.OtherEvents)


@pytest.mark.usefixtures("kernel")
def test_both_directions_and_their_ends_pass() -> None:
    """After the client's end (FIN) the server can still answer."""
    with Rig() as rig:
        pair = rig.pair()
        pair.ask()
        pair.client.shutdown(socket.SHUT_WR)
        assert receive_all(pair.server) == b""
        pair.server.sendall(b"late answer")
        pair.server.close()
        assert receive_all(pair.client) == b"late answer"
        assert eventually(lambda: not rig.proxy.connections)


def test_the_server_may_end_first() -> None:
    """After the server's end the client can still send."""
    with Rig() as rig:
        pair = rig.pair()
        pair.server.shutdown(socket.SHUT_WR)
        assert receive_all(pair.client) == b""
        pair.client.sendall(b"still here")
        pair.client.close()
        assert receive_all(pair.server) == b"still here"


@pytest.mark.skipif(not HAS_IPV6, reason="the machine has no IPv6")
def test_clients_come_by_ipv6() -> None:
    """The same port on ::1 leads to the same upstream."""
    with Rig() as rig:
        assert rig.info["port6"] == rig.port
        client = rig.connect_to(socket.AF_INET6, ("::1", rig.port))
        with rig.upstream.accept() as server:
            Pair(client, server).ask()


def test_clients_come_by_a_unix_socket() -> None:
    """In a folder that is the user's own, and is gone afterwards."""
    with Rig() as rig:
        client = rig.connect_to(socket.AF_UNIX, str(rig.path))
        with rig.upstream.accept() as server:
            Pair(client, server).ask()
        assert rig.path.parent.stat().st_mode & 0o777 == 0o700
    assert not rig.path.parent.exists()


def test_a_long_temporary_folder_does_not_keep_the_socket_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel takes paths of a hundred bytes."""
    long = tmp_path / ("long" * 30)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    with Rig() as rig:
        rig.connect_to(socket.AF_UNIX, str(rig.path))


@pytest.mark.parametrize("form", ["unix", "::1", "localhost"])
def test_upstreams_of_every_form(form: str, tmp_path: Path) -> None:
    """A Unix socket, IPv6, and a name."""
    if form == "::1" and not HAS_IPV6:
        pytest.skip("the machine has no IPv6")
    listens_at = {
        "unix": Endpoint(path=str(tmp_path / "s")),
        "::1": Endpoint("::1", 0),
        "localhost": Endpoint("127.0.0.1", 0),
    }
    with Upstream(listens_at[form]) as upstream:
        named = Endpoint("localhost", upstream.endpoint.port) if form == "localhost" else upstream.endpoint
        with Rig(named) as rig:
            client = rig.connect()
            with upstream.accept() as server:
                Pair(client, server).ask()


def test_a_unix_upstream_with_a_full_queue_is_waited_for(tmp_path: Path) -> None:
    """The kernel says EAGAIN then, and no event tells when there is room."""
    with Upstream(Endpoint(path=str(tmp_path / "s"))) as upstream:
        upstream.socket.listen(0)
        with Rig(upstream.endpoint) as rig:
            clients = [rig.connect() for _ in range(4)]
            for client in clients:
                client.sendall(b"?")
            for _ in clients:
                with upstream.accept() as server:
                    assert receive(server, 1) == b"?"


@pytest.mark.parametrize("upstream", [Endpoint("127.0.0.1", 1), Endpoint("does-not-exist.invalid", 1)])
def test_an_upstream_that_is_not_there_resets_the_client(upstream: Endpoint) -> None:
    """Refused, or unknown by name."""
    with Rig(upstream) as rig:
        with pytest.raises(ConnectionResetError) as caught:
            rig.connect().recv(1)
        assert caught.value.errno == errno.ECONNRESET
        assert eventually(lambda: not rig.proxy.connections)


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("breaks", ["client", "server"])
def test_a_reset_is_passed_on(breaks: str) -> None:
    """Who resets its side resets the other one too, and not before the other one has the data."""
    with Rig() as rig:
        pair = rig.pair()
        one, other = (pair.client, pair.server) if breaks == "client" else (pair.server, pair.client)
        one.sendall(b"last words")
        assert receive(other, 10) == b"last words"
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        one.close()
        with pytest.raises(ConnectionResetError):
            other.recv(1)
        assert eventually(lambda: not rig.proxy.connections)


@pytest.mark.usefixtures("kernel")
def test_a_receiver_that_does_not_read_stops_the_sender() -> None:
    """The proxy keeps at most one piece; the rest waits where it is sent."""
    with Rig() as rig:
        pair = rig.pair()
        pair.client.setblocking(False)
        sent = 0
        piece = bytes(range(256)) * 4096
        while True:
            try:
                sent += pair.client.send(piece[sent % len(piece) :])
            except BlockingIOError:
                if not eventually(lambda: _takes_more(pair.client), 0.3):
                    break
        kept = rig.call(lambda: _kept(rig.proxy))
        assert 0 < kept <= proxy_module.BUFFER_BYTES
        pair.client.close()
        received = receive_all(pair.server)
        assert len(received) == sent
        assert received == (piece * (sent // len(piece) + 1))[:sent]


def _takes_more(sock: socket.socket) -> bool:
    return bool(select.select([], [sock], [], 0)[1])


def _kept(proxy: ProxyEffect) -> int:
    return sum(flow.outlet.kept for one in proxy.connections for flow in (one.up, one.down))


@pytest.mark.usefixtures("kernel")
def test_large_streams_pass_both_ways_at_once() -> None:
    """More than all buffers together, complete and in order."""
    up, down = os.urandom(MEGABYTE) * 24, os.urandom(MEGABYTE) * 24

    def send(sock: socket.socket, data: bytes) -> None:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)

    with Rig() as rig, ThreadPoolExecutor(4) as pool:
        pair = rig.pair()
        sending = [pool.submit(send, pair.client, up), pool.submit(send, pair.server, down)]
        received = [pool.submit(receive_all, pair.server), pool.submit(receive_all, pair.client)]
        assert received[0].result(60) == up
        assert received[1].result(60) == down
        for each in sending:
            each.result()


@pytest.mark.usefixtures("kernel")
def test_a_reset_in_the_middle_of_bulk_leaves_no_pipe() -> None:
    """What was in it is thrown away; the next connection works."""
    before = descriptors()
    with Rig() as rig:
        for _ in range(3):
            pair = rig.pair()
            pair.client.setblocking(False)
            while eventually(lambda pair=pair: _takes_more(pair.client), 0.05):  # type: ignore[misc]
                with suppress(BlockingIOError):
                    pair.client.send(bytes(MEGABYTE))
            pair.server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            pair.close()
            assert eventually(lambda: not rig.proxy.connections)
        rig.pair().ask()
    assert descriptors() == before


def test_many_connections_are_held() -> None:
    """Three hundred at once, each with its own upstream."""
    with Rig() as rig:
        pairs = [rig.pair() for _ in range(300)]
        for number, pair in enumerate(pairs):
            pair.client.sendall(b"%3d" % number)
        for number, pair in enumerate(pairs):
            assert receive(pair.server, 3) == b"%3d" % number
        assert len(rig.proxy.connections) == 300


def test_nothing_is_left() -> None:
    """No socket, task, folder or thread, also when connections were open and one was still dialling."""
    before = descriptors(), threading.active_count()
    with Upstream(Endpoint("127.0.0.1", 0)) as full:
        full.socket.listen(0)
        with Rig(full.endpoint) as rig:
            for _ in range(5):  # the later ones dial until the end
                rig.connect()
            rig.run(rig.proxy.stop())
            assert rig.call(lambda: len(asyncio.all_tasks())) == 1, "only the one that counts"
            assert not rig.path.parent.exists()
            assert not rig.proxy.connections
            with pytest.raises(ConnectionRefusedError):
                rig.connect()
    assert (descriptors(), threading.active_count()) == before


def test_stopping_twice_and_before_the_start_changes_nothing() -> None:
    """Undo is safe whatever was done."""

    async def scenario() -> None:
        effect = ProxyEffect(ProxySpec(Endpoint("127.0.0.1", 1)))
        await effect.stop()
        await effect.start()
        await effect.stop()
        await effect.stop()

    before = descriptors()
    asyncio.run(scenario())
    assert descriptors() == before


@pytest.mark.parametrize("breaks", ["TcpDoor", "UnixDoor", "listen_on_one_port", "listen_at", "Poller"])
def test_a_start_that_breaks_leaves_nothing(breaks: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The supervisor stops an effect that failed to start."""

    def broken(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(proxy_module, breaks, broken)
    effect = ProxyEffect(ProxySpec(Endpoint("127.0.0.1", 1)))

    async def scenario() -> None:
        with pytest.raises(OSError, match="Too many open files"):
            await effect.start()
        await effect.stop()

    before = descriptors()
    asyncio.run(scenario())
    assert descriptors() == before


def test_a_client_that_waits_while_descriptors_are_out_gets_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The door rests, and does not spin."""
    with Rig() as rig:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        client = socket.socket()
        client.settimeout(PATIENCE)
        lowest = os.dup(0)
        os.close(lowest)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
        try:
            client.connect(("127.0.0.1", rig.port))
            assert not rig.call(lambda: dict(rig.proxy.connections))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        with client, rig.upstream.accept() as server:
            Pair(client, server).ask()
