"""What the compiled replacements know of websockets: its names, and the hooks that they honour."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

pytest.importorskip("websockets")

from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode

from wsfast import speedups
from wsfast.speedups.websockets_names import Names


@pytest.mark.parametrize("deflate", [PerMessageDeflate, None])
def test_it_knows_the_classes_and_the_members(deflate: Any) -> None:
    names = Names(deflate)
    assert names.Frame is Frame
    assert len(names.opcodes) == 16
    assert [each for each in names.opcodes if each is not None] == sorted(Opcode)
    assert all(names.opcodes[each] is each for each in Opcode)
    assert names.opcodes[3] is names.opcodes[15] is None


def test_it_can_be_made_while_the_library_is_replaced() -> None:
    with speedups.installed("websockets", strict=True):
        assert Names(PerMessageDeflate).Frame is Frame


def test_it_is_not_pickled() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Names(None))
