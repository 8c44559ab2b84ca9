"""What is due on an open connection and when, with a clock of the test's own."""

from __future__ import annotations

import random
import statistics
from pathlib import Path
from typing import Any

import pytest

from wsfast.limits import Limits
from wsfast.timetable import Timetable

pytest.importorskip("Cython", reason="Cython is not installed")
pytest.importorskip("setuptools", reason="setuptools is not installed")

SECOND = 1_000_000_000
START = 1_000 * SECOND

#: No jitter, so that a test can say what is due when.
PLAIN: dict[str, Any] = {
    "ping_interval_seconds": 25,
    "dead_after_seconds": 20,
    "ping_jitter": 0,
    "lifetime_jitter": 0,
}


@pytest.fixture(scope="module")
def probe() -> Any:
    from bench.cython_module import load

    return load(Path(__file__).parent / "probe.pyx")


def watched(probe: Any, **limits: Any) -> Any:
    return probe.Watched(Limits(**{**PLAIN, **limits}), START)


def at(seconds: float) -> int:
    """So many seconds after the connection was opened, in ns."""
    return START + int(seconds * SECOND)


# --- heartbeats --------------------------------------------------------------------------------


def test_nothing_is_due_at_first_and_a_ping_after_an_interval(probe: Any) -> None:
    times = watched(probe)
    assert times.look(START) == ("nothing", at(25))
    assert times.look(at(25) - 1) == ("nothing", at(25))
    assert times.look(at(25))[0] == "ping"


def test_bytes_put_the_ping_off(probe: Any) -> None:
    times = watched(probe)
    times.hear(at(24))
    assert times.look(at(25)) == ("nothing", at(49))
    times.hear(at(48))
    assert times.look(at(49)) == ("nothing", at(73))
    assert times.look(at(73))[0] == "ping"


def test_what_we_send_does_not_put_it_off(probe: Any) -> None:
    times = watched(probe)
    times.act(at(24))
    assert times.look(at(25))[0] == "ping"


def test_silence_after_a_ping_is_death(probe: Any) -> None:
    times = watched(probe)
    times.ping(at(25))
    assert times.look(at(25)) == ("nothing", at(45))
    assert times.look(at(45) - 1) == ("nothing", at(45))
    assert times.look(at(45))[0] == "dead"


def test_a_peer_that_answers_is_pinged_at_its_interval_however_long_death_takes(
    probe: Any,
) -> None:
    times = watched(probe, ping_interval_seconds=5, dead_after_seconds=60)
    now, pings = START, []
    while now < at(60):
        due, again = times.look(now)
        if due == "ping":
            pings.append((now - START) // SECOND)
            times.ping(now)
            times.hear(now + 1000)
            due, again = times.look(now)
        now = again
    assert pings == [5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55]


def test_any_byte_after_a_ping_is_life(probe: Any) -> None:
    times = watched(probe)
    times.ping(at(25))
    times.hear(at(44))
    assert times.look(at(45)) == ("nothing", at(69))
    assert times.look(at(69))[0] == "ping"


def test_a_byte_before_the_ping_is_not(probe: Any) -> None:
    times = watched(probe)
    times.hear(at(1))
    times.ping(at(26))
    assert times.look(at(46))[0] == "dead"


def test_pings_do_not_pile_up_while_one_is_unanswered(probe: Any) -> None:
    times = watched(probe, ping_interval_seconds=1)
    times.ping(at(1))
    for second in range(1, 21):
        assert times.look(at(second)) == ("nothing", at(second + 1))
    assert times.look(at(21))[0] == "dead"


@pytest.mark.parametrize("off", [0, None])
def test_without_death_pings_go_on(probe: Any, off: Any) -> None:
    times = watched(probe, dead_after_seconds=off)
    for n in range(1, 10):
        assert times.look(at(25 * n) - 1) == ("nothing", at(25 * n))
        assert times.look(at(25 * n))[0] == "ping"
        times.ping(at(25 * n))


@pytest.mark.parametrize("off", [0, None])
def test_without_pings_nothing_is_ever_due(probe: Any, off: Any) -> None:
    times = watched(probe, ping_interval_seconds=off)
    assert times.look(at(1 << 30)) == ("nothing", 0)


@pytest.mark.parametrize("jitter", [0.0, 0.2, 0.9])
def test_intervals_vary_within_the_jitter(probe: Any, jitter: float) -> None:
    times = watched(probe, ping_jitter=jitter)
    drawn = [times.seen["interval"] / SECOND]
    for _ in range(2000):
        times.ping(at(25))
        drawn.append(times.seen["interval"] / SECOND)
    assert min(drawn) >= 25 * (1 - jitter) - 1e-6
    assert max(drawn) <= 25 * (1 + jitter) + 1e-6
    assert statistics.mean(drawn) == pytest.approx(25, abs=jitter * 2)
    spread = statistics.pstdev(drawn)
    assert spread == pytest.approx(25 * jitter / 3**0.5, rel=0.1)


def test_connections_of_one_moment_do_not_ping_together(probe: Any) -> None:
    """Opened at once, their first pings spread evenly over the ten seconds of the jitter."""
    limits = Limits()
    opened = probe.first_looks(limits, 20_000, START)
    seconds = [(due - START) / SECOND for due in opened]
    per_second = [sum(n <= due < n + 1 for due in seconds) for n in range(20, 30)]
    assert sum(per_second) == 20_000
    assert max(per_second) < 2 * min(per_second) < 5000


# --- idle, lifetime ------------------------------------------------------------------------------


def test_idle_counts_messages_and_not_bytes(probe: Any) -> None:
    times = watched(probe, idle_seconds=60, ping_interval_seconds=None)
    assert times.look(START) == ("nothing", at(60))
    times.hear(at(59))
    assert times.look(at(60))[0] == "idle"
    times.act(at(59))
    assert times.look(at(60)) == ("nothing", at(119))
    assert times.look(at(119))[0] == "idle"


def test_the_earliest_comes_first(probe: Any) -> None:
    times = watched(probe, idle_seconds=30, lifetime_seconds=40)
    assert times.look(START) == ("nothing", at(25))
    times.ping(at(25))
    assert times.look(at(25)) == ("nothing", at(30))
    times.act(at(29))
    assert times.look(at(30)) == ("nothing", at(40))
    times.hear(at(31))
    assert times.look(at(40))[0] == "expired"


def test_a_lifetime_ends_whatever_happens(probe: Any) -> None:
    times = watched(probe, lifetime_seconds=100)
    for second in range(100):
        times.hear(at(second))
        times.act(at(second))
        assert times.look(at(second))[0] == "nothing"
    assert times.look(at(100))[0] == "expired"


def test_lifetimes_are_only_ever_shortened(probe: Any) -> None:
    limits = Limits(lifetime_seconds=100, lifetime_jitter=0.25)
    ends = [probe.Watched(limits, START).seen["expires"] for _ in range(500)]
    assert min(ends) > at(75) and max(ends) <= at(100)
    assert statistics.mean(ends) == pytest.approx(at(87.5), abs=2 * SECOND)


@pytest.mark.parametrize("seed", range(20))
def test_whoever_looks_when_told_misses_nothing(probe: Any, seed: int) -> None:
    """A random life, looked at only when `look` said so: nothing is late, nothing is early."""
    rng = random.Random(seed)
    limits: dict[str, Any] = {
        "ping_interval_seconds": rng.choice([None, 1, 10]),
        "dead_after_seconds": rng.choice([None, 1, 10]),
        "idle_seconds": rng.choice([None, 5, 50]),
        "lifetime_seconds": rng.choice([None, 300]),
    }
    times = watched(probe, **limits)
    heard = active = now = START
    pinged = 0
    due, again = times.look(now)
    for _ in range(200):
        assert due in ("nothing", "ping") and again != now
        if due == "ping":
            assert now - max(heard, pinged) >= limits["ping_interval_seconds"] * SECOND
            times.ping(now)
            pinged = now
            due, again = times.look(now)
            assert due == "nothing"
        if not again:
            assert not any(limits[name] for name in limits if name != "dead_after_seconds")
            return
        for _ in range(rng.randrange(3)):
            moment = rng.randrange(now, again)
            if moment > heard and rng.random() < 0.8:
                heard = moment
                times.hear(heard)
                if rng.random() < 0.5:
                    active = moment
                    times.act(active)
        now = again
        due, again = times.look(now)
        if due == "dead":
            assert heard < pinged <= now - limits["dead_after_seconds"] * SECOND
            return
        if due == "idle":
            assert now - active == limits["idle_seconds"] * SECOND
            return
        if due == "expired":
            assert now - START == limits["lifetime_seconds"] * SECOND
            return


# --- pongs ---------------------------------------------------------------------------------------


def test_a_pong_of_ours_gives_the_round_trip(probe: Any) -> None:
    times = watched(probe)
    payload = times.ping(at(25))
    assert len(payload) == 8
    assert times.seen["round_trip"] == 0
    assert times.pong(at(25) + 1234, payload)
    assert times.seen["round_trip"] == 1234


def test_a_round_trip_of_no_time_is_still_one(probe: Any) -> None:
    times = watched(probe)
    assert times.pong(at(25), times.ping(at(25)))
    assert times.seen["round_trip"] == 1


def test_a_late_pong_is_ours_but_gives_no_round_trip(probe: Any) -> None:
    times = watched(probe, dead_after_seconds=None)
    late, newest = times.ping(at(25)), times.ping(at(50))
    assert late != newest
    assert times.pong(at(51), late) and times.seen["round_trip"] == 0
    assert times.pong(at(52), newest) and times.seen["round_trip"] == 2 * SECOND


def test_what_others_sent_is_not_ours(probe: Any) -> None:
    times = watched(probe)
    ours = times.ping(at(25))
    for other in (b"", b"hello", bytes(8), ours[:7], ours + b"x", ours[::-1], bytes(125)):
        assert not times.pong(at(26), other)
    assert not watched(probe).pong(at(26), ours), "each timetable has a mark of its own"
    assert times.seen["round_trip"] == 0


def test_a_pong_before_any_ping_gives_nothing(probe: Any) -> None:
    times = watched(probe)
    forged = times.ping(at(25))[:4] + bytes(4)
    fresh = watched(probe)
    assert not fresh.pong(at(1), forged) and fresh.seen["round_trip"] == 0


def test_a_payload_does_not_tell_our_clock(probe: Any) -> None:
    now = at(25)
    low = (now & 0xFFFFFFFF).to_bytes(4, "little")
    assert sum(watched(probe).ping(now)[4:] == low for _ in range(50)) == 0


def test_limits_are_needed() -> None:
    with pytest.raises(AttributeError):
        Timetable(None)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Timetable()  # type: ignore[call-arg]
