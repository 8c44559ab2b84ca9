"""wsfast.loadgen.fanning: marks are found anywhere, deliveries counted for what they are."""

from __future__ import annotations

import asyncio
import random
import sys

import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("the engine runs on epoll", allow_module_level=True)
pytest.importorskip("numpy")
pytest.importorskip("websockets")
pytest.importorskip("wsfast.loadgen.worker")

from lying_servers import Server, fan_out
from wsfast.loadgen.fanning import MARK_BYTES, find_mark
from wsfast.loadgen.histogram import slot_bounds

MS = 1_000_000


def mark_of(number, due, sent):
    return b"wsb:%016x%016x%016x" % (number, due, sent)


@pytest.mark.parametrize("numbers", [(0, 0, 0), (1, 2, 3), (2**64 - 1, 2**63, 10**18)])
@pytest.mark.parametrize("wrap", [b"%b", b'{"data":"%b","n":1}', b"wsb%b", b"\xff\x00%b"])
def test_a_mark_is_found_in_what_is_around_it(numbers, wrap):
    mark = mark_of(*numbers)
    assert len(mark) == MARK_BYTES
    assert find_mark(wrap % mark) == numbers


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"wsb:",
        mark_of(1, 2, 3)[:-1],
        mark_of(1, 2, 3).replace(b"wsb:", b"wsc:"),
        mark_of(10, 2, 3).upper(),
        b"wsb:" + b"g" * 48,
    ],
)
def test_what_is_no_mark(payload):
    assert find_mark(payload) is None


def test_every_cut_of_a_mark_is_refused():
    mark = mark_of(7, 8, 9)
    assert all(find_mark(mark[:cut]) is None for cut in range(len(mark)))


class Broadcasts(Server):
    """Sends what comes to everybody; the subclasses lie about it."""

    def __init__(self):
        super().__init__()
        self.writers = {}

    def open(self, protocol, request, writer):
        super().open(protocol, request, writer)
        self.writers[writer] = protocol

    def answer(self, protocol, frame, writer):
        for number, (other, theirs) in enumerate(list(self.writers.items())):
            for data in self.copies(number, frame.data):
                self.send(theirs, frame, data)
            if theirs is not protocol:
                other.write(b"".join(theirs.data_to_send()))

    def copies(self, number, data):
        return [data]


class Wraps(Broadcasts):
    def copies(self, number, data):
        return [b'{"message":"' + data + b'"}']


class Misses(Broadcasts):
    """The last subscriber does not get every tenth message."""

    def copies(self, number, data):
        return [data] if number < 3 or not self.is_turn() else []


class Doubles(Broadcasts):
    def copies(self, number, data):
        return [data, data] if number == 3 else [data]


class Babbles(Broadcasts):
    def copies(self, number, data):
        return [data, b"nobody asked for this"] if number == 3 else [data]


class Swaps(Broadcasts):
    """One subscriber gets each second message in front of the one before it."""

    def __init__(self):
        super().__init__()
        self.kept = []

    def copies(self, number, data):
        if number != 3:
            return [data]
        self.kept.append(data)
        if len(self.kept) < 2:
            return []
        first, second = self.kept
        self.kept = []
        return [second, first]


@pytest.mark.parametrize("server", [Broadcasts, Wraps])
@pytest.mark.parametrize("publishers", [1, 2])
def test_an_honest_server(server, publishers):
    results = fan_out(server(), publishers=publishers)
    assert results.counts["sent"] == 100
    assert results.expected == results.counts["received"] == 300
    assert not results.server_errors
    assert results.histogram("intended").total == results.histogram("actual").total == 300
    assert results.histogram("intended").mean >= results.histogram("actual").mean
    assert results.last_subscriber.total == 100
    assert results.last_subscriber.maximum == results.histogram("intended").maximum
    assert results.last_subscriber.mean >= results.histogram("intended").mean


class Favours(Broadcasts):
    """Forwards all of the one who publishes last, and only then what others have sent."""

    def __init__(self):
        super().__init__()
        self.kept = []

    def answer(self, protocol, frame, writer):
        if protocol is list(self.writers.values())[1]:
            super().answer(protocol, frame, writer)
        else:
            self.kept.append((protocol, frame, writer))
        if self.came == 1000:
            for each in self.kept:
                super().answer(*each)


def test_publishers_owe_each_other_no_order():
    """Also where many messages are due at once, and each publisher sends all of its own."""
    results = fan_out(Favours(), publishers=2, rate=20_000.0, seconds=0.05)
    assert results.counts["sent"] == 1000
    assert results.expected == results.counts["received"] == 3000
    assert not results.server_errors


def test_deliveries_that_do_not_come():
    results = fan_out(Misses())
    missing = results.expected - results.counts["received"]
    assert 8 <= missing <= 12
    assert missing - 1 <= results.counts["lost"] <= missing, "behind the last one none is missed"


class Lingers(Broadcasts):
    """Keeps the last message back for longer than a fanout is quiet when all have come."""

    def answer(self, protocol, frame, writer):
        if self.came < 100:
            super().answer(protocol, frame, writer)
            return
        loop = asyncio.get_running_loop()
        loop.call_later(0.4, super().answer, protocol, frame, writer)


def test_the_last_delivery_is_waited_for():
    results = fan_out(Lingers())
    assert results.counts["received"] == results.expected == 300
    assert not results.server_errors


def test_deliveries_that_come_twice():
    results = fan_out(Doubles())
    assert results.counts["duplicate"] == 100
    assert results.counts["received"] == results.expected == 300


def test_what_has_no_mark():
    results = fan_out(Babbles())
    assert results.counts["unexpected"] == 100
    assert results.counts["received"] == results.expected == 300


def test_deliveries_out_of_order():
    results = fan_out(Swaps())
    assert results.counts["reordered"] == 50
    assert results.counts["lost"] == 0
    assert results.counts["received"] == 300


def test_an_envelope_is_filled_in():
    seen = []

    class Notes(Broadcasts):
        def copies(self, number, data):
            seen.append(bytes(data))
            return [data]

    fan_out(Notes(), envelope='{"to":"{topic}","data":"{payload}"}', size=60, text=True)
    payloads = set(seen)
    assert len(payloads) == 100
    for payload in payloads:
        assert payload.startswith(b'{"to":"0","data":"wsb:')
        assert len(payload) == 60 + len('{"to":"0","data":""}')


def test_topics_spread_messages_and_subscribers():
    """The server below sends a message to the subscribers of its topic only."""

    class Topics(Broadcasts):
        def __init__(self):
            super().__init__()
            self.topics = {}

        def answer(self, protocol, frame, writer):
            if frame.data.startswith(b"subscribe "):
                self.topics[writer] = bytes(frame.data)[10:]
                self.send(protocol, frame, b"subscribed")
                return
            topic = bytes(frame.data).partition(b"|")[0]
            for other, theirs in self.writers.items():
                if self.topics.get(other) == topic:
                    self.send(theirs, frame, frame.data)
                    if theirs is not protocol:
                        other.write(b"".join(theirs.data_to_send()))

    results = fan_out(
        Topics(),
        connections=7,
        topics=3,
        envelope="{topic}|{payload}",
        first_message="subscribe {topic}",
        first_answers=1,
    )
    assert results.counts["lost"] == results.counts["unexpected"] == 0
    assert results.counts["received"] == results.expected == 200


def longer(histogram, ns):
    """How many of the times in a histogram are longer."""
    counts = histogram.counts
    return sum(counts[slot] for slot in range(len(counts)) if slot_bounds(slot)[0] > ns)


def test_gaps_of_a_passive_connection():
    results = fan_out(Broadcasts(), rate=20.0, seconds=1.5, gap_seconds=0.01)
    interarrival = results.histogram("interarrival")
    assert longer(interarrival, 11 * MS) <= results.counts["gaps"] <= longer(interarrival, 9 * MS)
    came = results.histogram("intended")
    assert interarrival.total >= 3 * 29 - longer(came, 45 * MS), "the others came in the window"
    usual = longer(interarrival, 30 * MS) - longer(interarrival, 70 * MS)
    late = longer(came, 15 * MS)  # what a machine that stalls puts apart
    assert usual >= interarrival.total - 2 * late


def test_the_warm_up_is_kept_apart():
    results = fan_out(Broadcasts(), warmup_seconds=0.25, seconds=0.25)
    assert results.counts["received"] == 300
    assert results.histogram("warmup").total == 150
    assert results.histogram("intended").total == 150


def test_an_envelope_without_a_payload():
    with pytest.raises(ValueError, match="has no {payload}"):
        fan_out(Broadcasts(), envelope=f"{random.random()}")
