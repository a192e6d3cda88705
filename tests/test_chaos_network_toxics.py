"""What each toxic does to data and connections, and that its evidence says exactly that."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest
from network_peers import Pair, Rig, eventually, receive, receive_all

from pytest_resilience.chaos.network.delays import MOST_DELAYED
from pytest_resilience.chaos.network.toxics import (
    AnyToxic,
    Bandwidth,
    Down,
    FailFirst,
    Latency,
    LimitData,
    NeverAccept,
    Refuse,
    ResetPeer,
    Slicer,
    Slots,
    SlowClose,
    Stream,
    Timeout,
)
from pytest_resilience.chaos.touched import Touched
from pytest_resilience.errors import ScenarioError

LATE = 0.05
DIRECTIONS: tuple[Stream, ...] = ("upstream", "downstream")
NOTHING_SENT = 0.05
"""Seconds in which something that must not arrive would have."""


@pytest.fixture
def rig() -> Iterator[Rig]:
    """A proxy in front of a server that the test plays."""
    with Rig() as rig:
        yield rig


@pytest.fixture
def pair(rig: Rig) -> Pair:
    """A connection that was open before any toxic."""
    return rig.pair()


def counted(touched: Touched) -> tuple[int, int, str]:
    return touched.reached, touched.fired, touched.detail


def end(rig: Rig, effect: str, *pairs: Pair) -> Touched:
    """Remove toxics, and wait until connections are gone: open ones are met before new ones."""
    touched = rig.remove(effect)
    for pair in pairs:
        pair.close()
    assert eventually(lambda: not rig.proxy.connections)
    return touched


def is_silent(sock: socket.socket) -> bool:
    """Tell whether nothing arrives, not even an end."""
    sock.settimeout(NOTHING_SENT)
    try:
        sock.recv(1)
    except TimeoutError:
        return True
    finally:
        sock.settimeout(10)
    return False


def towards(pair: Pair, stream: Stream) -> tuple[socket.socket, socket.socket]:
    """Return the sender and the receiver of a direction."""
    return (pair.client, pair.server) if stream == "upstream" else (pair.server, pair.client)


@pytest.mark.parametrize("stream", DIRECTIONS)
def test_latency_delays_one_direction(rig: Rig, pair: Pair, stream: Stream) -> None:
    """A connection that was open is hit as one that is new."""
    with rig.toxic(Latency(LATE, stream=stream)) as touched:
        before = time.monotonic()
        assert pair.ask(b"12345", b"123") >= LATE
        assert rig.pair().ask(b"12345", b"123") >= LATE
        size = 5 if stream == "upstream" else 3
        assert counted(touched()) == (2, 2, f"2 connections, {2 * size} bytes")
        first, last = touched().first_fired_at, touched().last_fired_at
        assert first is not None
        assert last is not None
        assert before <= first < last <= time.monotonic()
    assert pair.ask() < LATE


def test_jitter_moves_the_delay_by_the_seed(rig: Rig) -> None:
    """The same seed and order of connections give the same delays, another seed gives others."""

    def delays(seed: str) -> list[float]:
        effect = rig.add(Latency(0.03, 0.03), seed=seed)
        pair = rig.pair()
        seconds = [pair.ask() for _ in range(8)]
        end(rig, effect, pair)
        return seconds

    one, again, other = delays("one"), delays("one"), delays("other")
    assert max(one) - min(one) > 0.01
    assert sorted(range(8), key=one.__getitem__) != sorted(range(8), key=other.__getitem__)
    close = sum(abs(a - b) < 0.008 for a, b in zip(one, again, strict=True))
    assert close >= 6, "at most two were late for other reasons"


def test_what_is_late_comes_at_once_and_in_order_when_the_toxic_goes(rig: Rig, pair: Pair) -> None:
    """Nothing is lost, and nothing is held until its time."""
    effect = rig.add(Latency(60))
    for piece in (b"one ", b"two ", b"three"):
        pair.server.sendall(piece)
        time.sleep(0.002)
    pair.server.shutdown(socket.SHUT_WR)
    assert is_silent(pair.client)
    rig.remove(effect)
    pair.client.settimeout(1)
    assert receive_all(pair.client) == b"one two three"


def test_delayed_data_is_bounded(rig: Rig, pair: Pair) -> None:
    """A sender that goes on is stopped; what was held arrives after the removal."""
    effect = rig.add(Latency(60, stream="upstream"))
    data = b"x" * (4 * MOST_DELAYED)
    sender = threading.Thread(target=pair.client.sendall, args=(data,))
    sender.start()
    assert eventually(lambda: rig.call(lambda: _held(rig)) >= MOST_DELAYED)
    assert rig.call(lambda: _held(rig)) < 2 * MOST_DELAYED
    assert sender.is_alive()
    rig.remove(effect)
    assert receive(pair.server, len(data)) == data
    sender.join(10)


def _held(rig: Rig) -> int:
    (connection,) = rig.proxy.connections
    return sum(stage._weight for stage in connection.up._stages)  # type: ignore[attr-defined]


@pytest.mark.parametrize("stream", DIRECTIONS)
def test_bandwidth_takes_its_time(rig: Rig, pair: Pair, stream: Stream) -> None:
    """Twenty thousand bytes at a hundred thousand per second, not faster."""
    sender, receiver = towards(pair, stream)
    with rig.toxic(Bandwidth(100_000, stream=stream)) as touched:
        started = time.monotonic()
        sender.sendall(b"x" * 20_000)
        first = receive(receiver, 1)
        assert time.monotonic() - started < 0.15, "the beginning does not wait for the rest"
        assert first + receive(receiver, 19_999) == b"x" * 20_000
        assert time.monotonic() - started >= 0.19
        assert touched().fired == 1


def test_bandwidth_lets_small_talk_pass(rig: Rig, pair: Pair) -> None:
    """What is below the rate is not touched, and that is what the evidence says."""
    with rig.toxic(Bandwidth(1e9)) as touched:
        pair.ask()
        assert counted(touched()) == (1, 0, "0 connections, 0 bytes")


def test_slow_close_delays_the_end_only(rig: Rig, pair: Pair) -> None:
    """Data is on time; the end is late."""
    with rig.toxic(SlowClose(LATE)) as touched:
        started = time.monotonic()
        pair.server.sendall(b"data")
        pair.server.shutdown(socket.SHUT_WR)
        assert receive(pair.client, 4) == b"data"
        assert touched().fired == 1
        assert receive_all(pair.client) == b""
        assert time.monotonic() - started >= LATE
        assert counted(touched()) == (1, 1, "1 connection, 0 bytes")


@pytest.mark.parametrize("stream", DIRECTIONS)
def test_a_black_hole_swallows_until_it_is_removed(rig: Rig, pair: Pair, stream: Stream) -> None:
    """Then the connections that lost something are closed, and the others live on."""
    sender, receiver = towards(pair, stream)
    other = rig.pair()
    effect = rig.add(Timeout(stream=stream))
    sender.sendall(b"into the void")
    assert is_silent(receiver)
    touched = rig.remove(effect)
    assert (touched.fired, touched.detail) == (1, "1 connection, 13 bytes")
    assert receive_all(receiver) == b""
    other.ask()


def test_a_black_hole_closes_in_time(rig: Rig, pair: Pair) -> None:
    """After `timeout` seconds, idle or not."""
    with rig.toxic(Timeout(LATE)) as touched:
        started = time.monotonic()
        assert receive_all(pair.client) == b""
        assert time.monotonic() - started >= LATE / 2
        assert counted(touched()) == (1, 1, "1 connection, 0 bytes")


def test_a_black_hole_keeps_an_end_and_gives_it_back(rig: Rig, pair: Pair) -> None:
    """Nothing was lost: after the removal the end arrives, and the other direction goes on."""
    effect = rig.add(Timeout(stream="upstream"))
    pair.client.shutdown(socket.SHUT_WR)
    assert is_silent(pair.server)
    rig.remove(effect)
    assert receive_all(pair.server) == b""
    pair.server.sendall(b"answer")
    assert receive(pair.client, 6) == b"answer"


def test_a_stream_with_a_hole_does_not_go_on(rig: Rig, pair: Pair) -> None:
    """Drawn for each exchange: an answer after a swallowed one would be taken for it."""
    with rig.toxic(Timeout(toxicity=0.5, per="exchange")):
        swallowed = False
        for number in range(20):
            pair.client.sendall(b"?")
            receive(pair.server, 1)
            pair.server.sendall(b"%02d" % number)
            swallowed = swallowed or is_silent_or(pair.client, b"%02d" % number)
            if swallowed:
                break
        assert swallowed
        pair.server.sendall(b"late")
        assert is_silent(pair.client)


def is_silent_or(sock: socket.socket, expected: bytes) -> bool:
    """Tell whether nothing arrives; if something does, it is what is expected."""
    sock.settimeout(NOTHING_SENT)
    try:
        assert receive(sock, len(expected)) == expected
    except TimeoutError:
        return True
    finally:
        sock.settimeout(10)
    return False


@pytest.mark.parametrize("stream", DIRECTIONS)
def test_reset_peer_resets_idle_connections_on_both_sides(rig: Rig, pair: Pair, stream: Stream) -> None:
    """A real RST: ECONNRESET, not an end."""
    with rig.toxic(ResetPeer(stream=stream)) as touched:
        for side in (pair.client, pair.server):
            with pytest.raises(ConnectionResetError):
                side.recv(1)
        assert counted(touched()) == (1, 1, "1 connection, 0 bytes")


def test_reset_peer_waits(rig: Rig, pair: Pair) -> None:
    """Until then all passes; removed before, it does nothing."""
    effect = rig.add(ResetPeer(60))
    pair.ask()
    assert rig.remove(effect).fired == 0
    with rig.toxic(ResetPeer(LATE)):
        started = time.monotonic()
        pair.ask()
        with pytest.raises(ConnectionResetError):
            pair.client.recv(1)
        assert time.monotonic() - started >= LATE / 2


def test_reset_peer_hits_new_connections(rig: Rig) -> None:
    """They are made, and reset."""
    with rig.toxic(ResetPeer()) as touched:
        with pytest.raises(ConnectionResetError):
            rig.connect().recv(1)
        assert counted(touched()) == (1, 1, "1 connection, 0 bytes")


def test_slices_depend_on_the_seed_and_the_place_alone(rig: Rig) -> None:
    """However the data comes in, it is cut at the same places."""

    def slices(*pieces: bytes) -> list[bytes]:
        effect = rig.add(Slicer(10, 5, 0.02), seed="slices")  # far apart, or one read takes two
        pair = rig.pair()
        for piece in pieces:
            pair.server.sendall(piece)
        received: list[bytes] = []
        while len(b"".join(received)) < 60:
            received.append(pair.client.recv(100))
        end(rig, effect, pair)
        return received

    data = bytes(range(60))
    whole = slices(data)
    assert b"".join(whole) == data
    assert 4 <= len(whole) <= 12
    cut_elsewhere = slices(data[:25], data[25:])
    assert b"".join(cut_elsewhere) == data
    assert len(whole) == len(cut_elsewhere)


def test_slices_are_apart(rig: Rig, pair: Pair) -> None:
    """Ten slices have nine delays between them; a piece that is no longer than a slice is not touched."""
    with rig.toxic(Slicer(10, delay=0.01)) as touched:
        pair.ask(answer=b"short")
        assert touched().fired == 0
    with rig.toxic(Slicer(10, delay=0.01)) as touched:
        assert pair.ask(answer=b"x" * 100) >= 0.09
        assert counted(touched()) == (1, 1, "1 connection, 100 bytes")


@pytest.mark.parametrize("stream", DIRECTIONS)
def test_limit_data_closes_after_so_many_bytes(rig: Rig, pair: Pair, stream: Stream) -> None:
    """The receiver gets exactly these, then the end; the sender's side is closed as well."""
    sender, receiver = towards(pair, stream)
    with rig.toxic(LimitData(10, stream=stream)) as touched:
        sender.sendall(b"123")
        assert receive(receiver, 3) == b"123"
        assert touched().fired == 0
        sender.sendall(b"4567890abc")
        assert receive_all(receiver) == b"4567890"
        assert counted(touched())[1:] == (1, "1 connection, 3 bytes")
        assert eventually(lambda: not rig.proxy.connections)


def test_fail_first_recovers(rig: Rig) -> None:
    """The first two are reset, the third goes through."""
    with rig.toxic(FailFirst(2)) as touched:
        for _ in range(2):
            with pytest.raises(ConnectionResetError):
                rig.connect().recv(1)
        rig.pair().ask()
        assert counted(touched()) == (3, 2, "2 connections, 0 bytes")


def test_slots_leave_room_for_so_many(rig: Rig, pair: Pair) -> None:
    """Each one more is reset, until one goes."""
    with rig.toxic(Slots(2)) as touched:
        second = rig.pair()
        with pytest.raises(ConnectionResetError):
            rig.connect().recv(1)
        pair.ask()
        assert touched().fired == 1
        second.close()
        assert eventually(lambda: len(rig.proxy.connections) == 1)
        rig.pair().ask()


def test_a_share_of_the_connections_is_hit(rig: Rig) -> None:
    """About half, the same ones with the same seed; the evidence names them all."""

    def hit(seed: str) -> list[bool]:
        effect = rig.add(Latency(0.02, toxicity=0.5), seed=seed)
        pairs = [rig.pair() for _ in range(16)]
        late = [pair.ask() >= 0.02 for pair in pairs]
        assert end(rig, effect, *pairs).fired == sum(late)
        return late

    one = hit("one")
    assert one == hit("one")
    assert one != hit("other")
    assert any(one[:2]), "the first one comes early enough to be seen"


def test_a_share_of_the_exchanges_is_hit(rig: Rig, pair: Pair) -> None:
    """Drawn anew for each question on one connection."""
    with rig.toxic(Latency(0.02, toxicity=0.5, per="exchange")) as touched:
        late = [pair.ask() >= 0.02 for _ in range(16)]
        assert 0 < sum(late) < 16
        assert (touched().reached, touched().fired) == (16, sum(late))


@pytest.mark.parametrize(
    "toxic",
    [
        Latency(60, toxicity=0),
        Timeout(toxicity=0, per="exchange"),
        ResetPeer(toxicity=0),
        Down(toxicity=0),
        NeverAccept(toxicity=0),
        Slots(0, toxicity=0),
    ],
)
def test_toxicity_zero_leaves_no_trace(rig: Rig, pair: Pair, toxic: AnyToxic) -> None:
    """Data takes the same way as without a toxic: there is no stage."""
    with rig.toxic(toxic) as touched:
        assert pair.ask() < 30
        rig.pair().ask()
        assert (
            rig.call(lambda: [one for one in rig.proxy.connections if one.up._stages or one.down._stages])
            == []
        )
        assert counted(touched()) == (2, 0, "0 connections, 0 bytes")


@pytest.mark.parametrize("toxic", [Down(toxicity=0.5), Refuse(toxicity=0.5)])
def test_a_share_of_new_connections_is_cut(rig: Rig, toxic: AnyToxic) -> None:
    """A port refuses all or none: those that are hit are made, then reset."""
    with rig.toxic(toxic) as touched:
        cut = sum(is_cut(rig) for _ in range(12))
        assert 0 < cut < 12
        assert touched().fired == cut


def is_cut(rig: Rig) -> bool:
    """Tell whether a new connection is reset, whenever the client comes to know."""
    try:
        return not is_silent(rig.connect())
    except ConnectionResetError:
        return True


def test_a_share_of_new_connections_is_never_served(rig: Rig) -> None:
    """Made, and then nothing; at the removal they are reset."""
    effect = rig.add(NeverAccept(toxicity=0.5))
    clients = [rig.connect() for _ in range(8)]
    assert eventually(lambda: rig.proxy.occasions.count == 8)
    touched = rig.remove(effect)
    assert 0 < touched.fired < 8
    reset = 0
    for client in clients:
        client.settimeout(0.05)
        try:
            client.recv(1)
        except ConnectionResetError:
            reset += 1
        except TimeoutError:
            continue
    assert reset == touched.fired


def test_the_evidence_names_each_toxic(rig: Rig, pair: Pair) -> None:
    """Several in one effect are counted apart, idle ones left out; an occasion counts once for the effect."""
    with rig.toxic(Latency(0.001), Slicer(2), Slots(9)) as touched:
        pair.ask(answer=b"1234")
        assert counted(touched()) == (
            1,
            1,
            "Latency: 1 connection, 4 bytes; Slicer: 1 connection, 4 bytes",
        )


def test_effects_go_in_any_order(rig: Rig, pair: Pair) -> None:
    """Each takes its own with it, and leaves the others."""
    first, second = rig.add(Latency(60)), rig.add(Latency(0.03))
    third = rig.add(Down(toxicity=0))
    pair.server.sendall(b"answer")
    rig.remove(first)
    assert receive(pair.client, 6) == b"answer"
    assert pair.ask() >= 0.03
    rig.remove(third)
    rig.remove(second)
    assert pair.ask() < 30
    assert rig.proxy.guests == []
    assert rig.call(lambda: [one.observers for one in rig.proxy.connections]) == [[]]


def test_a_proxy_that_stops_first_leaves_its_toxics_nothing_to_do(rig: Rig, pair: Pair) -> None:
    """Their removal is an undo like any other."""
    effects = [rig.add(toxic) for toxic in (Latency(60), Refuse(), NeverAccept(toxicity=0.5), Timeout(60))]
    pair.client.sendall(b"?")
    rig.run(rig.proxy.stop())
    for effect in effects:
        rig.remove(effect)
        rig.remove(effect)


def test_toxics_need_a_proxy(rig: Rig) -> None:
    """The user is told what the id must be."""
    wrong = rig.watch()
    rig.effects["proxy"], proxy = rig.effects[wrong], rig.effects["proxy"]
    try:
        with pytest.raises(ScenarioError) as caught:
            rig.add(Latency(1))
        assert str(caught.value) == "proxy must be the id of a proxy that runs, not 'proxy'."
    finally:
        rig.effects["proxy"] = proxy


def test_traffic_counts_and_times_exchanges(rig: Rig, pair: Pair) -> None:
    """A question may come in pieces, an answer too; what the server says first answers nothing."""
    watch = rig.watch()
    assert rig.touched(watch) == Touched()
    pair.server.sendall(b"welcome")
    assert receive(pair.client, 7) == b"welcome"
    with rig.toxic(Latency(0.03)):
        pair.ask()
        pair.client.sendall(b"in ")
        receive(pair.server, 3)
        pair.ask(b"pieces", b"answer")
        pair.server.sendall(b" in pieces")
        receive(pair.client, 10)
        rig.pair().ask()
    touched = rig.remove(watch)
    assert (touched.reached, touched.fired) == (3, 3)
    assert 0.03 <= float(touched.detail) < 5
    pair.ask()
    assert rig.touched(watch) == touched
