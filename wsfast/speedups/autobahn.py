"""autobahn: masking, UTF-8 validation, and whole messages received and sent (level frames)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from .target import Level, Originals, Part, Slot, Target, Workload

if TYPE_CHECKING:
    from random import Random

__all__ = ["TARGET"]

PROTOCOL = "autobahn.websocket.protocol"
CONNECTION = f"{PROTOCOL}:WebSocketProtocol"

#: Up to 25.12.2, and from 26.6.1 on; the same in other words.
PROCESS_DATA = frozenset({"9ce522e9c963", "74e911939efb"})
SEND_DATA = frozenset({"fe5db3c7f7ca"})
SEND_FRAME = frozenset({"c35e22948010", "bdfc60fbc072"})
SEND_MESSAGE = frozenset({"ab429b475275", "3b7302f51387"})

#: What processData calls, and processData here stands for.
HOOKS = {
    "onFrameBegin": {"d5db399ac965"},
    "onFrameData": {"7b2483e0ad03", "7aad27182191", "d1f947cdd9a5", "d277ba20e4a0"},
    "onFrameEnd": {"a7647bacef02", "2f335b0eb33e", "835cd86a95ff"},
    "onMessageBegin": {"d17fc4571b36", "ab4c995c7cd6"},
    "onMessageFrameBegin": {"b4ab6a2230f6", "a3925b53c998"},
    "onMessageFrameData": {"b4086a21964c", "a1ab6f675948"},
    "onMessageFrameEnd": {"84ff336f8133"},
    "onMessageFrame": {"3dc48bd2e2aa"},
    "onMessageEnd": {"ce942985dcc5"},
}

#: The same of the two adapters (asyncio, Twisted), which pass the calls on.
FORWARDERS = {
    "_onMessageBegin": {"885054ffedd9", "e249590dd6fc"},
    "_onMessageFrameBegin": {"23cd9e2d8537", "b40be6c8e5e1"},
    "_onMessageFrameData": {"4b846b5e20e1", "1bb5c5397a52"},
    "_onMessageFrameEnd": {"345dd8e8a006", "f874013048a5"},
    "_onMessageFrame": {"1130a262320f", "b426711728a4"},
    "_onMessageEnd": {"17c9fed1dfc1", "73877041e840"},
}


def _check(owner: type, sources: dict[str, set[str]]) -> dict[str, Any]:
    """The methods of these names, if all of them were tested; raises Refused."""
    from .guard import Refused, fingerprint

    found = {name: vars(owner).get(name) for name in sources}
    for name, method in found.items():
        if fingerprint(method) not in sources[name]:
            raise Refused(f"{owner.__module__}:{owner.__name__}.{name}: its source was not tested")
    return found


class Plans:
    """Says for a class of connections what has to be unchanged in it for our processData.

    Args:
        owner: autobahn's WebSocketProtocol, as it is at install.

    Attributes:
        own: adapters of the self-test, which need no check.

    Raises:
        Refused: a method that processData stands for was not tested.
    """

    own: ClassVar[list[type]] = []

    def __init__(self, owner: type) -> None:
        self._owner = owner
        self._hooks = _check(owner, HOOKS)
        self._served: dict[type, bool] = {}

    def __call__(self, connection: type) -> object:
        """`Methods` that have to be unchanged; None if it is no class that we know how to serve.

        NotImplemented is the answer as long as somebody has replaced one of the hooks.
        """
        from .autobahn_receiver import FIELDS, HOOKS
        from .methods import Methods

        if any(vars(self._owner)[name] is not hook for name, hook in self._hooks.items()):
            return NotImplemented
        for adapter, reference in self._adapters():
            if issubclass(connection, adapter) and self._serves(adapter):
                return Methods(reference, HOOKS, FIELDS, -1)
        return None

    def _adapters(self) -> Iterator[tuple[type, type]]:
        for name in ("autobahn.asyncio.websocket", "autobahn.twisted.websocket"):
            module: Any = sys.modules.get(name)
            if hasattr(module, "WebSocketServerProtocol"):  # it may just be importing us
                yield module.WebSocketAdapterProtocol, module.WebSocketServerProtocol
        yield from ((each, each) for each in self.own)

    def _serves(self, adapter: type) -> bool:
        from .guard import Refused

        if adapter in self.own:
            return True
        if adapter not in self._served:
            try:
                _check(adapter, FORWARDERS)
            except Refused:
                self._served[adapter] = False
            else:
                self._served[adapter] = True
        return self._served[adapter]


def _make_process_data(original: Callable[..., bool]) -> Callable[..., bool]:
    from autobahn.websocket.protocol import WebSocketProtocol

    from .autobahn_receiver import make_process_data

    return make_process_data(original, Plans(WebSocketProtocol))


def _masker_parameters() -> tuple[str, str]:
    """Of create_xor_masker: up to 24.4.2 it is wsaccel's where that is installed."""
    from autobahn.websocket.xormasker import create_xor_masker

    taken = create_xor_masker.__module__.startswith("wsaccel")
    return ("mask", "len") if taken else ("mask", "length")


def _slots() -> Sequence[Slot]:
    from .autobahn_sender import Sender
    from .masker import XorMaskerNull, make_create_xor_masker
    from .validator import Utf8Validator

    sender = Sender()
    data = ("self", "data", "sync", "chopsize")
    frame = ("self", "opcode", "payload", "fin", "rsv", "mask", "payload_len", "chopsize", "sync")
    message = ("self", "payload", "isBinary", "fragmentSize", "sync", "doNotCompress")
    slots = []
    for module in (PROTOCOL, "autobahn.websocket.xormasker"):
        where = f"{module}:create_xor_masker"
        slots.append(Slot(where, make_create_xor_masker, parameters=_masker_parameters()))
        slots.append(Slot(f"{module}:XorMaskerNull", lambda original: XorMaskerNull))
    for module in (PROTOCOL, "autobahn.websocket.utf8validator"):
        slots.append(Slot(f"{module}:Utf8Validator", lambda original: Utf8Validator))
    for name, make, parameters, sources in (
        ("processData", _make_process_data, ("self",), PROCESS_DATA),
        ("sendData", sender.make_send_data, data, SEND_DATA),
        ("sendFrame", sender.make_send_frame, frame, SEND_FRAME),
        ("sendMessage", sender.make_send_message, message, SEND_MESSAGE),
    ):
        slots.append(Slot(f"{CONNECTION}.{name}", make, "frames", parameters, sources))
    return slots


def _selftest(originals: Originals, level: Level, random: Random) -> None:
    from .autobahn_selftest import selftest

    selftest(originals, level, random)


def _workloads() -> Sequence[Workload]:
    from .autobahn_selftest import workloads

    return workloads()


TARGET = Target(
    library="autobahn",
    package="autobahn",
    tested=("22.7.1", "26.11"),
    parts=(Part(PROTOCOL, _slots, _selftest),),
    workloads=_workloads,
    note="validators of connections that are open at install stay what they are",
)
