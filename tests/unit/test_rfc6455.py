"""The numbers of the standard, compared with its text."""

from __future__ import annotations

import pytest

from reference_protocol import close_code_may_travel
from wsfast import rfc6455
from wsfast.rfc6455 import CloseCode, Opcode, Role, State, is_sendable_close_code


def test_opcodes_of_section_11_8():
    assert {opcode.name: int(opcode) for opcode in Opcode} == {
        "CONTINUATION": 0,
        "TEXT": 1,
        "BINARY": 2,
        "CLOSE": 8,
        "PING": 9,
        "PONG": 10,
    }


def test_close_codes_have_their_registered_names():
    assert {code.name: int(code) for code in CloseCode} == {
        "NORMAL_CLOSURE": 1000,
        "GOING_AWAY": 1001,
        "PROTOCOL_ERROR": 1002,
        "UNSUPPORTED_DATA": 1003,
        "NO_STATUS_RCVD": 1005,
        "ABNORMAL_CLOSURE": 1006,
        "INVALID_FRAME_PAYLOAD_DATA": 1007,
        "POLICY_VIOLATION": 1008,
        "MESSAGE_TOO_BIG": 1009,
        "MANDATORY_EXTENSION": 1010,
        "INTERNAL_ERROR": 1011,
        "SERVICE_RESTART": 1012,
        "TRY_AGAIN_LATER": 1013,
        "BAD_GATEWAY": 1014,
        "TLS_HANDSHAKE": 1015,
    }


@pytest.mark.parametrize("thousand", range(-1, 71))
def test_every_close_code_may_travel_or_not(thousand):
    for code in range(thousand * 1000, thousand * 1000 + 1000):
        assert is_sendable_close_code(code) == close_code_may_travel(code), code


def test_registered_codes_that_never_travel():
    stay = [code.name for code in CloseCode if not is_sendable_close_code(code)]
    assert stay == ["NO_STATUS_RCVD", "ABNORMAL_CLOSURE", "TLS_HANDSHAKE"]


def test_numbers():
    assert rfc6455.GUID == b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    assert rfc6455.VERSION == 13
    assert rfc6455.MAX_CONTROL_PAYLOAD == 125
    assert rfc6455.MAX_REASON_BYTES == 123
    assert rfc6455.MAX_HEADER_BYTES == 2 + 8 + 4


def test_roles_and_states():
    assert [role.name for role in Role] == ["CLIENT", "SERVER"]
    assert [state.name for state in State] == ["CONNECTING", "OPEN", "CLOSING", "CLOSED"]
