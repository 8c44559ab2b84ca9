"""wsfast.loadgen.echoing: the open loop against servers of which the answer times are known."""

from __future__ import annotations

import base64
import sys
import time

import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("the engine runs on epoll", allow_module_level=True)
pytest.importorskip("numpy")
pytest.importorskip("websockets")
pytest.importorskip("wsfast.loadgen.worker")

from lying_servers import (
    Closes,
    Drops,
    Greets,
    Keeps,
    Server,
    Swaps,
    Waits,
    measure,
    plan_for,
)
from wsfast.loadgen.echoing import EchoEngine
from wsfast.loop import Loop

MS = 1_000_000


def test_every_message_of_the_schedule_is_sent_and_answered():
    results = measure(Server(), messages=None, in_flight=1, rate=400.0, seconds=0.5)
    assert results.counts["sent"] == results.counts["received"] == 200
    assert results.counts["window_sent"] == 200
    assert results.histogram("intended").total == results.histogram("actual").total == 200
    assert results.histogram("lag").total == 200
    assert not results.server_errors
    assert not results.generator_errors
    assert results.window_seconds == pytest.approx(0.5, abs=0.02)


def test_the_intended_time_is_never_behind_the_actual_one():
    results = measure(Server(), messages=None, in_flight=1, rate=1000.0, seconds=0.3)
    intended, actual = results.histogram("intended"), results.histogram("actual")
    assert intended.mean >= actual.mean
    assert intended.mean - actual.mean == pytest.approx(results.histogram("lag").mean, rel=0.01)


def test_a_schedule_does_not_wait_for_answers():
    """50 ms an answer, 200 messages a second on one connection: ten are under way."""
    server = Waits()
    results = measure(server, connections=1, messages=None, in_flight=1, rate=200.0, seconds=0.5)
    assert results.counts["sent"] == results.counts["received"] == 100
    assert 50 * MS <= results.latency.minimum
    assert server.most >= 5, "a machine that stalls has still more under way"


def test_the_warm_up_is_kept_apart():
    results = measure(
        Server(), messages=None, in_flight=1, rate=500.0, seconds=0.2, warmup_seconds=0.2
    )
    assert results.counts["sent"] == 200
    assert results.histogram("warmup").total == 100
    assert results.latency.total == 100
    left = results.counts["window_sent"]  # on a machine that stalls also what was due before
    assert 99 - results.histogram("lag").maximum / 1e9 * 500 <= left
    assert left <= 101 + results.histogram("warmup").maximum / 1e9 * 500
    assert results.window_seconds == pytest.approx(0.2, abs=0.02)


def test_the_warm_up_of_a_closed_loop():
    """Who thinks for 10 ms sends at most 51 messages in half a second."""
    began = time.monotonic()
    results = measure(Server(), in_flight=1, messages=300, think_seconds=0.01, warmup_seconds=0.5)
    passed = time.monotonic() - began
    warmup = results.histogram("warmup").total
    assert 3 <= warmup <= 3 * 51
    assert results.latency.total == 300 - warmup
    assert results.counts["received"] == 300
    assert 0.01 * (300 - warmup - 3) / 3 <= results.window_seconds <= passed - 0.5


def test_what_is_never_answered_is_censored():
    """It counts with the time that it has waited: from when it was due to the end."""
    results = measure(
        Keeps(), messages=None, in_flight=1, rate=100.0, seconds=0.2, drain_seconds=0.1
    )
    assert results.counts["sent"] == results.counts["unanswered"] == 20
    assert results.counts["censored"] == results.latency.total == 20
    assert results.latency.maximum - results.latency.minimum == pytest.approx(190 * MS, rel=0.02)
    assert 100 * MS <= results.latency.minimum
    assert 100 * MS <= results.censored_ns <= results.latency.minimum
    assert results.counts["measured"] == 0


def test_a_connection_that_ends_censors_nothing():
    """Its messages are errors of the server, not slow answers."""
    results = measure(Closes(), messages=None, in_flight=1, rate=300.0)
    assert results.counts["unanswered"] == results.counts["sent"] >= 3
    assert results.counts["censored"] == results.latency.total == 0


def test_what_a_later_answer_shows_to_be_lost_is_not_censored():
    results = measure(Drops(), connections=1, messages=None, rate=300.0, seconds=0.2)
    assert results.counts["sent"] == 60
    assert (results.counts["lost"], results.counts["unanswered"]) == (6, 0)
    assert results.counts["censored"] == 0


def test_answers_that_come_late_were_reordered_not_lost():
    results = measure(Swaps(), connections=1, in_flight=4, messages=400)
    assert results.counts["received"] == 400
    assert results.counts["lost"] == results.counts["unanswered"] == 0
    assert results.counts["reordered"] == 200
    assert set(results.server_errors) == {"reordered"}


def test_think_time_is_kept():
    results = measure(
        Server(), connections=2, in_flight=1, messages=20, seconds=60.0, think_seconds=0.05
    )
    assert results.counts["received"] == 20
    assert results.window_seconds >= 0.45, "one of the two has sent ten, and thought between them"
    assert not results.server_errors


@pytest.mark.parametrize(
    "sizes", [{"size": 300, "least_size": 0}, {"size": 1600, "mean_size": 100.0}]
)
def test_sizes_that_vary_are_checked(sizes):
    results = measure(Server(), messages=600, **sizes)
    assert results.counts["received"] == 600
    assert not results.server_errors
    mean = results.counts["measured_bytes"] / results.counts["measured"]
    assert mean == pytest.approx(150 if "least_size" in sizes else 100, rel=0.2)


@pytest.mark.parametrize(("verify", "mismatches"), [("none", 0), ("length", 0), ("full", 40)])
def test_how_much_is_checked(verify, mismatches):
    from lying_servers import Corrupts

    results = measure(Corrupts(), verify=verify)
    assert results.counts["received"] == 400
    assert results.counts["mismatch"] == mismatches


@pytest.mark.parametrize("in_flight", [0, (1 << 24) + 1])
def test_too_many_or_no_messages_in_flight(in_flight):
    loop = Loop()
    with pytest.raises(ValueError, match="in flight"):
        EchoEngine(loop, plan_for(connections=1, in_flight=in_flight))
    loop.close()


def test_pings_are_answered_by_pongs():
    """The servers of the tests answer pings below what they lie about."""
    results = measure(Keeps(), mode="ping", size=100, messages=300, in_flight=1)
    assert results.counts["sent"] == results.counts["received"] == 300
    assert results.latency.total == 300
    assert not results.server_errors


def test_messages_are_no_answers_to_pings():
    results = measure(Greets(), mode="ping", messages=30, in_flight=1)
    assert results.counts["received"] == 30
    assert not results.server_errors


def test_pings_on_a_schedule():
    results = measure(Server(), mode="ping", messages=None, in_flight=1, rate=200.0, seconds=0.5)
    assert results.counts["sent"] == results.counts["received"] == 100
    assert results.histogram("intended").total == 100


@pytest.mark.parametrize("rate", [None, 500.0])
def test_a_lifetime_ends_connections_and_opens_them_again(rate):
    server = Server()
    results = measure(
        server,
        messages=None,
        in_flight=1,
        lifetime_seconds=0.2,
        rate=rate,
        until=lambda: server.opened >= 12,
    )
    assert 6 <= results.counts["reconnected"], "12, but for the first three and those on their way"
    most = 3 * (1 + results.window_seconds / 0.1)
    assert results.counts["reconnected"] <= most, "each lives for 0.1 s or longer"
    assert results.counts["opened"] == 3
    assert results.handshake.total == 3 + results.counts["reconnected"]
    assert set(results.server_errors) <= {"unanswered"}, "a closing one may leave a message"


def test_connections_that_the_server_ends_come_back():
    server = Closes()
    results = measure(
        server, messages=None, in_flight=1, reconnect=True, until=lambda: server.opened >= 20
    )
    again = results.counts["reconnected"]
    assert again > 5
    assert again <= results.server_errors["closed_1001"] <= again + 3


def test_without_reconnect_a_run_ends_with_its_connections():
    results = measure(Closes(), messages=None, in_flight=1, seconds=60.0)
    assert results.counts["reconnected"] == 0
    assert results.window_seconds < 60.0


def test_a_content_of_the_user():
    content = base64.b64encode("grüße".encode()).decode()
    results = measure(Server(), content=content, size=7, text=True)
    assert results.counts["received"] == 400
    assert not results.server_errors
