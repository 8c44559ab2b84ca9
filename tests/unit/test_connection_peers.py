"""What we send is read by `websockets` and `wsproto`, and the reverse."""

from __future__ import annotations

import pytest

from wire import STEPS, client, connection, feed, frame
from wsfast.connection import Connection
from wsfast.events import Closed, Ping, Pong
from wsfast.rfc6455 import Role

hypothesis = pytest.importorskip("hypothesis", reason="hypothesis is not installed")
st = hypothesis.strategies

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
payloads = texts | st.binary(max_size=300) | st.binary(min_size=65530, max_size=65540)
scripts = st.lists(
    st.tuples(st.just("send"), payloads)
    | st.tuples(st.sampled_from(["ping", "pong"]), st.binary(max_size=125))
    | st.tuples(st.just("parts"), st.lists(st.binary(max_size=50), min_size=2, max_size=4)),
    max_size=8,
)
closes = st.tuples(st.sampled_from([1000, 1001, 1011, 3000, 4999]), texts.map(lambda t: t[:20]))
roles = st.sampled_from(list(Role))
steps = st.sampled_from(STEPS)


def play(sender, script, close):
    """Send the script and the Close with our connection."""
    for kind, what in script:
        if kind == "parts":
            sender.send_binary(what[0], fin=False)
            for part in what[1:]:
                sender.send_continuation(part)
            sender.send_continuation(b"", fin=True)
        else:
            getattr(sender, f"send_{kind}" if kind != "send" else kind)(what)
    sender.send_close(*close)
    return sender.data_to_send()


def events_of(script, close):
    """What the other end must see."""
    kinds = {"ping": Ping, "pong": Pong, "send": lambda what: what, "parts": b"".join}
    return [*(kinds[kind](what) for kind, what in script), Closed(*close)]


# --- websockets ----------------------------------------------------------------------------------


def websockets_peer(role):
    """A sans-I/O protocol of websockets at the other end, its handshake skipped."""
    protocol = pytest.importorskip("websockets.protocol", reason="websockets is not installed")
    side = protocol.CLIENT if role is Role.SERVER else protocol.SERVER
    return protocol.Protocol(side, max_size=None)


def websockets_events(peer):
    """Its frames as our events."""
    events, parts, is_text = [], [], False
    for each in peer.events_received():
        code = int(each.opcode)
        if code in (9, 10):
            events.append((Ping if code == 9 else Pong)(bytes(each.data)))
        elif code == 8:
            received = peer.close_rcvd
            events.append(Closed(received.code, received.reason))
        else:
            is_text = code == 1 if code else is_text
            parts.append(bytes(each.data))
            if each.fin:
                data, parts = b"".join(parts), []
                events.append(data.decode() if is_text else data)
    return events


@hypothesis.given(roles, scripts, closes)
def test_websockets_reads_what_we_send(role, script, close):
    sender = Connection(role)
    peer = websockets_peer(role)
    peer.receive_data(play(sender, script, close))
    assert websockets_events(peer) == events_of(script, close)


@hypothesis.given(roles, scripts, closes, steps)
def test_we_read_what_websockets_sends(role, script, close, step):
    peer = websockets_peer(role)
    for kind, what in script:
        if kind == "parts":
            peer.send_binary(what[0], fin=False)
            for part in what[1:]:
                peer.send_continuation(part, fin=False)
            peer.send_continuation(b"", fin=True)
        elif kind == "send":
            data = what.encode() if isinstance(what, str) else what
            (peer.send_text if isinstance(what, str) else peer.send_binary)(data)
        else:
            getattr(peer, f"send_{kind}")(what)
    peer.send_close(*close)
    receiver, _ = connection(role)
    assert feed(receiver, b"".join(peer.data_to_send()), step) == events_of(script, close)


# --- wsproto -------------------------------------------------------------------------------------


def wsproto_peer(role):
    """wsproto's connection at the other end, its handshake skipped."""
    wsproto = pytest.importorskip("wsproto", reason="wsproto is not installed")
    from wsproto.connection import Connection as Peer

    kinds = wsproto.ConnectionType
    return Peer(kinds.CLIENT if role is Role.SERVER else kinds.SERVER)


def wsproto_events(peer):
    """Its events as ours; it hands messages on in pieces."""
    from wsproto import events as theirs

    events, parts = [], []
    for each in peer.events():
        if isinstance(each, theirs.Ping | theirs.Pong):
            kind = Ping if isinstance(each, theirs.Ping) else Pong
            events.append(kind(bytes(each.payload)))
        elif isinstance(each, theirs.CloseConnection):
            events.append(Closed(each.code, each.reason or ""))
        else:
            parts.append(each.data if isinstance(each.data, str) else bytes(each.data))
            if each.message_finished:
                events.append(type(parts[0])().join(parts))
                parts = []
    return events


@hypothesis.given(roles, scripts, closes)
def test_wsproto_reads_what_we_send(role, script, close):
    sender = Connection(role)
    peer = wsproto_peer(role)
    peer.receive_data(play(sender, script, close))
    assert wsproto_events(peer) == events_of(script, close)


@hypothesis.given(roles, scripts, closes, steps)
def test_we_read_what_wsproto_sends(role, script, close, step):
    theirs = pytest.importorskip("wsproto.events", reason="wsproto is not installed")
    peer, data = wsproto_peer(role), b""
    for kind, what in script:
        if kind == "parts":
            for part in what:
                data += peer.send(theirs.BytesMessage(part, message_finished=False))
            data += peer.send(theirs.BytesMessage(b"", message_finished=True))
        elif kind == "send":
            data += peer.send(
                (theirs.TextMessage if isinstance(what, str) else theirs.BytesMessage)(what)
            )
        else:
            data += peer.send((theirs.Ping if kind == "ping" else theirs.Pong)(what))
    data += peer.send(theirs.CloseConnection(*close))
    receiver, _ = connection(role)
    assert feed(receiver, data, step) == events_of(script, close)


def test_our_close_is_answered_by_both():
    for make, read in ((websockets_peer, websockets_events), (wsproto_peer, wsproto_events)):
        peer, ours = make(Role.CLIENT), client()
        ours.send_close(4000, "bye")
        peer.receive_data(ours.data_to_send())
        assert read(peer) == [Closed(4000, "bye")]


def test_a_peers_close_is_answered_by_us():
    peer = websockets_peer(Role.SERVER)
    peer.send_close(4001, "theirs")
    ours = Connection(Role.SERVER)
    assert ours.receive(b"".join(peer.data_to_send())) == [Closed(4001, "theirs")]
    answer = ours.data_to_send()
    assert answer == frame(8, (4001).to_bytes(2, "big"))
    peer.receive_data(answer)
    assert peer.close_rcvd.code == 4001
