"""wsfast.loadgen.echoing: templates, fragments, and replies that are no echoes, over sockets."""

from __future__ import annotations

import json
import sys

import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("the engine runs on epoll", allow_module_level=True)
pytest.importorskip("numpy")
pytest.importorskip("websockets")
pytest.importorskip("wsfast.loadgen.worker")

from websockets.frames import Opcode

from lying_servers import Calls, Corrupts, Drops, Duplicates, Server, Shortens, Swaps, measure

CALL = '{"id": {{seq}}, "from": {{connection}}}'
CALLS = {"template": CALL, "text": True, "match": "json:id", "verify": "none"}

#: Every tenth message from the fifth on is lost; on one connection the next answer shows each.
LOSSY = {"connections": 1}


# --- templates -----------------------------------------------------------------------------------


class Notes(Server):
    """An echo server that keeps what came."""

    def __init__(self):
        super().__init__()
        self.payloads = []

    def answer(self, protocol, frame, writer):
        self.payloads.append(bytes(frame.data))
        super().answer(protocol, frame, writer)


TIMED = '{"id":{{seq}},"c":{{connection}},"at":{{time_ns}},"r":"{{random_string 20}}"}'


@pytest.mark.parametrize("load", [{}, {"rate": 800.0}])
def test_a_template_is_filled_in_and_its_echo_checked(load):
    server = Notes()
    sizes = {"least_size": 60, "size": 110}  # what the results show: the template's own count
    results = measure(
        server, template=TIMED, text=True, seed=5, in_flight=1, first=7, **sizes, **load
    )
    assert results.counts["received"] == 400
    assert not results.server_errors
    found = [json.loads(payload) for payload in server.payloads]
    assert {each["c"] for each in found} == {7, 8, 9}
    for number in (7, 8, 9):
        own = [each for each in found if each["c"] == number]
        assert [each["id"] for each in own] == list(range(len(own)))
        times = [each["at"] for each in own]
        assert times == sorted(times)
    assert len({each["r"] for each in found}) == 400
    assert results.counts["measured"] == 400
    assert results.counts["measured_bytes"] == sum(map(len, server.payloads))


@pytest.mark.parametrize(
    ("server", "faults"),
    [
        (Corrupts(), {"mismatch": 40}),
        (Shortens(), {"mismatch": 40}),
        (Duplicates(), {"duplicate": 40}),
    ],
)
def test_what_becomes_of_an_echo_of_a_template_is_seen(server, faults):
    results = measure(server, template=TIMED, text=True)
    assert dict(results.server_errors) == faults


def test_messages_of_a_template_that_are_lost():
    results = measure(Drops(), template=TIMED, text=True, **LOSSY)
    assert dict(results.server_errors) == {"lost": 40}


def test_the_length_of_an_echo_of_a_template():
    template = "{{choice a bb ccc}}{{seq}}"
    assert not measure(Corrupts(), template=template, text=True, verify="length").server_errors
    found = measure(Shortens(), template=template, text=True, verify="length")
    assert set(found.server_errors) <= {"mismatch", "lost", "duplicate", "reordered"}
    assert found.server_errors


def test_the_same_seed_sends_the_same():
    sent = []
    for seed in (5, 5, 6):
        server = Notes()
        measure(
            server, template="{{random_hex 12}}", text=True, seed=seed, messages=30, connections=1
        )
        sent.append(server.payloads)
    assert sent[0] == sent[1] != sent[2]


# --- replies -------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["json:id", "json:data.0.seq"])
@pytest.mark.parametrize("in_flight", [1, 16])
def test_replies_that_name_their_call(path, in_flight):
    results = measure(Calls(), **{**CALLS, "match": path}, in_flight=in_flight)
    assert results.counts["received"] == results.counts["sent"] == 400
    assert not results.server_errors
    assert results.counts["foreign"] == 0


def test_replies_on_a_schedule():
    load = {"rate": 800.0, "messages": None, "seconds": 0.5, "in_flight": 1}
    results = measure(Calls(), **CALLS, **load)
    assert results.counts["received"] == results.histogram("intended").total == 400
    assert not results.server_errors


class Pushes(Calls):
    def reply(self, protocol, number):
        protocol.send_text(b'{"push": 1}')
        super().reply(protocol, number)
        protocol.send_text(b"[]")


def test_foreign_pushes_are_counted_and_no_errors():
    results = measure(Pushes(), **CALLS)
    assert results.counts["received"] == 400
    assert results.counts["foreign"] >= 790, "the last ones may come behind the end"
    assert not results.server_errors


class SwapsCalls(Calls):
    """Of two calls of a connection the second is answered first."""

    def __init__(self):
        super().__init__()
        self.kept = {}

    def reply(self, protocol, number):
        if protocol not in self.kept:
            self.kept[protocol] = number
            return
        super().reply(protocol, number)
        super().reply(protocol, self.kept.pop(protocol))


def test_replies_out_of_order():
    results = measure(SwapsCalls(), **CALLS, connections=1)
    counts = results.counts
    assert counts["received"] == 400
    assert (counts["lost"], counts["reordered"]) == (0, 200)
    assert set(results.server_errors) == {"reordered"}


class DropsCalls(Calls):
    def reply(self, protocol, number):
        if not self.is_turn():
            super().reply(protocol, number)


def test_calls_that_are_not_answered():
    results = measure(DropsCalls(), **CALLS, **LOSSY)
    assert dict(results.server_errors) == {"lost": 40}


class DuplicatesCalls(Calls):
    def reply(self, protocol, number):
        super().reply(protocol, number)
        if self.is_turn():
            super().reply(protocol, number)


def test_calls_that_are_answered_twice():
    results = measure(DuplicatesCalls(), **CALLS)
    assert results.counts["received"] == 400
    assert set(results.server_errors) == {"duplicate"}
    assert results.counts["duplicate"] >= 39, "the last one may come behind the end"


class Invents(Calls):
    def reply(self, protocol, number):
        super().reply(protocol, number + 1_000_000 if self.is_turn() else number)


def test_numbers_that_were_never_sent_are_unexpected():
    results = measure(Invents(), **CALLS, **LOSSY)
    assert dict(results.server_errors) == {"unexpected": 40, "lost": 40}


def test_a_reply_that_should_be_the_echo_and_is_none():
    results = measure(Calls(), **{**CALLS, "verify": "full"}, messages=100)
    assert results.counts["received"] == results.counts["mismatch"] == 100


class Answers(Server):
    """Anything is answered with a word, and with a push before it."""

    word = b"ok: done"

    def answer(self, protocol, frame, writer):
        protocol.send_frame(type(frame)(Opcode.TEXT, b"news"))
        protocol.send_frame(type(frame)(Opcode.TEXT, self.word))


def test_a_prefix_tells_replies_from_pushes():
    results = measure(Answers(), match="prefix:ok", verify="none")
    assert results.counts["received"] == 400
    assert results.counts["foreign"] == 400
    assert not results.server_errors
    assert results.counts["measured_bytes"] == 8 * results.counts["measured"]


class Acknowledges(Server):
    def answer(self, protocol, frame, writer):
        self.send(protocol, frame, b"ok")


def test_in_order_any_message_is_a_reply():
    results = measure(Acknowledges(), match="order", verify="none")
    assert results.counts["received"] == 400
    assert not results.server_errors


def test_in_order_a_reply_may_have_to_be_the_echo():
    assert not measure(Server(), match="order").server_errors
    swapped = measure(Swaps(), match="order", connections=1)
    assert dict(swapped.server_errors) == {"mismatch": 400}, "order alone decides"


def test_in_order_more_replies_than_messages_are_unexpected():
    results = measure(Duplicates(), match="order", verify="none", in_flight=1)
    assert results.counts["received"] == 400
    assert set(results.server_errors) == {"unexpected"}


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("verify", ["none", "length", "full"])
def test_stamps_name_their_message(text, verify):
    results = measure(Swaps(), match="sequence", verify=verify, text=text, connections=1)
    assert results.counts["received"] == 400
    assert dict(results.server_errors) == {"reordered": 200}


def test_a_stamp_with_a_wrong_length():
    results = measure(Shortens(), match="sequence", verify="length")
    assert dict(results.server_errors) == {"mismatch": 40}
    assert not measure(Shortens(), match="sequence", verify="none").server_errors


# --- fragments -----------------------------------------------------------------------------------


class Frames(Server):
    """An echo server that keeps the sizes of the frames, message by message."""

    def __init__(self):
        super().__init__()
        self.messages = []
        self.parts = {}

    def handle(self, protocol, event, writer):
        if getattr(event, "opcode", None) not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            super().handle(protocol, event, writer)
            return
        parts = self.parts.setdefault(protocol, [])
        assert (event.opcode is Opcode.CONT) == bool(parts)
        parts.append(event)
        if event.fin:
            self.messages.append([len(part.data) for part in parts])
            whole = b"".join(part.data for part in parts)
            self.send(protocol, parts[0], whole)
            self.parts[protocol] = []


@pytest.mark.parametrize(
    ("fields", "sizes"),
    [
        ({"fragments": 2}, [10, 10]),
        ({"fragments": 3}, [6, 7, 7]),
        ({"fragments": 20}, [1] * 20),
        ({"fragment_bytes": 8}, [8, 8, 4]),
        ({"fragment_bytes": 10}, [10, 10]),
        ({"fragment_bytes": 19}, [19, 1]),
    ],
)
@pytest.mark.parametrize("load", [{}, {"rate": 400.0, "messages": None, "seconds": 0.25}])
def test_messages_are_sent_in_frames(fields, sizes, load):
    server = Frames()
    results = measure(server, in_flight=1, **fields, **{"messages": 100, **load})
    assert results.counts["received"] == 100
    assert not results.server_errors
    assert server.messages == [sizes] * 100


def test_text_is_cut_anywhere():
    server = Frames()
    results = measure(server, template="{{seq}}: grüße", text=True, fragment_bytes=1, messages=50)
    assert results.counts["received"] == 50
    assert not results.server_errors
    assert {size for sizes in server.messages for size in sizes} == {1}


def test_every_frame_has_a_key_of_its_own():
    """RFC 6455 section 5.3: what the key does to zeros is the key itself."""
    from wsfast.frame import decode_header

    seen = []

    class Raw(Server):
        async def serve(self, reader, writer):
            self.reader = reader
            await super().serve(Tapped(reader, seen), writer)

    measure(Raw(), size=20, in_flight=1, connections=1, messages=200, fragments=2)
    data = b"".join(seen)
    data = data[data.index(b"\r\n\r\n") + 4 :]
    keys = []
    while data:
        header = decode_header(data)
        keys.append(header.masking_key)
        data = data[header.size + header.payload_length :]
    assert len(keys) >= 400
    assert len(set(keys)) >= len(keys) - 2, "keys are random, one for each frame"


class Tapped:
    """A stream reader that keeps what it read."""

    def __init__(self, reader, seen):
        self.reader, self.seen = reader, seen

    async def read(self, size):
        data = await self.reader.read(size)
        self.seen.append(data)
        return data


def test_large_messages_in_many_frames():
    results = measure(Frames(), size=100_000, fragments=500, messages=20)
    assert results.counts["received"] == 20
    assert not results.server_errors


# --- stages --------------------------------------------------------------------------------------


def test_stages_are_counted_by_when_a_message_was_due():
    results = measure(
        Server(),
        messages=None,
        in_flight=1,
        rate=200.0,
        stages=((0.3, 200.0), (0.3, 600.0), (0.2, 600.0)),
        seconds=0.8,
        warmup_seconds=0.1,
    )
    assert [stage.sent for stage in results.stages] == [60, 120, 120]
    assert [stage.received for stage in results.stages] == [60, 120, 120]
    assert [stage.histograms["intended"].total for stage in results.stages] == [60, 120, 120]
    assert sum(stage.histograms["lag"].total for stage in results.stages) == 300
    assert all(len(stage.cpu_percents) == 1 for stage in results.stages)
    assert results.histogram("warmup").total == 20


def test_stages_of_a_server_that_never_answers():
    from lying_servers import Keeps

    results = measure(
        Keeps(),
        messages=None,
        in_flight=1,
        rate=100.0,
        stages=((0.2, 100.0),) * 2,
        seconds=0.4,
        drain_seconds=0.2,
    )
    assert [stage.sent for stage in results.stages] == [20, 20]
    assert [stage.received for stage in results.stages] == [0, 0]
    assert [stage.censored for stage in results.stages] == [20, 20]
    first, second = (stage.histograms["intended"] for stage in results.stages)
    assert first.minimum > second.maximum - 200_000_000


def test_without_stages_there_are_none():
    assert measure(Server(), messages=30).stages == []
