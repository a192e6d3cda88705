"""Clients that are turned away: really refused, really never accepted, and counted as the kernel tells."""

import errno
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from network_peers import Rig, eventually, receive

from pytest_resilience.chaos.network import doorkeeper, knocks
from pytest_resilience.chaos.network.toxics import AnyToxic, Down, NeverAccept, Refuse
from pytest_resilience.chaos.triggers import nth

BRIEF = 0.15
"""A client's patience in seconds."""


@pytest.fixture
def rig() -> Iterator[Rig]:
    """A proxy in front of a server that the test plays."""
    with Rig() as rig:
        yield rig


@pytest.fixture
def no_packets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is not root and has no CAP_NET_RAW."""

    def denied(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(knocks.Listener, "__init__", denied)


def may_see_packets() -> bool:
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0).close()
    except PermissionError:
        return False
    return True


sees_packets = pytest.mark.skipif(not may_see_packets(), reason="needs CAP_NET_RAW")


def knock(rig: Rig, family: int = socket.AF_INET, patience: float = BRIEF) -> OSError | None:
    """Try to connect; return what went wrong."""
    addresses = {
        socket.AF_INET: ("127.0.0.1", rig.port),
        socket.AF_INET6: ("::1", rig.port),
        socket.AF_UNIX: str(rig.path),
    }
    try:
        rig.connect_to(family, addresses[socket.AddressFamily(family)], patience)
    except OSError as error:
        return error
    return None


def families(rig: Rig) -> list[int]:
    return [socket.AF_INET, socket.AF_UNIX, *([socket.AF_INET6] if rig.info["port6"] else [])]


@pytest.mark.parametrize("toxic", [Refuse(), Down()])
def test_refused_is_refused(rig: Rig, toxic: AnyToxic) -> None:
    """ECONNREFUSED on every way in; afterwards all are open again, at the same place."""
    with rig.toxic(toxic):
        for family in families(rig):
            error = knock(rig, family)
            assert error is not None
            assert error.errno == errno.ECONNREFUSED
    for family in families(rig):
        assert knock(rig, family) is None
        rig.upstream.accept().close()


def test_open_connections_go_on_while_new_ones_are_refused(rig: Rig) -> None:
    """Refuse leaves them; Down resets them."""
    pair = rig.pair()
    with rig.toxic(Refuse()):
        pair.ask()
    with rig.toxic(Down()) as touched:
        with pytest.raises(ConnectionResetError):
            pair.client.recv(1)
        assert (touched().reached, touched().fired, touched().detail) == (1, 1, "1 connection, 0 bytes")


@pytest.mark.parametrize("shared", [0, 1])
def test_a_port_that_refuses_stays_ours(rig: Rig, shared: int) -> None:
    """Nobody else can take it meanwhile, not even with SO_REUSEADDR, also with connections open."""
    rig.pair()
    with rig.toxic(Refuse()):
        for host in ("127.0.0.1", "0.0.0.0"):
            with socket.socket() as thief:
                thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, shared)
                with pytest.raises(OSError, match="in use"):
                    thief.bind((host, rig.port))
    rig.pair().ask()


def test_who_came_before_gets_in(rig: Rig) -> None:
    """A client whose connection the kernel made already is not refused afterwards."""
    blocked, go = threading.Event(), threading.Event()

    def block() -> None:
        blocked.set()
        go.wait(10)

    rig._loop.call_soon_threadsafe(block)
    blocked.wait(10)
    client = rig.connect()
    go.set()
    with rig.toxic(Refuse()):
        client.sendall(b"?")
        with rig.upstream.accept() as server:
            assert receive(server, 1) == b"?"


def test_never_accepted_is_waiting(rig: Rig) -> None:
    """A client waits until its own time-out; open connections go on."""
    pair = rig.pair()
    with rig.toxic(NeverAccept()):
        for family in families(rig):
            started = time.monotonic()
            error = knock(rig, family)
            if family == socket.AF_UNIX:
                assert isinstance(error, BlockingIOError), "a Unix socket with a time-out does not wait"
            else:
                assert isinstance(error, TimeoutError)
                assert time.monotonic() - started >= BRIEF
        pair.ask()
    for family in families(rig):
        assert knock(rig, family) is None


def test_a_unix_client_that_waits_gets_in_afterwards(rig: Rig) -> None:
    """A blocking connect to a Unix socket hangs until the toxic goes."""
    effect = rig.add(NeverAccept())
    connected = threading.Event()

    def wait() -> None:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(rig.path))
            client.sendall(b"?")
            connected.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert not connected.wait(BRIEF)
    rig.remove(effect)
    with rig.upstream.accept() as server:
        assert receive(server, 1) == b"?"
    waiting.join(10)
    assert connected.is_set()


def test_a_tcp_client_that_waits_gets_in_when_it_asks_again(rig: Rig) -> None:
    """The kernel repeats its question after a second."""
    effect = rig.add(NeverAccept())
    timer = threading.Timer(BRIEF, rig.remove, [effect])
    timer.start()
    assert knock(rig, patience=10) is None
    timer.join()
    rig.upstream.accept().close()


def test_refusing_goes_before_ignoring(rig: Rig) -> None:
    """Each goes when its own effect goes, in any order."""
    ignoring, refusing = rig.add(NeverAccept()), rig.add(Refuse())
    assert isinstance(knock(rig), ConnectionRefusedError)
    rig.remove(refusing)
    assert isinstance(knock(rig), TimeoutError)
    refusing = rig.add(Refuse())
    rig.remove(ignoring)
    assert isinstance(knock(rig), ConnectionRefusedError)
    second = rig.add(Refuse())
    rig.remove(refusing)
    assert isinstance(knock(rig), ConnectionRefusedError)
    rig.remove(second)
    assert knock(rig) is None


@sees_packets
@pytest.mark.parametrize("toxic", [Refuse(), Down(), NeverAccept()])
def test_who_was_turned_away_is_counted(rig: Rig, toxic: AnyToxic) -> None:
    """By both versions of IP; whoever else knocks elsewhere, or came before or after, does not count."""
    rig.pair()
    with socket.create_server(("127.0.0.2", rig.port)) as elsewhere:
        effect = rig.add(toxic)
        tries = [family for family in families(rig) if family != socket.AF_UNIX] * 3
        for family in tries:
            assert knock(rig, family) is not None
        socket.create_connection(elsewhere.getsockname()).close()
        touched = rig.remove(effect)
    cut = isinstance(toxic, Down)
    assert touched.reached == touched.fired == len(tries) + cut
    assert touched.detail.startswith(f"{len(tries)} attempts to connect")
    rig.pair()
    assert rig.touched(effect) == touched


@sees_packets
def test_an_attempt_counts_for_each_effect_that_turns_it_away(rig: Rig) -> None:
    """And once for an effect with two such toxics."""
    both, one = rig.add(Refuse(), Down(), NeverAccept()), rig.add(Refuse())
    knock(rig)
    knock(rig)
    assert rig.remove(one).fired == 2
    touched = rig.remove(both)
    assert (touched.reached, touched.fired) == (2, 2)
    assert touched.detail == "Refuse: 2 attempts to connect; Down: 2 attempts to connect"


@sees_packets
def test_a_client_that_asks_again_counts_once(rig: Rig) -> None:
    """The kernel repeats a question after a second; it is the same attempt."""
    with rig.toxic(NeverAccept()) as touched:
        knock(rig, patience=1.3)
        assert touched().fired == 1


@pytest.mark.usefixtures("no_packets")
def test_without_packets_those_who_wait_are_counted_all_the_same(rig: Rig) -> None:
    """The kernel counts what it dropped, and lists who waits and how often each asked again."""
    with rig.toxic(NeverAccept()) as touched:
        knock(rig, patience=1.3)
        for family in families(rig):
            knock(rig, family)
        assert eventually(lambda: touched().fired == len(families(rig)))
        assert touched().reached == len(families(rig))


@pytest.mark.usefixtures("no_packets")
def test_without_packets_refused_attempts_are_counted_on_the_whole_machine(rig: Rig) -> None:
    """The evidence says so; whoever else is refused meanwhile counts, too."""
    with rig.toxic(Refuse()) as touched:
        for _ in range(3):
            assert isinstance(knock(rig), ConnectionRefusedError)
        assert touched().fired >= 3
        assert not touched().blind
        assert touched().detail.endswith(
            ", at most: without CAP_NET_RAW, all that were refused on this machine count"
        )


@pytest.mark.usefixtures("no_packets")
def test_where_nobody_counts_the_evidence_says_what_cannot_be_seen(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is invented."""

    def untold() -> int:
        raise FileNotFoundError("/proc/net/snmp")

    monkeypatch.setattr(knocks, "failed_attempts", untold)
    with rig.toxic(Refuse()) as touched:
        assert isinstance(knock(rig), ConnectionRefusedError)
        assert touched().fired == 0
        assert touched().blind
        assert touched().detail.endswith(", refused attempts cannot be seen without CAP_NET_RAW")


@pytest.mark.parametrize("toxic", [Refuse(trigger=nth(2)), Down(trigger=nth(2))])
def test_a_trigger_chooses_who_is_turned_away(rig: Rig, toxic: AnyToxic) -> None:
    """A port refuses all or none, so the second one is made and reset."""
    with rig.toxic(toxic) as touched:
        rig.pair().ask()
        with pytest.raises(ConnectionResetError):
            rig.connect().recv(1)
        rig.pair().ask()
        assert touched().fired == 1


def test_elsewhere_than_on_linux_connections_are_cut_instead(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There a door cannot keep its place while it is closed."""
    monkeypatch.setattr("pytest_resilience.chaos.network.gates.CAN_TURN_AWAY", False)
    with rig.toxic(Down()) as touched:
        with pytest.raises(ConnectionResetError):
            rig.connect().recv(1)
        assert touched().fired == 1


def test_nothing_is_left_of_a_start_that_breaks(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """An effect that is stopped after half a start opens the doors again."""

    def broken(*_: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(doorkeeper.Doorkeeper, "_count", broken)
    with pytest.raises(RuntimeError, match="broken"):
        rig.add(Refuse())
    monkeypatch.undo()
    rig.remove(list(rig.effects)[-1])
    rig.pair().ask()
    assert rig.proxy.guests == []
