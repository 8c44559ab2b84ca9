"""The events: what they hold, and that they tell themselves apart."""

from __future__ import annotations

import pickle
import typing

import pytest

from wsfast.events import Closed, Event, Ping, Pong

EVENTS = [Ping(b"1"), Pong(b"1"), Closed(1000, "bye")]


def test_fields_have_names():
    assert Ping(b"p").payload == b"p"
    assert Pong(b"q").payload == b"q"
    assert Closed(1000, "bye").close_code == 1000
    assert Closed(1000, "bye").close_reason == "bye"


def test_a_match_statement_reads_them():
    match Closed(1001, "gone"):
        case Closed(code, reason):
            assert (code, reason) == (1001, "gone")
        case _:
            pytest.fail("Closed did not match")


@pytest.mark.parametrize("event", EVENTS, ids=repr)
def test_they_are_values(event):
    assert event == type(event)(*event)
    assert hash(event) == hash(type(event)(*event))
    assert pickle.loads(pickle.dumps(event)) == event
    with pytest.raises(AttributeError):
        setattr(event, event._fields[0], None)


def test_an_event_is_a_message_or_one_of_these():
    assert set(typing.get_args(Event)) == {str, bytes, Ping, Pong, Closed}


@pytest.mark.parametrize("event", EVENTS, ids=repr)
def test_none_of_them_is_a_message(event):
    assert not isinstance(event, str | bytes)
