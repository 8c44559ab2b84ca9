"""wsfast.session: authentication after the upgrade, as pure state."""

from __future__ import annotations

import json
import math
import random

import pytest

from wsfast.session import (
    DELIVER,
    UNAUTHORIZED,
    ClientSession,
    Dialect,
    Grant,
    Session,
    SessionPolicy,
    SessionState,
    Step,
)

WAITING, AUTHENTICATED = SessionState.WAITING, SessionState.AUTHENTICATED
REAUTHENTICATING, ENDED = SessionState.REAUTHENTICATING, SessionState.ENDED
NOTHING = Step()

GRANTS = {
    "forever": Grant("alice"),
    "hour": Grant("alice", 3600),
    "minute": Grant("alice", 60.0),
    "over": Grant("alice", 0),
    "past": Grant("alice", -1),
    "nan": Grant("alice", math.nan),
    "bob": Grant("bob"),
}


def session(now=1000.0, **options):
    return Session(SessionPolicy(GRANTS.get, **options), now)


def opened(credential="minute", **options):
    made = session(**options)
    assert made.receive(f"authenticate {credential}", 1000).grant == GRANTS[credential]
    return made


def assert_ended(made, step, reason):
    assert made.state is ENDED
    assert made.deadline == math.inf
    assert reason in step.close_reason
    assert len(step.close_reason.encode()) <= 123  # what a Close frame holds, RFC 6455 5.5
    assert step == Step(close_reason=step.close_reason)


def test_a_message_is_delivered_by_one_step():
    """The same object each time, so that it can be told by `is`."""
    made = opened()
    assert made.receive("a", 1001) is made.receive("b", 1002) is DELIVER
    assert DELIVER == Step(deliver=True)


def test_the_close_code_is_the_applications():
    assert UNAUTHORIZED == 4401


def test_the_first_message_authenticates():
    made = session()
    assert (made.state, made.grant, made.deadline) == (WAITING, None, 1010)
    assert made.receive("authenticate forever", 1009.9) == Step(grant=Grant("alice"))
    assert (made.state, made.grant, made.deadline) == (AUTHENTICATED, Grant("alice"), math.inf)
    for message in ("hello", b"hello", memoryview(b"hello"), "reauthenticate", ""):
        assert made.receive(message, 1e9) == DELIVER


@pytest.mark.parametrize("message", ["hello", "", "authenticate", "Authenticate x", b"", b"x"])
def test_nothing_else_is_delivered_first(message):
    made = session()
    assert_ended(made, made.receive(message, 1001), "first message is no credential")


@pytest.mark.parametrize("credential", ["", "wrong", " minute", "minute "])
def test_a_wrong_credential_ends_it(credential):
    made = session()
    step = made.receive(f"authenticate {credential}", 1001)
    assert_ended(made, step, "not accepted")


@pytest.mark.parametrize("credential", ["over", "past", "nan"])
def test_an_expired_credential_ends_it(credential):
    made = session()
    step = made.receive(f"authenticate {credential}", 1001)
    assert_ended(made, step, "has expired")


def test_there_is_one_attempt():
    made = session()
    made.receive("authenticate wrong", 1001)
    assert made.receive("authenticate forever", 1002) == NOTHING
    assert made.receive("hello", 1002) == NOTHING
    assert made.tick(2000) == NOTHING
    assert made.state is ENDED


def test_the_first_message_has_a_deadline():
    made = session(deadline_seconds=5)
    assert made.tick(1004.99) == NOTHING
    assert_ended(made, made.tick(1005), "within 5 s")


def test_a_credential_that_comes_late_is_late():
    """Though the timer has not fired yet."""
    made = session(deadline_seconds=5)
    assert_ended(made, made.receive("authenticate forever", 1005), "within 5 s")
    assert made.grant is None


# --- expiry --------------------------------------------------------------------------------------


def test_expiry_closes():
    made = opened()
    assert made.deadline == 1060
    assert made.receive("hello", 1059.9) == DELIVER
    assert made.tick(1059.9) == NOTHING
    assert_ended(made, made.tick(1060), "has expired")


def test_nothing_is_delivered_after_expiry_though_the_timer_is_late():
    made = opened()
    assert_ended(made, made.receive("hello", 1060), "has expired")
    assert made.receive("hello", 1061) == NOTHING


def test_expiry_may_ask():
    made = opened(on_expiry="ask", grace_seconds=7)
    assert made.tick(1060.5) == Step(send="reauthenticate")
    assert (made.state, made.deadline) == (REAUTHENTICATING, 1067)
    assert made.receive("hello", 1061) == DELIVER
    assert made.tick(1062) == NOTHING
    assert made.receive("authenticate hour", 1063) == Step(grant=GRANTS["hour"])
    assert (made.state, made.deadline) == (AUTHENTICATED, 1063 + 3600)
    assert made.tick(1063 + 3600) == Step(send="reauthenticate")


def test_a_message_may_come_before_the_timer_that_asks():
    made = opened(on_expiry="ask")
    assert made.receive("hello", 1060) == Step(deliver=True, send="reauthenticate")
    made = opened(on_expiry="ask")
    step = made.receive("authenticate hour", 1060)
    assert step == Step(grant=GRANTS["hour"], send="reauthenticate")
    made = opened(on_expiry="ask")
    assert_ended(made, made.receive("authenticate wrong", 1060), "not accepted")


def test_grace_ends():
    made = opened(on_expiry="ask", grace_seconds=7)
    made.tick(1060)
    assert_ended(made, made.tick(1067), "within 7 s")
    made = opened(on_expiry="ask", grace_seconds=7)
    made.tick(1060)
    assert_ended(made, made.receive("authenticate hour", 1067), "within 7 s")


def test_a_loop_that_was_late_gives_no_longer_grace():
    made = opened(on_expiry="ask", grace_seconds=7)
    assert_ended(made, made.tick(1067), "has expired")


def test_a_wrong_answer_ends_it():
    made = opened(on_expiry="ask")
    made.tick(1060)
    assert_ended(made, made.receive("authenticate wrong", 1061), "not accepted")


def test_a_client_may_renew_before_it_is_asked():
    made = opened()
    assert made.receive("authenticate hour", 1030) == Step(grant=GRANTS["hour"])
    assert made.deadline == 1030 + 3600
    assert made.receive("authenticate forever", 1031) == Step(grant=GRANTS["forever"])
    assert made.deadline == math.inf


@pytest.mark.parametrize("asked", [False, True])
def test_a_client_stays_who_it_was(asked):
    made = opened(on_expiry="ask")
    if asked:
        made.tick(1060)
    step = made.receive("authenticate bob", 1061 if asked else 1001)
    assert_ended(made, step, "somebody else's")
    assert made.grant.subject == "alice"


# --- misuse --------------------------------------------------------------------------------------


def test_verify_returns_a_grant_or_none():
    """True, or a coroutine that nobody awaits, must not let anybody in."""
    for answer in (True, False, "alice", 0):
        made = Session(SessionPolicy(lambda credential, answer=answer: answer), 0)
        with pytest.raises(TypeError, match="neither a Grant nor None"):
            made.receive("authenticate x", 0)
        assert made.state is WAITING


def test_what_verify_raises_passes():
    def verify(credential):
        raise ZeroDivisionError(credential)

    made = Session(SessionPolicy(verify), 0)
    with pytest.raises(ZeroDivisionError, match="x"):
        made.receive("authenticate x", 0)
    assert (made.state, made.grant) == (WAITING, None)


@pytest.mark.parametrize("name", ["deadline_seconds", "grace_seconds"])
@pytest.mark.parametrize("seconds", [0, -1, math.inf, math.nan])
def test_a_deadline_is_a_time(name, seconds):
    with pytest.raises(ValueError, match=name):
        SessionPolicy(GRANTS.get, **{name: seconds})


def test_other_misuse():
    with pytest.raises(ValueError, match="on_expiry is 'wait'"):
        SessionPolicy(GRANTS.get, on_expiry="wait")
    with pytest.raises(TypeError, match="cannot be called"):
        SessionPolicy(GRANTS)
    with pytest.raises(TypeError, match="cannot be called"):
        ClientSession("token")


# --- an answer that takes its time ---------------------------------------------------------------


class Promise:
    """What an asynchronous verify returns; nobody awaits it here."""

    def __await__(self):
        raise AssertionError

    def __eq__(self, other):
        return isinstance(other, Promise)

    __hash__ = object.__hash__


def promising(now=1000.0, **options):
    return Session(SessionPolicy(lambda credential: Promise(), **options), now)


def asked(made, now=1001):
    """Have a credential verified; what it says is not known yet."""
    assert made.receive("authenticate x", now) == Step(verify=Promise())
    assert made.verifying


def granted(name="minute", **options):
    made = promising(**options)
    asked(made, 1000)
    assert made.judge(GRANTS[name], 1000) == Step(grant=GRANTS[name])
    return made


def test_an_answer_may_take_its_time():
    made = promising()
    asked(made)
    assert (made.state, made.grant, made.deadline) == (WAITING, None, 1010)
    assert made.judge(GRANTS["minute"], 1005) == Step(grant=GRANTS["minute"])
    assert (made.state, made.verifying) == (AUTHENTICATED, False)
    assert made.deadline == 1065, "it counts from the answer"
    assert made.receive("hello", 1006) == DELIVER


@pytest.mark.parametrize("message", ["hello", b"x", "", "authenticate y"])
def test_whatever_comes_behind_the_first_one_is_held(message):
    made = promising()
    asked(made)
    assert made.receive(message, 1002) == Step(hold=True)
    assert (made.state, made.verifying) == (WAITING, True)
    made.judge(GRANTS["forever"], 1003)
    step = made.receive(message, 1003)
    assert step == (Step(verify=Promise()) if message == "authenticate y" else DELIVER)


@pytest.mark.parametrize(
    ("grant", "reason"),
    [(None, "not accepted"), (Grant("alice", 0), "has expired")],
)
def test_an_answer_may_be_no(grant, reason):
    made = promising()
    asked(made)
    assert_ended(made, made.judge(grant, 1002), reason)
    assert not made.verifying
    assert made.receive("hello", 1003) == NOTHING


def test_the_deadline_goes_on_meanwhile():
    for look in (
        lambda made: made.tick(1010),
        lambda made: made.receive("hello", 1010),
        lambda made: made.judge(GRANTS["forever"], 1010),
    ):
        made = promising()
        asked(made, 1009)
        assert_ended(made, look(made), "no credential was verified within 10 s")
        assert made.judge(GRANTS["forever"], 1011) == NOTHING, "nobody waits for it any more"
        assert made.grant is None


@pytest.mark.parametrize("answer", [True, False, "alice", 0, Promise()])
def test_an_answer_is_a_grant_or_none_as_well(answer):
    made = promising()
    asked(made)
    with pytest.raises(TypeError, match="neither a Grant nor None"):
        made.judge(answer, 1002)
    assert (made.state, made.grant) == (WAITING, None)
    assert made.receive("hello", 1003) == Step(hold=True)


def test_messages_pass_while_a_newer_one_is_verified():
    made = granted()
    asked(made, 1050)
    assert made.receive("hello", 1051) is DELIVER
    assert made.receive("authenticate y", 1052) == Step(hold=True)
    assert made.judge(GRANTS["hour"], 1053) == Step(grant=GRANTS["hour"])
    assert made.deadline == 1053 + 3600


def test_the_old_one_expires_while_a_newer_one_is_verified():
    made = granted()
    asked(made, 1059)
    assert_ended(made, made.tick(1060), "the credential has expired")


def test_nobody_is_asked_for_one_that_is_being_verified():
    made = granted(on_expiry="ask", grace_seconds=7)
    asked(made, 1059)
    assert made.tick(1060) == NOTHING
    assert (made.state, made.deadline) == (REAUTHENTICATING, 1067)
    assert made.receive("hello", 1061) == DELIVER
    assert made.judge(GRANTS["hour"], 1062) == Step(grant=GRANTS["hour"])
    assert made.state is AUTHENTICATED


def test_the_grace_goes_on_meanwhile():
    made = granted(on_expiry="ask", grace_seconds=7)
    assert made.tick(1060) == Step(send="reauthenticate")
    asked(made, 1066)
    assert_ended(made, made.tick(1067), "no new credential was verified within 7 s")


def test_the_answer_may_come_before_the_timer():
    made = granted(on_expiry="ask", grace_seconds=7)
    asked(made, 1059)
    assert made.judge(GRANTS["hour"], 1061) == Step(grant=GRANTS["hour"])
    made = granted(on_expiry="ask", grace_seconds=7)
    asked(made, 1059)
    assert_ended(made, made.judge(GRANTS["hour"], 1067), "has expired")


def test_a_newer_one_of_somebody_else():
    made = granted()
    asked(made, 1001)
    assert_ended(made, made.judge(GRANTS["bob"], 1002), "somebody else's")


@pytest.mark.parametrize("seed", range(20))
def test_whatever_comes_nothing_is_delivered_before_an_answer(seed):
    choose = random.Random(seed)
    made = promising(now=0, on_expiry=choose.choice(["ask", "close"]))
    now, valid_until, pending = 0.0, None, False
    for _ in range(300):
        now += choose.choice([0, 0.1, 1, 5])
        action = choose.choice(["message", "message", "credential", "tick", "answer"])
        if action == "answer" and not pending:
            continue
        if action == "answer":
            grant = GRANTS[choose.choice(["minute", "forever", "hour"])]
            step, pending = made.judge(grant, now), False
            if step.grant is not None:
                valid_until = math.inf if grant.seconds is None else now + grant.seconds
        elif action == "tick":
            step = made.tick(now)
        else:
            step = made.receive("authenticate x" if action == "credential" else "hello", now)
        if made.state is ENDED:
            assert not made.verifying and not step.deliver
            assert made.receive("hello", now) == NOTHING
            return
        assert (step.verify is None) or not pending, "one at a time"
        pending = pending or step.verify is not None
        assert made.verifying == pending
        if step.deliver:
            grace = 10 if made.state is REAUTHENTICATING else 0
            assert valid_until is not None and now < valid_until + grace
        if step.hold:
            assert pending and (action == "credential" or valid_until is None)


# --- both ends, and other languages --------------------------------------------------------------


class Json(Dialect):
    """As an application would write it."""

    __slots__ = ()

    def read(self, message):
        try:
            value = json.loads(message)
        except (ValueError, TypeError):
            return None
        return value.get("token") if isinstance(value, dict) else None

    def write(self, credential):
        return json.dumps({"token": credential})

    def asks(self, message):
        return message == self.challenge


@pytest.mark.parametrize(
    "dialect", [Dialect(), Dialect("", "?"), Json(challenge='{"ask":1}')], ids=repr
)
def test_client_and_server_understand_each_other(dialect):
    policy = SessionPolicy(GRANTS.get, on_expiry="ask", dialect=dialect)
    server = Session(policy, 0)
    credentials = iter(["minute", "hour", "forever"])
    client = ClientSession(lambda: next(credentials), dialect)
    step = server.receive(client.present().send, 0)
    assert step.grant == GRANTS["minute"]
    step = client.receive(server.tick(60).send)
    assert not step.deliver
    assert server.receive(step.send, 61).grant == GRANTS["hour"]
    assert server.receive(client.present().send, 62).grant == GRANTS["forever"]
    assert client.receive("hello") == DELIVER
    assert client.receive(b"\xff") == DELIVER


def test_a_client_may_have_no_credential_any_more():
    client = ClientSession(lambda: None)
    assert client.present() == NOTHING
    assert client.receive("reauthenticate") == NOTHING


@pytest.mark.parametrize("seed", range(20))
def test_whatever_comes_nothing_is_delivered_without_a_grant(seed):
    """Random messages at random times against the rule, said another way."""
    choose = random.Random(seed)
    made = session(now=0, on_expiry=choose.choice(["ask", "close"]))
    now, valid_until, ended = 0.0, None, False
    for _ in range(200):
        now += choose.choice([0, 0.1, 5, 30])
        credential = choose.choice(list(GRANTS)) if choose.random() < 0.3 else None
        message = "hello" if credential is None else f"authenticate {credential}"
        step = made.receive(message, now) if choose.random() < 0.8 else made.tick(now)
        if ended:
            assert step == NOTHING
        if step.grant is not None:
            valid_until = math.inf if step.grant.seconds is None else now + step.grant.seconds
        if step.deliver:
            grace = 10 if made.state is REAUTHENTICATING else 0
            assert valid_until is not None
            assert now < valid_until + grace
            assert step.grant is None
        ended = ended or step.close_reason is not None
        assert ended is (made.state is ENDED)
