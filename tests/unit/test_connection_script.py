"""Random scripts of calls, good and bad, with bytes arriving in between: what leaves is valid.

The slow reference of the other role reads all that we send. It must see exactly the calls that
were accepted, in order, the answers that section 5.5 asks for, and no broken rule.
"""

from __future__ import annotations

import pytest

from reference_protocol import ReferenceReceiver
from wire import connection, frame
from wsfast.errors import LocalProtocolError
from wsfast.events import Closed, Ping, Pong
from wsfast.rfc6455 import Role, State

hypothesis = pytest.importorskip("hypothesis", reason="hypothesis is not installed")
st = hypothesis.strategies

data = st.binary(max_size=200)
text = st.text(max_size=60)
codes = st.sampled_from([1000, 1001, 1011, 3999, 4000, 1004, 1005, 1006, 1015, 1016, 2999, 5000])
calls = st.one_of(
    st.tuples(st.just("send"), text | data),
    st.tuples(st.just("send_text"), text | data, st.booleans()),
    st.tuples(st.just("send_binary"), data, st.booleans()),
    st.tuples(st.just("send_continuation"), text | data, st.booleans()),
    st.tuples(st.sampled_from(["send_ping", "send_pong"]), data),
)
closing = st.tuples(st.just("send_close"), codes, text)
arriving = st.tuples(
    st.just("receive"), st.sampled_from([1, 2, 9, 10]), st.binary(max_size=125)
) | st.tuples(st.just("receive"), st.just(8), st.just(b"\x03\xe8") | data.map(lambda d: d[:125]))
scripts = st.lists(st.one_of(calls, calls, calls, arriving, closing), max_size=20)
refusals = (LocalProtocolError, UnicodeEncodeError, TypeError)


class Player:
    """Plays a script and keeps what the peer must see."""

    def __init__(self, role):
        self.connection, self.peer_key = connection(role)
        self.sent = b""
        self.expected = []
        self.parts = []
        self.is_text = False

    def play(self, script):
        for name, *arguments in script:
            before = self.connection.state
            if name == "receive":
                self.receive(*arguments)
            else:
                self.call(name, arguments)
            assert self.connection.state >= before
            self.sent += self.connection.data_to_send()

    def receive(self, opcode, payload):
        open_before = not self.connection.close_sent
        events = self.connection.receive(frame(opcode, payload, key=self.peer_key))
        if opcode == 9 and events and open_before:
            self.expected.append(Pong(payload))
        for event in events:
            if isinstance(event, Closed) and open_before:
                self.expected.append(("closed", event.close_code))

    def call(self, name, arguments):
        fin = {"fin": arguments.pop()} if isinstance(arguments[-1], bool) else {}
        state = self.connection.state
        sending_closed = self.connection.close_sent or state is State.CLOSED
        try:
            getattr(self.connection, name)(*arguments, **fin)
        except refusals:
            assert self.connection.state is state
            assert self.connection.data_to_send() == b""
            return
        if name == "send_close":
            if not sending_closed:
                self.expected.append(("closed", arguments[0]))
        elif name in ("send_ping", "send_pong"):
            self.expected.append((Ping if name == "send_ping" else Pong)(arguments[0]))
        else:
            self.took(name, arguments[0], fin.get("fin", True))

    def took(self, name, message, fin):
        if name != "send_continuation":
            self.is_text = name == "send_text" or (name == "send" and isinstance(message, str))
        self.parts.append(message.encode() if isinstance(message, str) else message)
        if fin:
            whole, self.parts = b"".join(self.parts), []
            self.expected.append(whole.decode() if self.is_text else whole)


@hypothesis.given(st.sampled_from(list(Role)), scripts)
def test_what_leaves_is_valid_and_complete(role, script):
    player = Player(role)
    player.play(script)
    reference = ReferenceReceiver(Role.CLIENT if role is Role.SERVER else Role.SERVER)
    seen = reference.feed(player.sent)
    assert reference.broken == ""
    assert reference.offset == len(player.sent), "something was sent after Close"
    assert [as_expected(event) for event in seen] == player.expected


def as_expected(event):
    """A Close by its code; an empty one answers a Close without a code."""
    return ("closed", event.close_code) if isinstance(event, Closed) else event


@hypothesis.given(st.sampled_from(list(Role)), scripts)
def test_a_closed_connection_stays_closed(role, script):
    player = Player(role)
    player.connection.receive_eof()
    player.play(script)
    assert player.connection.state is State.CLOSED
    assert player.expected == []
    assert player.sent == b""
