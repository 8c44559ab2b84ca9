"""wsfast.auth: handlers that keep out who has not authenticated, over real sockets."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator

import pytest

from sockets import Net, Recorder, network, request_head, text
from wire import CLOSE, KEY, PONG, TEXT, frame
from wsfast.auth import Authenticated, Authenticating, Basic, Bearer, Grant
from wsfast.errors import LocalProtocolError

GRANTS = {"alice": Grant("alice"), "brief": Grant("alice", 0.05), "bob": Grant("bob")}

#: On a busy machine the loop may see the expiry when the grace has passed, too.
TOO_LATE = re.compile("within 0.03 s|has expired")


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    yield from network(request)


class Clock:
    """A time that only the test moves."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Kept(Recorder):
    """A recorder that also hears of grants."""

    def on_authenticated(self, ws, grant):
        ws.state = grant.subject
        self.keep(ws, "authenticated", grant)


def closing(peer, reason):
    """Wait for Close 4401 with this reason, answer it, and see TCP end."""
    peer.net.until(lambda: any(opcode == CLOSE for opcode, _ in peer.frames))
    opcode, payload = peer.frames[-1]
    assert opcode == CLOSE
    assert int.from_bytes(payload[:2], "big") == 4401
    assert reason in payload[2:].decode()
    peer.send(frame(CLOSE, payload, key=KEY))
    peer.net.until(lambda: peer.ended)
    assert peer.error is None


def gate(handler, **options):
    return Authenticated(handler, verify=GRANTS.get, **options)


def test_the_handler_sees_nothing_before_the_credential(net):
    handler = Kept(echo=True)
    peer = net.peer(net.server(gate(handler))).upgrade()
    net.settle()
    assert handler.names() == []
    peer.send(text("authenticate alice"))
    net.until(lambda: handler.events)
    assert handler.events == [("authenticated", Grant("alice")), ("open",)]
    assert handler.endpoints[0].state == "alice"
    peer.send(text("hello"))
    peer.expect((TEXT, b"hello"))
    peer.close()
    net.until(lambda: handler.closes)
    assert handler.names() == ["authenticated", "open", "message", "close"]


@pytest.mark.parametrize("step", [0, 1, 2, 3, 7])
def test_credential_and_messages_may_come_in_one_segment(net, step):
    handler = Kept(echo=True)
    peer = net.peer(net.server(gate(handler)))
    peer.send(request_head() + text("authenticate alice") + text("a") + text("b"), step)
    assert peer.take_head().startswith(b"HTTP/1.1 101 ")
    peer.expect((TEXT, b"a"), (TEXT, b"b"))


def test_another_first_message_closes_with_4401(net):
    handler = Kept()
    peer = net.peer(net.server(gate(handler))).upgrade()
    peer.send(text("hello") + text("authenticate alice") + text("more"))
    closing(peer, "no credential")
    assert handler.events == []


def test_a_wrong_credential_closes_with_4401(net):
    handler = Kept()
    server = net.server(gate(handler))
    peer = net.peer(server).upgrade()
    peer.send(text("authenticate mallory") + text("more"))
    closing(peer, "not accepted")
    net.until(lambda: not server.connections)
    assert handler.events == []


def test_silence_closes_with_4401_at_the_deadline(net):
    handler = Kept()
    peer = net.peer(net.server(gate(handler, deadline_seconds=0.03))).upgrade()
    closing(peer, "within 0.03 s")
    assert handler.events == []


def test_pings_are_answered_but_not_delivered_before(net):
    handler = Kept()
    peer = net.peer(net.server(gate(handler))).upgrade()
    peer.send(frame(9, b"early", key=KEY) + frame(10, b"", key=KEY))
    peer.expect((PONG, b"early"))
    assert handler.events == []
    peer.send(text("authenticate alice") + frame(9, b"late", key=KEY))
    net.until(lambda: handler.named("ping"))
    assert handler.named("ping") == [("ping", b"late")]
    assert not handler.named("pong")


def test_pings_do_not_move_the_deadline(net):
    server = net.server(gate(Kept(), deadline_seconds=0.03))
    peer = net.peer(server).upgrade()
    while not any(opcode == CLOSE for opcode, _ in peer.frames):
        peer.send(frame(9, b"", key=KEY))
        net.loop.selector.select(0.005)
    closing(peer, "within 0.03 s")


def test_who_leaves_before_is_never_heard_of(net):
    handler, server = Kept(), None
    server = net.server(gate(handler))
    peer = net.peer(server).upgrade()
    peer.close()
    net.until(lambda: not server.connections)
    assert handler.events == []


def test_expiry_closes_with_4401(net):
    handler = Kept()
    peer = net.peer(net.server(gate(handler))).upgrade()
    peer.send(text("authenticate brief"))
    closing(peer, "has expired")
    net.until(lambda: handler.closes)
    assert handler.names() == ["authenticated", "open", "close"]
    assert handler.closes[0][0] == 4401


def test_expiry_asks_and_a_new_credential_goes_on(net):
    handler = Kept(echo=True)
    peer = net.peer(net.server(gate(handler, on_expiry="ask"))).upgrade()
    peer.send(text("authenticate brief"))
    peer.expect((TEXT, b"reauthenticate"))
    peer.send(text("meanwhile") + text("authenticate alice") + text("after"))
    peer.expect((TEXT, b"reauthenticate"), (TEXT, b"meanwhile"), (TEXT, b"after"))
    assert handler.names() == ["authenticated", "open", "message", "authenticated", "message"]


def test_expiry_asks_and_silence_closes(net):
    handler = Kept()
    peer = net.peer(net.server(gate(handler, on_expiry="ask", grace_seconds=0.03))).upgrade()
    peer.send(text("authenticate brief"))
    closing(peer, "")
    assert TOO_LATE.search(peer.frames[-1][1][2:].decode())
    assert handler.closes[0][0] == 4401


def test_another_subject_closes(net):
    handler = Kept()
    peer = net.peer(net.server(gate(handler))).upgrade()
    peer.send(text("authenticate alice") + text("authenticate bob") + text("more"))
    closing(peer, "somebody else's")
    assert not handler.messages


def test_the_clock_can_be_given(net):
    clock = Clock()
    handler = Kept()
    peer = net.peer(net.server(gate(handler, clock=clock, deadline_seconds=50))).upgrade()
    clock.now += 50
    peer.send(text("authenticate alice"))
    closing(peer, "within 50 s")


def test_a_verify_that_raises_fails_that_connection(net, caplog):
    def verify(credential):
        raise ZeroDivisionError(credential)

    handler = Kept()
    server = net.server(Authenticated(handler, verify=verify))
    peer = net.peer(server).upgrade()
    peer.send(text("authenticate x") + text("more"))
    peer.expect_close(1011)
    peer.close()
    net.until(lambda: not server.connections)
    assert handler.events == []
    assert "ZeroDivisionError" in caplog.text


def test_who_is_disconnected_in_on_authenticated_is_not_opened_after_that(net):
    handler = Kept(authenticated=lambda ws, grant: ws.disconnect())
    peer = net.peer(net.server(gate(handler))).upgrade()
    peer.send(text("authenticate alice") + text("more"))
    net.until(lambda: peer.ended)
    assert handler.names() == ["authenticated", "close"]


def test_what_a_gate_keeps_goes_with_the_connections(net):
    handler = Kept()
    wrapper = gate(handler)
    server = net.server(wrapper)
    peers = [net.peer(server).upgrade() for _ in range(8)]
    for peer in peers[:4]:
        peer.send(text("authenticate brief"))
    net.until(lambda: len(handler.named("open")) == 4)
    for peer in peers:
        peer.close()
    net.until(lambda: not server.connections)
    assert wrapper._sessions == {}


def test_a_handler_needs_no_methods(net):
    server = net.server(gate(object()))
    peer = net.peer(server).upgrade()
    peer.send(text("authenticate alice") + text("hello"))
    net.settle()
    peer.close()
    net.until(lambda: not server.connections)


def test_the_handlers_other_methods_pass(net):
    class Gated(Kept):
        def on_upgrade(self, request):
            return Basic({"u": "p"})(request)

    peer = net.peer(net.server(gate(Gated())))
    peer.send(request_head())
    assert b"401 Unauthorized" in peer.take_head()


def test_a_bearer_token_stands_before_the_upgrade(net):
    class Gated(Recorder):
        on_upgrade = staticmethod(Bearer(["t0k"], subprotocol_prefix="bearer."))

    server = net.server(Gated(echo=True), subprotocols=["chat"])
    for lines, status in (
        (["Authorization: Bearer t0k"], b"101"),
        (["Authorization: Bearer nope"], b"401"),
        (["Sec-WebSocket-Protocol: chat, bearer.t0k"], b"101"),
        ([], b"401"),
    ):
        peer = net.peer(server)
        peer.send(request_head(*lines))
        head = peer.take_head()
        assert head.startswith(b"HTTP/1.1 " + status)
        assert b"t0k" not in head
        peer.close()


# --- the client's side ---------------------------------------------------------------------------


def test_client_and_server_renew_in_band(net):
    credentials = iter(["brief", "brief", "alice"])
    handler, mine = Kept(echo=True), Recorder()
    server = net.server(gate(handler, on_expiry="ask"))
    ws = net.client(server, Authenticating(mine, lambda: next(credentials)))
    net.until(lambda: len(handler.named("authenticated")) == 3)
    ws.send("hello")
    net.until(lambda: mine.messages)
    assert mine.names() == ["open", "message"]
    assert handler.messages == ["hello"]


def test_what_a_client_sends_in_on_open_comes_behind_its_credential(net):
    handler = Kept()
    mine = Recorder(open=lambda ws: ws.send("first"))
    net.client(net.server(gate(handler)), Authenticating(mine, lambda: "alice"))
    net.until(lambda: handler.messages)
    assert handler.messages == ["first"]


def test_a_client_without_a_new_credential_is_closed(net):
    credentials = iter(["brief", None])
    mine = Recorder()
    server = net.server(gate(Kept(), on_expiry="ask", grace_seconds=0.03))
    net.client(server, Authenticating(mine, lambda: next(credentials)))
    net.until(lambda: mine.closes)
    assert mine.closes == [(4401, mine.closes[0][1])]
    assert TOO_LATE.search(mine.closes[0][1])


def test_a_client_renews_unasked(net):
    handler = Kept()
    client = Authenticating(Recorder(), lambda: "alice")
    ws = net.client(net.server(gate(handler)), client)
    net.until(lambda: handler.named("authenticated"))
    client.renew(ws)
    net.until(lambda: len(handler.named("authenticated")) == 2)
    assert handler.names() == ["authenticated", "open", "authenticated"]


def test_coroutine_functions_need_a_host(net):
    class Async:
        async def on_authenticated(self, ws, grant):
            raise AssertionError

    for handler in (gate(Async()), gate(gate(Async()))):
        with pytest.raises(LocalProtocolError, match="on_authenticated of .* needs asyncio"):
            net.server(handler)


class Answers:
    """In place of tasks: what verify returned, until the test says what came of it."""

    def __init__(self):
        self.pending = []

    def answer(self, awaitable, done):
        task = Answer(awaitable, done)
        self.pending.append(task)
        return task


class Answer:
    def __init__(self, awaitable, done):
        awaitable.close()
        self.done, self.result, self.was_cancelled = done, None, False

    def cancel(self):
        self.was_cancelled = True

    def cancelled(self):
        return self.was_cancelled

    def say(self, result):
        self.result = result
        self.done(self)


def asynchronous(handler, **options):
    async def verify(credential):
        raise AssertionError

    answers = Answers()
    return Authenticated(handler, verify=verify, **options).around(handler, answers), answers


def serving(net, gate):
    """A server that does not look at what verify is."""
    server = net.server(types.SimpleNamespace())
    route = next(server.site.routes)
    route.handler = types.SimpleNamespace(
        on_open=gate.on_open,
        on_message=gate.on_message,
        on_close=gate.on_close,
        on_ping=gate.on_ping,
    )
    server._routes = {}
    return server


def test_an_answer_that_takes_its_time(net):
    handler = Kept(echo=True)
    gate, answers = asynchronous(handler)
    peer = net.peer(serving(net, gate)).upgrade()
    peer.send(text("authenticate alice") + text("a") + frame(9, b"p", key=KEY) + text("b"))
    peer.expect((PONG, b"p"))
    assert handler.events == [] and len(answers.pending) == 1
    answers.pending[0].say(lambda: GRANTS["alice"])
    peer.expect((PONG, b"p"), (TEXT, b"a"), (TEXT, b"b"))
    assert handler.names() == ["authenticated", "open", "message", "ping", "message"]
    [session] = gate._sessions.values()
    assert session.line is None and session.task is None


def test_an_answer_that_nobody_waits_for_any_more(net):
    handler = Kept()
    gate, answers = asynchronous(handler)
    peer = net.peer(serving(net, gate)).upgrade()
    peer.send(text("authenticate alice") + text("a"))
    net.until(lambda: answers.pending)
    peer.close()
    net.until(lambda: not gate._sessions)
    [answer] = answers.pending
    assert answer.was_cancelled
    answer.say(lambda: GRANTS["alice"])
    assert handler.events == []


def test_reading_pauses_while_much_waits_and_not_longer(net):
    handler = Kept()
    gate, answers = asynchronous(handler)
    peer = net.peer(serving(net, gate)).upgrade()
    peer.send(text("authenticate alice") + text("x") * 16)
    net.until(lambda: answers.pending)
    net.settle()
    peer.send(text("y"))
    net.settle()
    [session] = gate._sessions.values()
    assert len(session.line) == 16
    answers.pending[0].say(lambda: GRANTS["alice"])
    net.until(lambda: handler.messages == ["x"] * 16 + ["y"])


def test_who_pauses_itself_is_not_resumed_by_an_answer(net):
    handler = Kept(open=lambda ws: ws.pause_reading())
    gate, answers = asynchronous(handler)
    peer = net.peer(serving(net, gate)).upgrade()
    peer.send(text("authenticate alice") + text("x") * 16)
    net.until(lambda: answers.pending)
    net.settle()
    peer.send(text("y"))
    answers.pending[0].say(lambda: GRANTS["alice"])
    net.settle()
    assert handler.messages == ["x"] * 16, "what was read is delivered"
    handler.endpoints[0].resume_reading()
    net.until(lambda: handler.messages[16:] == ["y"])


def test_who_is_let_go_of_in_on_authenticated_gets_nothing(net):
    handler = Kept(authenticated=lambda ws, grant: ws.disconnect())
    gate, answers = asynchronous(handler)
    peer = net.peer(serving(net, gate)).upgrade()
    peer.send(text("authenticate alice") + text("more"))
    net.until(lambda: answers.pending)
    answers.pending[0].say(lambda: GRANTS["alice"])
    assert handler.names() == ["authenticated", "close"]


def test_a_subclass_keeps_what_it_has():
    class Mine(Authenticated):
        pass

    gate = Mine(Kept(), verify=GRANTS.get)
    gate.name = "mine"
    other = gate.around(Kept())
    assert type(other) is Mine and other.name == "mine"
    assert other._sessions is not gate._sessions and not other.asynchronous


def test_an_outer_gate_does_not_pass_the_inner_one(net):
    handler = Kept()
    server = net.server(gate(gate(handler)))
    peer = net.peer(server).upgrade()
    peer.send(text("authenticate alice"))
    net.settle()
    assert handler.events == []
    peer.send(text("authenticate alice"))  # renewed at the outer one, as nobody else sees it
    net.settle()
    assert handler.events == []


def test_another_one_with_the_same_rules(net):
    first, second, clock = Kept(), Kept(), Clock()
    wrapper = gate(first, deadline_seconds=0.03, clock=clock)
    other = wrapper.around(second)
    assert (wrapper.handler, other.handler) == (first, second)
    late = net.peer(net.server(other)).upgrade()
    clock.now += 1
    closing(late, "within 0.03 s")
    peer = net.peer(net.server(other)).upgrade()
    peer.send(text("authenticate alice"))
    net.until(lambda: second.events)
    assert second.names() == ["authenticated", "open"] and not first.events
    assert not wrapper._sessions


def test_a_coroutine_function_would_never_be_awaited():
    class Async:
        async def on_message(self, ws, message):
            raise AssertionError

    async def credential():
        raise AssertionError

    for make in (
        lambda: Authenticating(Async(), lambda: "alice"),
        lambda: Authenticating(Kept(), credential),
    ):
        with pytest.raises(TypeError, match="is a coroutine function"):
            make()


def test_misuse_raises_at_construction():
    with pytest.raises(ValueError, match="deadline_seconds"):
        gate(Kept(), deadline_seconds=0)
    with pytest.raises(TypeError, match="cannot be called"):
        Authenticating(Kept(), "alice")
