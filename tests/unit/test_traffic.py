"""The figures of a connection, as a tuple with names; test_opened.py counts over sockets."""

from __future__ import annotations

from wsfast.traffic import Traffic


def test_its_fields_have_their_order_and_their_names() -> None:
    traffic = Traffic(1.5, 1, 2, 30, 40, None)
    assert traffic._asdict() == {
        "seconds": 1.5,
        "messages_received": 1,
        "messages_sent": 2,
        "bytes_received": 30,
        "bytes_sent": 40,
        "closed_by": None,
    }


def test_every_field_is_explained() -> None:
    assert Traffic.__doc__ is not None
    for name in Traffic._fields:
        assert name in Traffic.__doc__
