"""wsfast.admission: how many connections, from one address, and how quickly."""

from __future__ import annotations

import gc
import math
import random
import tracemalloc

import pytest

from wsfast.admission import Admission, Place, address_key
from wsfast.refusal import Refusal


class Desk:
    """An admission whose places are kept by key: every handshake here is the first that is seen.

    Args:
        limits: as for `Admission`.
    """

    def __init__(self, **limits):
        self.admission = Admission(**limits)
        self.places = {}

    def __getattr__(self, name):
        return getattr(self.admission, name)

    def admit(self, key, now):
        """The refusal, or None."""
        found = self.admission.admit(None, key, now)
        if isinstance(found, Refusal):
            return found
        assert isinstance(found, Place)
        self.places.setdefault(key, []).append(found)
        return None

    def release(self, key):
        self.places[key].pop().leave()
        if not self.places[key]:
            del self.places[key]


def retry_after(refusal, status):
    assert refusal.status == status
    assert refusal.response.startswith(b"HTTP/1.1 %d " % status)
    (seconds,) = [value for name, value in refusal.headers if name == "Retry-After"]
    assert b"\r\nRetry-After: " + seconds.encode() in refusal.response
    return int(seconds)


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("1.2.3.4", "1.2.3.4", True),
        ("1.2.3.4", "1.2.3.5", False),
        ("2001:db8::1", "2001:db8:0:0:ffff::1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:1.2.3.4", "1.2.3.4", True),
        ("::ffff:1.2.3.4", "::ffff:1.2.3.5", False),
        ("fe80::1%eth0", "fe80::1%eth1", True),
        ("odd:name", "odd:name", True),
        ("odd:name", "odd:other", False),
        ("::1", "1", False),
    ],
)
def test_what_addresses_count_by(first, second, same):
    assert (address_key(first) == address_key(second)) is same


def test_without_limits_all_are_admitted():
    admission = Desk()
    for _ in range(1000):
        assert admission.admit("1.2.3.4", 0.0) is None
    assert admission.connections == 1000
    assert admission.remembered_addresses == 0


def test_max_connections():
    admission = Desk(max_connections=2, retry_after_seconds=7)
    assert admission.admit("a", 0) is None
    assert admission.admit(None, 0) is None
    for key in ("a", "b", None):
        assert retry_after(admission.admit(key, 0), 503) == 7
    admission.release(None)
    assert admission.admit("b", 0) is None
    assert admission.connections == 2
    assert admission.counters == {
        "admitted": 3,
        "refused_connections": 3,
        "refused_address": 0,
        "refused_rate": 0,
        "turned_away_connections": 0,
        "turned_away_address": 0,
        "turned_away_rate": 0,
    }


def test_max_connections_per_address():
    admission = Desk(max_connections_per_address=2)
    assert admission.admit("a", 0) is None
    assert admission.admit("a", 0) is None
    assert retry_after(admission.admit("a", 0), 429) == 5
    assert admission.admit("b", 0) is None
    for _ in range(10):
        assert admission.admit(None, 0) is None, "a Unix socket has no address"
    admission.release("a")
    assert admission.admit("a", 0) is None
    assert admission.counters["refused_address"] == 1
    for key in ["a", "a", "b", *[None] * 10]:
        admission.release(key)
    assert (admission.connections, admission.remembered_addresses) == (0, 0)


def test_handshakes_per_second_per_address():
    admission = Desk(max_handshakes_per_second_per_address=2, burst_handshakes=4)
    for _ in range(4):
        assert admission.admit("a", 100.0) is None
    assert retry_after(admission.admit("a", 100.0), 429) == 1
    assert admission.admit("b", 100.0) is None
    assert admission.admit(None, 100.0) is None
    assert admission.admit("a", 100.49).status == 429
    assert admission.admit("a", 100.5) is None, "what was refused took no token"
    assert admission.admit("a", 100.51).status == 429
    assert [admission.admit("a", 200.0) is None for _ in range(5)] == [True] * 4 + [False]
    assert admission.counters["refused_rate"] == 4


@pytest.mark.parametrize(("rate", "burst"), [(0.1, 1), (1, 1), (2.5, 3), (10, 10)])
def test_the_burst_is_one_second(rate, burst):
    admission = Desk(max_handshakes_per_second_per_address=rate)
    admitted = [admission.admit("a", 0.0) is None for _ in range(burst + 2)]
    assert admitted == [True] * burst + [False] * 2


def test_a_slow_rate_says_when_to_come_back():
    admission = Desk(max_handshakes_per_second_per_address=0.1, burst_handshakes=1)
    assert admission.admit("a", 0) is None
    assert retry_after(admission.admit("a", 0.0), 429) == 10
    assert retry_after(admission.admit("a", 8.5), 429) == 2
    assert admission.admit("a", 10.0) is None


def test_the_limits_are_looked_at_together():
    """A handshake that any limit refuses leaves the others as they were."""
    admission = Desk(
        max_connections=3,
        max_connections_per_address=2,
        max_handshakes_per_second_per_address=1,
        burst_handshakes=3,
    )
    assert [admission.admit("a", 0) is None for _ in range(3)] == [True, True, False]
    admission.release("a")
    assert admission.admit("a", 0) is None, "the refused one took no token"
    admission.release("a")
    assert retry_after(admission.admit("a", 0), 429) == 1
    assert admission.connections == 1


def test_the_rate_is_that_of_a_token_bucket():
    """Against a bucket written down as one, with forgetting going on."""
    choose = random.Random(6585)
    rate, burst = 3.0, 5
    admission = Desk(
        max_handshakes_per_second_per_address=rate, burst_handshakes=burst, max_addresses=10**6
    )
    buckets, now = {}, 0.0
    for _ in range(20000):
        now += choose.choice([0, 0.001, 0.05, 0.1]) * choose.random()
        key = str(choose.randrange(6))
        tokens, since = buckets.get(key, (burst, now))
        tokens = min(burst, tokens + (now - since) * rate)
        expected = tokens >= 1 - 1e-6
        buckets[key] = (tokens - expected, now)
        assert (admission.admit(key, now) is None) is expected
    assert min(admission.counters["admitted"], admission.counters["refused_rate"]) > 1000


def test_addresses_that_were_quiet_are_forgotten():
    admission = Desk(max_handshakes_per_second_per_address=1, burst_handshakes=10)
    for number in range(1000):
        admission.admit(number, 0.0)
    assert admission.remembered_addresses == 1000
    admission.admit("a", 10.0)
    admission.admit("a", 20.0)
    assert admission.remembered_addresses <= 2


def test_a_full_bucket_is_not_forgotten_within_its_time():
    """Whatever turns between: emptied at 0, an address has no token before 1, ten at 10."""
    for others in (1, 50):
        admission = Desk(max_handshakes_per_second_per_address=1, burst_handshakes=10)
        admission.admit("other", -9.99)
        assert [admission.admit("a", 0.0) for _ in range(10)] == [None] * 10
        for number in range(others):
            admission.admit(number, 0.02)
        assert admission.admit("a", 0.5).status == 429
        for number in range(others):
            admission.admit(number, 9.0)
        assert [admission.admit("a", 9.0) is None for _ in range(10)] == [True] * 9 + [False]


@pytest.mark.slow
def test_a_million_addresses_do_not_grow_it():
    admission = Desk(max_handshakes_per_second_per_address=1, max_addresses=1000)
    for number in range(5000):
        assert admission.admit(number, 0.0) is None
        admission.release(number)
    gc.collect()
    tracemalloc.start()
    for number in range(5000, 1_000_000):
        if admission.admit(number, 1.0) is None:
            admission.release(number)
        assert admission.remembered_addresses <= 2000
    grown = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert grown < 400_000
    assert admission.counters["admitted"] == 1_000_000


def test_a_flood_of_addresses_does_not_grow_it():
    admission = Desk(max_handshakes_per_second_per_address=1, max_addresses=10)
    for number in range(1000):
        admission.admit(number, 0.0)
        assert admission.remembered_addresses <= 20


# --- before a request is read --------------------------------------------------------------------


def test_a_connection_counts_from_when_it_comes():
    admission = Admission(max_connections=2, max_waiting=0)
    first, second = admission.enter("a", 0.0), admission.enter(None, 0.0)
    assert admission.enter("b", 0.0) is None
    assert admission.connections == 2
    assert admission.counters["turned_away_connections"] == 1
    first.leave()
    third = admission.enter("b", 0.0)
    for place, key in ((second, None), (third, "b")):
        assert admission.admit(place, key, 0.0) is place, "it has its place already"
    assert (admission.connections, admission.counters["admitted"]) == (2, 2)
    second.leave()
    third.leave()
    assert (admission.connections, admission.remembered_addresses) == (0, 0)


def test_an_address_counts_from_when_it_comes():
    admission = Admission(max_connections_per_address=2, max_waiting=0)
    places = [admission.enter("a", 0.0) for _ in range(2)]
    assert places[0] is places[1], "nothing is kept for a connection by itself"
    assert admission.enter("a", 0.0) is None
    assert admission.enter("b", 0.0).connections == 1
    assert all(admission.enter(None, 0.0) for _ in range(10))
    assert admission.counters["turned_away_address"] == 1
    places.pop().leave()
    assert admission.enter("a", 0.0) is places[0]


def test_some_wait_to_hear_why():
    admission = Admission(max_connections=1, max_waiting=2)
    first = admission.enter("a", 0.0)
    waiting = [admission.enter("b", 0.0) for _ in range(2)]
    assert waiting == [admission.waiting] * 2
    assert admission.enter("b", 0.0) is None
    assert (admission.connections, admission.waiting.connections) == (1, 2)
    assert retry_after(admission.admit(waiting[0], "b", 0.0), 503) == 5
    assert admission.waiting.connections == 2, "until its socket ends"
    waiting[0].leave()
    first.leave()
    found = admission.admit(waiting[1], "b", 0.0)
    assert found is not admission.waiting, "there is room by now"
    assert (admission.connections, admission.waiting.connections) == (1, 0)
    found.leave()
    assert (admission.connections, admission.remembered_addresses) == (0, 0)


def test_who_waits_for_its_address_hears_429():
    admission = Admission(max_connections=2, max_connections_per_address=1, max_waiting=2)
    places = [admission.enter("a", 0.0), admission.enter("a", 0.0)]
    assert places[1] is admission.waiting
    assert retry_after(admission.admit(places[1], "a", 0.0), 429) == 5
    other = admission.enter("b", 0.0)
    assert retry_after(admission.admit(places[1], "a", 0.0), 503) == 5
    for place in (*places, other):
        place.leave()
    assert (admission.connections, admission.waiting.connections) == (0, 0)


@pytest.mark.parametrize("max_waiting", [0, 1])
def test_an_address_that_is_known_later(max_waiting):
    """As a PROXY header says it: counted in all from the beginning, for itself from then on."""
    admission = Admission(
        max_connections=3, max_connections_per_address=1, max_waiting=max_waiting
    )
    places = [admission.enter(None, 0.0) for _ in range(3)]
    assert admission.connections == 3
    first = admission.identify(places[0], "a", 0.0)
    assert (first.key, admission.connections) == ("a", 3)
    found = admission.identify(places[1], "a", 0.0)
    if max_waiting:
        assert found is admission.waiting
        assert admission.identify(found, "a", 0.0) is found, "again: it goes on waiting"
        assert admission.connections == 2
    else:
        assert found is None
        assert admission.counters["turned_away_address"] == 1
        found = places[1]
    last = admission.identify(places[2], "b", 0.0)
    for place in (first, found, last):
        place.leave()
    assert (admission.connections, admission.waiting.connections) == (0, 0)
    assert admission.remembered_addresses == 0


def test_a_request_may_say_another_address():
    """As X-Forwarded-For does; a refusal leaves the place as it was."""
    admission = Admission(max_connections_per_address=1)
    proxied = [admission.enter(None, 0.0) for _ in range(2)]
    first = admission.admit(proxied[0], "a", 0.0)
    assert admission.admit(proxied[1], "a", 0.0).status == 429
    assert admission.connections == 2
    own = admission.enter("b", 0.0)
    assert admission.admit(own, "c", 0.0).key == "c"
    assert admission.enter("b", 0.0).key == "b", "it is counted there no longer"
    first.leave()
    assert admission.admit(proxied[1], "a", 0.0).key == "a"


@pytest.mark.parametrize("limits", [{}, {"max_connections_per_address": 100}])
def test_where_nobody_waits_the_rate_holds_from_the_beginning(limits):
    admission = Admission(max_handshakes_per_second_per_address=2, max_waiting=0, **limits)
    places = [admission.enter("a", 0.0) for _ in range(3)]
    assert places[2] is None and admission.counters["turned_away_rate"] == 1
    assert admission.admit(places[0], "a", 0.0) is places[0], "it has its token already"
    assert admission.admit(places[0], "a", 0.0, first=False).status == 429, "of another request"
    assert admission.enter("a", 0.49) is None
    assert admission.enter("a", 0.5), "what was turned away took no token"
    proxied = [admission.enter(None, 0.5) for _ in range(6)]
    assert admission.identify(proxied[0], "b", 0.5)
    assert admission.identify(proxied[1], "b", 0.5)
    assert admission.identify(proxied[2], "b", 0.5) is None
    assert admission.admit(proxied[3], "c", 0.5) is not proxied[3]
    assert admission.admit(proxied[4], "c", 0.5) is not proxied[4]
    assert retry_after(admission.admit(proxied[5], "c", 0.5), 429) == 1
    counters = admission.counters
    assert (counters["turned_away_rate"], counters["refused_rate"]) == (3, 2)


def test_where_some_wait_the_rate_holds_for_requests():
    admission = Admission(max_handshakes_per_second_per_address=1)
    places = [admission.enter("a", 0.0) for _ in range(10)]
    assert None not in places
    assert admission.admit(places[0], "a", 0.0) is places[0]
    assert admission.admit(places[1], "a", 0.0).status == 429
    assert admission.counters["turned_away_rate"] == 0


def test_any_order_of_events_ends_at_none():
    """Against sums over all that there are."""
    choose = random.Random(9110)
    admission = Admission(max_connections=20, max_connections_per_address=5, max_waiting=4)
    places, most = [], 0
    for _ in range(20000):
        what, key = choose.choice("eeial"), choose.choice([None, "a", "b", "c", 4, 5, 6])
        if what == "e":
            places.append(admission.enter(key, 0.0))
        elif places:
            place = places.pop(choose.randrange(len(places)))
            if what == "l":
                place.leave()
                continue
            if what == "i":
                places.append(admission.identify(place, key, 0.0) or place)
            else:
                found = admission.admit(place, key, 0.0)
                places.append(place if isinstance(found, Refusal) else found)
        places = [place for place in places if place is not None]
        waiting = sum(place is admission.waiting for place in places)
        assert admission.waiting.connections == waiting <= 4
        assert admission.connections == len(places) - waiting <= 20
        keyed = [place for place in places if place.key is not None]
        assert all(place.connections == keyed.count(place) <= 5 for place in keyed)
        assert admission.remembered_addresses == len({place.key for place in keyed})
        most = max(most, len(places))
    assert most == 24 and min(admission.counters.values()) == 0 < admission.counters["admitted"]
    assert all(admission.counters[f"turned_away_{name}"] for name in ("connections", "address"))
    for place in places:
        place.leave()
    assert (admission.connections, admission.remembered_addresses) == (0, 0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_connections", 0),
        ("max_connections_per_address", -1),
        ("max_handshakes_per_second_per_address", 0),
        ("max_handshakes_per_second_per_address", math.inf),
        ("max_handshakes_per_second_per_address", math.nan),
        ("burst_handshakes", 0),
        ("max_waiting", -1),
        ("max_addresses", 0),
        ("retry_after_seconds", 0),
    ],
)
def test_a_limit_that_lets_nobody_in_is_an_error(name, value):
    with pytest.raises(ValueError, match=f"{name} is {value}"):
        Admission(**{name: value})
