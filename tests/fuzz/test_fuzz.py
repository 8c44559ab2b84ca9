"""The fuzzer itself: a short run is clean, planted bugs are found and shrunk to a dialogue."""

from __future__ import annotations

import importlib.util
import random
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from wsfast.rfc6455 import Role

HERE = Path(__file__).parent


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def fuzzer() -> ModuleType:
    return load("fuzz_connection")


@pytest.fixture(scope="module")
def policy() -> ModuleType:
    return load("fuzz_policy")


def test_a_short_run_finds_nothing(fuzzer):
    count, failed = fuzzer.fuzz(6455, lambda count: count == 1000)
    assert failed is None, f"{fuzzer.check(failed)}\n{fuzzer.golden_case(failed)}"
    assert count == 1000


def test_a_seed_repeats_itself(fuzzer):
    first, second = random.Random(7), random.Random(7)
    cases = [fuzzer.make_case(first) for _ in range(50)]
    assert cases == [fuzzer.make_case(second) for _ in range(50)]


def test_streams_reach_what_they_should(fuzzer):
    """Among 2,000 streams every rule is broken, and many are valid."""
    choose, seen = random.Random(1), {}
    for _ in range(2000):
        case = fuzzer.make_case(choose)
        reference = fuzzer.ReferenceReceiver(case.role, **dict(case.limits))
        reference.feed(case.data)
        seen[reference.broken] = seen.get(reference.broken, 0) + 1
    assert seen[""] > 200
    rules = "rsv mask opcode control fragments length limit text".split()
    assert all(seen.get(rule, 0) > 10 for rule in [*rules, "close code", "close payload"]), seen


def test_a_planted_bug_is_found_and_shrunk(fuzzer, monkeypatch):
    """A connection that loses empty pings, and one whose events depend on the cut."""
    real = fuzzer.ours

    def loses_empty_pings(case):
        events, answers = real(case)
        return [event for event in events if event[1] != fuzzer.Ping(b"")], answers

    monkeypatch.setattr(fuzzer, "ours", loses_empty_pings)
    _, failed = fuzzer.fuzz(1, lambda count: count == 5000)
    assert failed is not None
    assert fuzzer.check(failed).startswith("reference: events")
    empty_ping = 6 if failed.role is Role.SERVER else 2
    assert len(failed.data) == empty_ping
    assert fuzzer.golden_case(failed).startswith(f"```{failed.role.name.lower()}\n< 89 ")


@pytest.mark.parametrize("between", ["", "89 00", "00 00", "89 00 00 01 61"])
def test_half_a_surrogate_is_judged_late_by_cpython(fuzzer, between):
    """We fail at its second byte; wsproto waits for the third, and may see another fault first."""
    stream = bytes.fromhex(f"01 08 e2 82 ac e2 82 96 ed ac {between} a4 00")
    assert fuzzer.check(fuzzer.Case(Role.CLIENT, stream, (), ())) == ""


@pytest.mark.parametrize("tail", ["e2 28", "ff 41", "ed 41"])
def test_other_faults_of_text_are_judged_at_once(fuzzer, tail):
    stream = bytes.fromhex(f"01 03 41 {tail}")
    case = fuzzer.Case(Role.CLIENT, stream, (), ())
    assert fuzzer.check(case) == ""
    reference = fuzzer.ReferenceReceiver(Role.CLIENT)
    reference.feed(stream)
    assert reference.broken == "text"
    assert not fuzzer.ends_in_surrogate(reference)


@pytest.mark.parametrize("reason", [b"", b"bye", b"\xff"])
@pytest.mark.parametrize("code", range(998, 1018))
def test_close_codes_that_were_registered_later_are_excused(fuzzer, code, reason):
    """wsproto knows no 1014, so it says 1002 where we take it, or look at the reason."""
    payload = code.to_bytes(2, "big") + reason
    stream = fuzzer.frame(9, b"ping") + fuzzer.frame(8, payload)
    assert fuzzer.check(fuzzer.Case(Role.CLIENT, stream)) == ""


def test_a_wrong_code_of_our_own_is_not_excused(fuzzer, monkeypatch):
    """Only what wsproto says of 1014 is."""
    real = fuzzer.ours

    def refuses(case):
        events, answers = real(case)
        return [("closed", 1002) if each == ("closed", 1013) else each for each in events], answers

    monkeypatch.setattr(fuzzer, "ours", refuses)
    monkeypatch.setitem(fuzzer.ORACLES, "reference", lambda case: "")
    case = fuzzer.Case(Role.CLIENT, fuzzer.frame(8, (1013).to_bytes(2, "big")))
    assert "1002" in fuzzer.check(case)


def test_an_oracle_that_raises_is_a_finding(fuzzer, monkeypatch):
    def broken(case):
        raise ZeroDivisionError("of the oracle")

    monkeypatch.setitem(fuzzer.ORACLES, "reference", broken)
    case = fuzzer.Case(Role.SERVER, b"")
    assert fuzzer.check(case) == "reference: ZeroDivisionError: of the oracle"


def test_a_short_run_over_headers_finds_nothing(policy):
    assert policy.fuzz(6454, lambda count: count == 4000) == (4000, "")
    assert policy.fuzz(6454, lambda count: count == 0) == (0, "")


@pytest.mark.parametrize("number", range(4))
def test_planted_bugs_in_headers_are_found(policy, monkeypatch, number):
    """A reader that loses a byte of each cut, gates that are open, a walk from the left."""
    real = policy.ProxyReader.receive
    monkeypatch.setattr(policy.ProxyReader, "receive", lambda self, data: real(self, data[:7]))
    monkeypatch.setattr(policy.OriginPolicy, "check", lambda self, request: None)
    monkeypatch.setattr(policy, "GATES", [lambda request: None])
    resolve = policy.TrustedProxies.resolve

    def from_the_left(self, request, peer):
        name, value = request.headers[-1]
        request.headers[-1] = name, value.split(",")[0]
        return resolve(self, request, peer)

    monkeypatch.setattr(policy.TrustedProxies, "resolve", from_the_left)
    monkeypatch.setattr(policy, "CHECKS", [policy.CHECKS[number]])
    count, problem = policy.fuzz(1, lambda count: count == 500)
    assert problem
    assert count < 500


def test_the_command_runs_for_a_time():
    command = [sys.executable, str(HERE / "run.py"), "--seconds", "0.2", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "seed 1" in done.stdout
    assert "headers" in done.stdout
