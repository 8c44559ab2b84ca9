"""The exceptions: what to catch, and what they carry."""

from __future__ import annotations

import inspect
import pickle

import pytest

from wsfast import errors
from wsfast.errors import (
    ConnectFailed,
    ExtensionFailed,
    HandshakeRefused,
    InvalidURL,
    LocalProtocolError,
    WebSocketError,
)


def test_all_names_are_the_exceptions():
    classes = {name for name, each in vars(errors).items() if inspect.isclass(each)}
    assert classes == set(errors.__all__)


@pytest.mark.parametrize("name", errors.__all__)
def test_one_base_catches_everything(name):
    assert issubclass(getattr(errors, name), WebSocketError)
    assert getattr(errors, name).__doc__


def test_who_knows_only_builtins_catches_them_too():
    assert issubclass(InvalidURL, ValueError)
    assert issubclass(ConnectFailed, ConnectionError)
    assert issubclass(HandshakeRefused, ConnectFailed)
    assert not issubclass(LocalProtocolError, ValueError)


def test_a_refusal_carries_the_answer():
    refused = HandshakeRefused(
        "the server answered 403", status=403, headers=[("server", "x")], body=b"no"
    )
    assert str(refused) == "the server answered 403"
    assert (refused.status, refused.headers, refused.body) == (403, [("server", "x")], b"no")


def test_a_refusal_without_http_has_no_answer():
    refused = HandshakeRefused("the answer is not HTTP")
    assert (refused.status, refused.headers, refused.body) == (0, [], b"")


def test_an_extension_failure_carries_code_and_reason():
    failed = ExtensionFailed(1009, "message exceeds 10 bytes")
    assert (failed.close_code, failed.reason) == (1009, "message exceeds 10 bytes")
    assert str(failed) == "1009: message exceeds 10 bytes"


def test_a_local_error_survives_pickling():
    error = pickle.loads(pickle.dumps(LocalProtocolError("no message to continue")))
    assert type(error) is LocalProtocolError
    assert str(error) == "no message to continue"
