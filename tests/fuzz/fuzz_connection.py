"""Random and mutated streams through Connection, with three others as oracles.

Every stream goes through the slow reference (all events, answers and close codes must agree, cut
anywhere) and, where they are installed, through the sans-I/O halves of `websockets` and `wsproto`
(all events and the close code, except where EXCUSED says what they let pass).
"""

from __future__ import annotations

import importlib.util
import random
from collections.abc import Callable
from typing import Any, NamedTuple

from reference_protocol import ReferenceReceiver
from wire import connection, frame, frames_in
from wsfast.events import Closed, Ping, Pong
from wsfast.rfc6455 import Role

__all__ = ["ORACLES", "Case", "check", "fuzz", "golden_case", "make_case", "shrink"]

Check = Callable[["Case"], str]

#: What an oracle does not check, by the reference's word for the rule.
EXCUSED = {
    # Its sans-I/O layer hands text on as bytes, and takes any form of a length.
    "websockets": {"text", "length", "limit"},
    "wsproto": {"limit"},
}

INTERESTING_LENGTHS = [0, 1, 125, 126, 127, 65535, 65536, 2**31, 2**63 - 1, 2**63, 2**64 - 14]
TEXTS = ["", "plain", "grüße", "€", "😀", "\x7f\x80\u07ff\u0800\uffff\U00010000\U0010ffff"]


class Case(NamedTuple):
    """One stream: our role, the peer's bytes, where they are cut, and our limits."""

    role: Role
    data: bytes
    cuts: tuple[int, ...] = ()
    limits: tuple[tuple[str, int], ...] = ()


# --- making streams ------------------------------------------------------------------------------


def make_case(choose: random.Random) -> Case:
    """A random case: frames that are mostly right, then perhaps a mutation of the bytes."""
    role = choose.choice(list(Role))
    frames = [random_frame(choose, role) for _ in range(choose.randint(1, 12))]
    if choose.random() < 0.6:
        frames = [part for _ in range(choose.randint(1, 5)) for part in message(choose, role)]
    data = bytearray(b"".join(frames))
    if choose.random() < 0.5:
        mutate(choose, data)
    cuts = sorted(choose.randint(0, len(data)) for _ in range(choose.choice([0, 1, 3, 20])))
    limits: dict[str, int] = {}
    if choose.random() < 0.3:
        limits = {"max_message_bytes": choose.choice([1, 10, 125, 126, 1000]), "max_fragments": 3}
    return Case(role, bytes(data), tuple(cuts), tuple(limits.items()))


def random_key(choose: random.Random, role: Role) -> bytes | None:
    key = choose.choice([bytes(4), b"\xff" * 4, choose.randbytes(4), choose.randbytes(4)])
    return key if (role is Role.SERVER) == (choose.random() < 0.99) else None


def payload(choose: random.Random) -> bytes:
    """Text, nearly text, or bytes."""
    kind = choose.random()
    if kind < 0.5:
        return "".join(choose.choices(TEXTS, k=choose.randint(0, 8))).encode()
    data = bytearray("".join(choose.choices(TEXTS, k=4)).encode() + choose.randbytes(2))
    choose.shuffle(data)
    return bytes(data) if kind < 0.8 else choose.randbytes(choose.choice([0, 1, 2, 125, 126, 300]))


def random_frame(choose: random.Random, role: Role) -> bytes:
    """Any frame, each field wrong now and then."""
    options: dict[str, Any] = {"fin": choose.random() < 0.8, "key": random_key(choose, role)}
    if choose.random() < 0.05:
        options["rsv"] = choose.randint(1, 7)
    if choose.random() < 0.08:
        options["length"] = choose.choice(INTERESTING_LENGTHS)
        options["form"] = None if options["length"] > 65535 else choose.choice([None, 16, 64])
    opcode = choose.choice([0, 0, 1, 1, 2, 2, 8, 9, 10, choose.randint(0, 15)])
    data = payload(choose)
    if opcode >= 8:
        data = data[: choose.choice([0, 1, 2, 125, 125, 125, 200])]
    if opcode == 8 and choose.random() < 0.9:
        code = choose.choice([1000, 1001, 1005, 1011, 3000, 4999, choose.randint(0, 65535)])
        data = code.to_bytes(2, "big") + data[:123]
    return frame(opcode, data, **options)


def message(choose: random.Random, role: Role) -> list[bytes]:
    """A whole message in order, with control frames in between."""
    parts = [payload(choose) for _ in range(choose.choice([1, 1, 1, 2, 5]))]
    opcode, found = choose.choice([1, 2]), []
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        if choose.random() < 0.2:
            found.append(
                frame(choose.choice([9, 10]), choose.randbytes(3), key=random_key(choose, role))
            )
        key = random_key(choose, role)
        found.append(frame(0 if index else opcode, part, fin=last, key=key))
    return found


def mutate(choose: random.Random, data: bytearray) -> None:
    """Flip, insert, drop or double a few bytes."""
    for _ in range(choose.randint(1, 4)):
        at = choose.randint(0, len(data))
        kind = choose.randrange(4)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << choose.randrange(8)
        elif kind == 1:
            data[at:at] = choose.randbytes(choose.randint(1, 4))
        elif kind == 2:
            del data[at : at + choose.randint(1, 8)]
        else:
            data[at:at] = data[at : at + choose.randint(1, 40)]


# --- oracles -------------------------------------------------------------------------------------


def plain(events: list[Any]) -> list[Any]:
    """Events without the wording of a failure; a str is not equal to what repeats it."""
    return [
        ("closed", event.close_code) if isinstance(event, Closed) else (type(event), event)
        for event in events
    ]


def ours(case: Case) -> tuple[list[Any], list[Any]]:
    """Events and answers of our Connection, fed at the cuts."""
    receiver, _ = connection(case.role, **dict(case.limits))
    events, start = [], 0
    for end in [*case.cuts, len(case.data)]:
        events += receiver.receive(case.data[start:end])
        start = max(start, end)
    answers = [
        (opcode, data[:2] if opcode == 8 else data)
        for opcode, _, _, data in frames_in(receiver.data_to_send())
    ]
    return plain(events), answers


def by_reference(case: Case) -> str:
    """Compare with the reference: "" or what differs."""
    reference = ReferenceReceiver(case.role, **dict(case.limits))  # type: ignore[arg-type]
    expected = plain(reference.feed(case.data))
    for cuts in (case.cuts, (), range(len(case.data))):
        events, answers = ours(case._replace(cuts=tuple(cuts)))
        if events != expected:
            return f"events {events}, reference {expected}"
        if answers != reference.answers:
            return f"answers {answers}, reference {reference.answers}"
    return ""


def by_websockets(case: Case) -> str:
    """Compare with websockets' Protocol at our end of the connection."""
    from websockets.protocol import CLIENT, SERVER, Protocol

    peer = Protocol(SERVER if case.role is Role.SERVER else CLIENT, max_size=None)
    peer.receive_data(case.data)
    events: list[Any] = []
    parts: list[bytes] = []
    is_text = False
    for each in peer.events_received():
        code = int(each.opcode)  # type: ignore[union-attr]
        data = bytes(each.data)  # type: ignore[union-attr]
        if code in (9, 10):
            events.append((Ping if code == 9 else Pong)(data))
        elif code < 8:
            is_text = code == 1 if code else is_text
            parts.append(data)
            if each.fin:  # type: ignore[union-attr]
                whole, parts = b"".join(parts), []
                events.append(whole.decode(errors="replace") if is_text else whole)
    sent = peer.close_sent or peer.close_rcvd
    found = plain(events) + ([("closed", sent.code)] if sent else [])
    return differs("websockets", case, found)


def by_wsproto(case: Case) -> str:
    """Compare with wsproto's Connection at our end; it hands messages on in pieces."""
    from wsproto import ConnectionType, events
    from wsproto.connection import Connection as Peer

    peer = Peer(ConnectionType.SERVER if case.role is Role.SERVER else ConnectionType.CLIENT)
    peer.receive_data(case.data)
    found: list[Any] = []
    parts: list[Any] = []
    for each in peer.events():
        if isinstance(each, events.Ping | events.Pong):
            kind = Ping if isinstance(each, events.Ping) else Pong
            found.append(kind(bytes(each.payload)))
        elif isinstance(each, events.CloseConnection):
            found.append(Closed(int(each.code), ""))
            break
        elif isinstance(each, events.Message):
            parts.append(each.data if isinstance(each.data, str) else bytes(each.data))
            if each.message_finished:
                found.append(type(parts[0])().join(parts))
                parts = []
    return differs("wsproto", case, plain(found))


def differs(name: str, case: Case, found: list[Any]) -> str:
    """Compare an oracle's events with ours, unless it is known not to check the rule."""
    reference = ReferenceReceiver(case.role, max_message_bytes=1 << 62)
    reference.feed(case.data)
    if reference.broken in EXCUSED[name]:
        return ""
    if name == "websockets" and reference.message is not None and not reference.broken:
        return ""  # it takes a Close inside of a fragmented message for an error
    events, _ = ours(case._replace(limits=(("max_message_bytes", (1 << 62) - 1),)))
    if reference.broken == "close code":  # with a bad reason, too, either code is right
        found = [("closed", 1002) if each == ("closed", 1007) else each for each in found]
    if name == "wsproto" and ends_in_surrogate(reference):
        found = [*found[: len(events) - 1], *events[-1:]]  # what came before agrees, or not
    if name == "wsproto" and says_bad_gateway(reference) and found[-1:] == [("closed", 1002)]:
        found[-1:] = events[-1:]
    waits = reference.broken and found == events[:-1]  # it judges a frame when all of it is there
    return "" if events == found or waits else f"events {events}, {name} {found}"


def ends_in_surrogate(reference: ReferenceReceiver) -> bool:
    """Whether text was broken by the second byte of a surrogate (ED A0 to ED BF).

    CPython's incremental decoder, which wsproto uses, waits for the third byte before it says so:
    until then anything else may come, and break another rule.
    """
    text = bytes(reference.message or b"") + bytes(reference.payload)
    return reference.broken == "text" and text[-2:-1] == b"\xed" and text[-1] >= 0xA0


def says_bad_gateway(reference: ReferenceReceiver) -> bool:
    """Whether it ended with a Close of 1014, which IANA's registry has and wsproto lacks."""
    ended = reference.close_code is not None and reference.opcode == 8
    return ended and reference.payload[:2] == (1014).to_bytes(2, "big")


def installed() -> dict[str, Check]:
    oracles: dict[str, Check] = {"reference": by_reference}
    for name, compare in (("websockets", by_websockets), ("wsproto", by_wsproto)):
        if importlib.util.find_spec(name):
            oracles[name] = compare
    return oracles


#: Whoever is here to compare with.
ORACLES = installed()


# --- running -------------------------------------------------------------------------------------


def check(case: Case) -> str:
    """What any oracle says against us: "" if nothing."""
    for name, compare in ORACLES.items():
        try:
            problem = compare(case)
        except Exception as error:
            return f"{name}: {type(error).__name__}: {error}"
        if problem:
            return f"{name}: {problem}"
    return ""


def shrink(case: Case, fails: Check = check) -> Case:
    """A shorter stream that fails as well: drop cuts, then ever smaller pieces."""
    for fewer in (case._replace(cuts=()), case._replace(limits=())):
        if fails(fewer):
            case = fewer
    size = len(case.data)
    while size:
        at = 0
        while at < len(case.data):
            shorter = case._replace(data=case.data[:at] + case.data[at + size :])
            if fails(shorter):
                case = shorter
            else:
                at += size
        size //= 2
    return case


def golden_case(case: Case) -> str:
    """The script of a case for tests/golden: a crash becomes a dialogue."""
    limits = "".join(f" {name}={value}" for name, value in case.limits)
    return f"```{case.role.name.lower()}{limits}\n< {case.data.hex(' ')}\n```"


def fuzz(seed: int, done: Callable[[int], bool]) -> tuple[int, Case | None]:
    """Check cases until done(number of cases) or one fails: (cases, the failing one or None)."""
    choose = random.Random(seed)
    count = 0
    while not done(count):
        case = make_case(choose)
        count += 1
        if check(case):
            return count, shrink(case)
    return count, None
