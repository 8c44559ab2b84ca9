"""wsfast.admission: how many connections, from one address, and how quickly."""

from __future__ import annotations

import gc
import math
import random
import tracemalloc

import pytest

from wsfast.admission import Admission, address_key


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
    admission = Admission()
    for _ in range(1000):
        assert admission.admit("1.2.3.4", 0.0) is None
    assert admission.connections == 1000
    assert admission.remembered_addresses == 0


def test_max_connections():
    admission = Admission(max_connections=2, retry_after_seconds=7)
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
    }


def test_max_connections_per_address():
    admission = Admission(max_connections_per_address=2)
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
    admission = Admission(max_handshakes_per_second_per_address=2, burst_handshakes=4)
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
    admission = Admission(max_handshakes_per_second_per_address=rate)
    admitted = [admission.admit("a", 0.0) is None for _ in range(burst + 2)]
    assert admitted == [True] * burst + [False] * 2


def test_a_slow_rate_says_when_to_come_back():
    admission = Admission(max_handshakes_per_second_per_address=0.1, burst_handshakes=1)
    assert admission.admit("a", 0) is None
    assert retry_after(admission.admit("a", 0.0), 429) == 10
    assert retry_after(admission.admit("a", 8.5), 429) == 2
    assert admission.admit("a", 10.0) is None


def test_the_limits_are_looked_at_together():
    """A handshake that any limit refuses leaves the others as they were."""
    admission = Admission(
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
    admission = Admission(
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
    admission = Admission(max_handshakes_per_second_per_address=1, burst_handshakes=10)
    for number in range(1000):
        admission.admit(number, 0.0)
    assert admission.remembered_addresses == 1000
    admission.admit("a", 10.0)
    admission.admit("a", 20.0)
    assert admission.remembered_addresses <= 2


def test_a_full_bucket_is_not_forgotten_within_its_time():
    """Whatever turns between: emptied at 0, an address has no token before 1, ten at 10."""
    for others in (1, 50):
        admission = Admission(max_handshakes_per_second_per_address=1, burst_handshakes=10)
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
    admission = Admission(max_handshakes_per_second_per_address=1, max_addresses=1000)
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
    admission = Admission(max_handshakes_per_second_per_address=1, max_addresses=10)
    for number in range(1000):
        admission.admit(number, 0.0)
        assert admission.remembered_addresses <= 20


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_connections", 0),
        ("max_connections_per_address", -1),
        ("max_handshakes_per_second_per_address", 0),
        ("max_handshakes_per_second_per_address", math.inf),
        ("max_handshakes_per_second_per_address", math.nan),
        ("burst_handshakes", 0),
        ("max_addresses", 0),
        ("retry_after_seconds", 0),
    ],
)
def test_a_limit_that_lets_nobody_in_is_an_error(name, value):
    with pytest.raises(ValueError, match=f"{name} is {value}"):
        Admission(**{name: value})
