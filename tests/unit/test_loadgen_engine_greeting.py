"""wsfast.loadgen.engine: the first message (a login) is answered before anything is measured."""

from __future__ import annotations

import sys
import time
from collections import Counter

import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("the engine runs on epoll", allow_module_level=True)
pytest.importorskip("numpy")
pytest.importorskip("websockets")
pytest.importorskip("wsfast.loadgen.worker")

import asyncio

from websockets.frames import Frame, Opcode

from lying_servers import Server, fan_out, measure


class Doorman(Server):
    """Answers a login "me N" late, with news before it; echoes afterwards, closes before."""

    seconds = 0.2
    news = (b"news", b"more news")
    answers = (b"ok",)

    def __init__(self):
        super().__init__()
        self.logins = []
        self.known = set()
        self.let_in_last = 0.0

    def answer(self, protocol, frame, writer):
        if protocol in self.known:
            super().answer(protocol, frame, writer)
        elif frame.opcode is Opcode.TEXT:
            self.logins.append(frame.data.decode())
            loop = asyncio.get_running_loop()
            loop.call_later(self.seconds, self.let_in, protocol, writer)
        else:
            protocol.send_close(1008, "who are you")

    def let_in(self, protocol, writer):
        self.known.add(protocol)
        self.let_in_last = time.monotonic()
        for text in (*self.news, *self.answers):
            protocol.send_frame(Frame(Opcode.TEXT, text))
        for chunk in protocol.data_to_send():
            writer.write(chunk)


LOGIN = {"first_message": "me {number}", "messages": 60, "connect_seconds": 30.0}


def test_nothing_is_sent_before_the_answer():
    server = Doorman()
    results = measure(server, **LOGIN, first_answers=1, first_prefix="ok", first=4)
    assert sorted(server.logins) == ["me 4", "me 5", "me 6"]
    assert results.counts["received"] == 60
    assert not results.server_errors
    since = time.monotonic() - server.let_in_last
    assert results.latency.maximum < since * 1e9, "the login is not measured"
    assert results.window_seconds < since


def test_as_many_answers_as_are_said():
    results = measure(Doorman(), **LOGIN, first_answers=3)
    assert results.counts["received"] == 60
    assert not results.server_errors


def test_a_schedule_starts_behind_the_logins():
    login = {**LOGIN, "messages": None}
    results = measure(Doorman(), **login, first_answers=3, rate=200.0, seconds=0.3, in_flight=1)
    assert results.counts["sent"] == results.counts["received"] == 60
    assert not results.server_errors


class Silent(Doorman):
    def let_in(self, protocol, writer):
        """Nobody gets in."""


def test_a_login_that_is_not_answered_is_cut_at_its_deadline():
    """The same deadline cuts a handshake of a machine that stalls."""
    login = {**LOGIN, "connect_seconds": 1.0, "messages": None}
    results = measure(Silent(), **login, first_answers=1)
    opened = results.counts["opened"]
    assert opened > 0
    assert results.server_errors == Counter(first_answer=opened, timeout=results.failed)
    assert results.counts["sent"] == 0


class Rejects(Doorman):
    def let_in(self, protocol, writer):
        protocol.send_close(1008, "no")
        for chunk in protocol.data_to_send():
            writer.write(chunk)


def test_a_login_that_is_rejected():
    results = measure(Rejects(), **{**LOGIN, "messages": None}, first_answers=1, seconds=0.2)
    assert dict(results.server_errors) == {"closed_1008": 3}
    assert results.counts["sent"] == 0


def test_who_comes_back_logs_in_again():
    server = Doorman()
    server.seconds = 0.01
    results = measure(
        server,
        until=lambda: len(server.logins) >= 15 and server.came >= 300,
        **{**LOGIN, "messages": None},
        first_answers=1,
        first_prefix="ok",
        lifetime_seconds=0.2,
        in_flight=1,
    )
    again = results.counts["reconnected"]
    assert again >= 9, "15, but for the first three and those on their way"
    assert again <= len(server.logins) <= 3 + again
    assert set(results.server_errors) <= {"unanswered"}
    assert results.latency.total > 100


def test_answers_that_nobody_waits_for():
    """The message is sent, and what it brings is the business of the mode."""
    server = Doorman()
    server.seconds, server.news, server.answers = 0.0, (), ()
    results = measure(server, **{**LOGIN, "messages": 60}, first_answers=0, connections=1)
    assert server.logins == ["me 0"]
    assert results.counts["sent"] > 0


class Relay(Server):
    """Sends every message to everybody who has said hello."""

    def __init__(self):
        super().__init__()
        self.known = []

    def answer(self, protocol, frame, writer):
        if frame.data.startswith(b"sub"):
            self.known.append((protocol, writer))
            protocol.send_frame(Frame(Opcode.TEXT, b"welcome"))
            return
        for other, out in self.known:
            other.send_frame(Frame(frame.opcode, frame.data))
            for chunk in other.data_to_send():
                out.write(chunk)


def test_subscribers_are_greeted_before_it_starts():
    results = fan_out(
        Relay(), first_message="sub {topic}", first_answers=1, first_prefix="welcome"
    )
    assert results.counts["sent"] == 100
    assert results.counts["received"] == 300
    assert not results.server_errors
