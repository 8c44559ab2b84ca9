"""Mutated PROXY headers, origins, credentials and addresses against what must hold of them.

There is no second implementation to compare with; what must hold is said here: nothing raises,
a PROXY header means the same however it is cut, nobody gets in who did not before the mutation
except by another spelling of the same, and what a client makes up in front of a proxy's entry
never changes who it is.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from wsfast.credentials import Basic, Bearer
from wsfast.forwarded import TrustedProxies
from wsfast.head import Request
from wsfast.origin import OriginPolicy
from wsfast.proxy import ProxyHeader, ProxyReader, crc32c

__all__ = ["CHECKS", "fuzz"]

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
PROXY = ("10.0.0.1", 4711)
POLICY = OriginPolicy(["https://example.com", "http://[2001:db8::1]:8080"])
ORIGINS = ["https://example.com", "http://[2001:db8::1]:8080", "https://example.com:443"]
CREDENTIALS = ["Basic dTpwYXNz", "Bearer t0k.en", "basic  dTpwYXNz"]
GATES = [Basic({"u": "pass"}), Bearer(["t0k.en"])]
ENTRIES = ["1.2.3.4", "10.0.0.2", "[::1]:80", "unknown", 'for="[::1]:80"', "for=6.6.6.6;host=a"]


def _checked(body: bytes) -> bytes:
    """A binary header with its checksum."""
    size = (len(body) + 7).to_bytes(2, "big")
    header = SIGNATURE + b"\x21\x11" + size + body + b"\x03\0\4"
    return header + crc32c(header + bytes(4))


HEADERS = [
    SIGNATURE + b"\x21\x11\0\x0c" + bytes(range(12)),
    SIGNATURE + b"\x21\x21\0\x29" + bytes(range(36)) + b"\x04\0\2ab",
    SIGNATURE + b"\x20\0\0\0",
    _checked(bytes(range(12))),
    b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
    b"PROXY TCP6 ::1 ::2 1 2\r\n",
    b"PROXY UNKNOWN\r\n",
]


def mutated(choose: random.Random, data: bytes) -> bytes:
    """A few bytes changed, dropped or put in."""
    raw = bytearray(data)
    for _ in range(choose.randrange(4)):
        at = choose.randrange(len(raw) + 1)
        raw[at : at + choose.randrange(3)] = choose.randbytes(choose.randrange(3))
    return bytes(raw)


def mutated_text(choose: random.Random, text: str) -> str:
    """As a header value comes: latin-1, without its line's end."""
    raw = mutated(choose, text.encode("latin-1")).decode("latin-1")
    return raw.translate({0: None, 10: None, 13: None})


def request(name: str, value: str) -> Request:
    return Request("GET", "/", "1.1", [("host", "internal"), (name, value)])


def check_proxy(choose: random.Random) -> str:
    """A header means the same however it is cut."""
    data = mutated(choose, choose.choice(HEADERS)) + choose.randbytes(choose.randrange(8))
    whole, cut = ProxyReader(), ProxyReader()
    expected, found, at = whole.receive(data), cut.receive(b""), 0
    while at < len(data):
        size = choose.randrange(1, 9)
        found, at = cut.receive(data[at : at + size]), at + size
    if type(found) is not type(expected):
        return f"{data!r}: whole {expected}, cut {found}"
    if isinstance(found, ProxyHeader) and (found, cut.trailing) != (expected, whole.trailing):
        return f"{data!r}: whole {expected}, {whole.trailing!r}, cut {found}, {cut.trailing!r}"
    return ""


def check_origin(choose: random.Random) -> str:
    """What gets in is one of the origins but for case, the own port and zeros."""
    origin = mutated_text(choose, choose.choice(ORIGINS))
    if POLICY.check(request("origin", origin)) is not None:
        return ""
    plain = origin.lower()
    if plain.removesuffix(":443").replace(":0", ":").startswith("https://example.com"):
        return "" if plain.rstrip("0123456789:") == "https://example.com" else origin
    return "" if plain.startswith("http://[2001:") and plain.endswith("8080") else origin


def check_credentials(choose: random.Random) -> str:
    """What gets in is one of the credentials but for the scheme's case and spaces."""
    value = mutated_text(choose, choose.choice(CREDENTIALS))
    if all(gate(request("authorization", value)) is not None for gate in GATES):
        return ""
    scheme, _, rest = value.partition(" ")
    known = {"basic": "dTpwYXNz", "bearer": "t0k.en"}
    return "" if known.get(scheme.lower()) == rest.lstrip(" ") else value


def check_forwarded(choose: random.Random) -> str:
    """Whatever stands left of a proxy's entry, the entry holds."""
    made_up = ", ".join(choose.choices(ENTRIES, k=choose.randrange(4)))
    made_up = mutated_text(choose, made_up)
    for style, name, entry in (
        ("x-forwarded", "x-forwarded-for", "1.2.3.4:80"),
        ("forwarded", "forwarded", 'for="1.2.3.4:80";host="a,b\\""'),
    ):
        proxies = TrustedProxies(["10.0.0.0/8"], style)
        found = proxies.resolve(request(name, f"{made_up}, {entry}"), PROXY)
        if found.address != ("1.2.3.4", 80):
            return f"{name}: {made_up!r}, {entry} is {found}"
    return ""


#: Each makes a case, and says what does not hold of it: "" if all does.
CHECKS: list[Callable[[random.Random], str]] = [
    check_proxy,
    check_origin,
    check_credentials,
    check_forwarded,
]


def fuzz(seed: int, done: Callable[[int], bool]) -> tuple[int, str]:
    """Check cases until done(number of cases) or one fails: (cases, what failed or "")."""
    choose = random.Random(seed)
    count, problem = 0, ""
    while not problem and not done(count):
        problem = CHECKS[count % len(CHECKS)](choose)
        count += 1
    return count, problem
