"""Sockets from systemd, and news for it: consumed, checked, and nothing for other processes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import wsfast.activation
from wsfast.activation import Notifier, take_sockets

ROOT = Path(wsfast.activation.__file__).resolve().parents[1]

#: Puts the descriptors of its arguments at 3, 4 ... and asks for them.
TAKE = """
import os, sys
given = [int(each) for each in sys.argv[2:]]
for number, fd in enumerate(given):
    os.dup2(fd, 100 + number)
for number in range(len(given)):
    os.dup2(100 + number, 3 + number)
os.environ.update({"LISTEN_FDS": str(len(given)), "LISTEN_PID": str(os.getpid())})
if sys.argv[1]:
    os.environ["LISTEN_FDNAMES"] = sys.argv[1]
from wsfast.activation import take_sockets
try:
    for name, each in take_sockets():
        blocking, inherited = each.getblocking(), os.get_inheritable(each.fileno())
        print(name, each.fileno(), each.getsockname()[1], blocking, inherited)
except Exception as error:
    print(type(error).__name__, error)
print(sorted(name for name in os.environ if name.startswith("LISTEN_")))
"""


def taken(names: str, *sockets: socket.socket) -> list[str]:
    """What a process prints that was given these sockets."""
    numbers = [each.fileno() for each in sockets]
    done = subprocess.run(
        [sys.executable, "-c", TAKE, names, *map(str, numbers)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        pass_fds=numbers,
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.returncode == 0, done.stderr
    *lines, variables = done.stdout.splitlines()
    assert variables == "[]", "consumed, whatever came of it"
    return lines


@pytest.mark.parametrize(
    ("names", "expected"), [("", ["unknown", "unknown"]), ("web:admin", ["web", "admin"])]
)
def test_sockets_and_their_names(names: str, expected: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("", 0)) as two:
        ports = [one.getsockname()[1], two.getsockname()[1]]
        assert taken(names, one, two) == [
            f"{name} {fd} {port} False False"
            for name, fd, port in zip(expected, (3, 4), ports, strict=True)
        ]


def test_what_cannot_accept_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.socket() as idle:
        assert "ValueError descriptor 4 does not listen" in taken("", one, idle)[0]
        with socket.socket(type=socket.SOCK_DGRAM) as packets:
            assert "ValueError descriptor 3 is no stream socket" in taken("", packets)[0]
        assert taken("a:b:c", one) == ["ValueError LISTEN_FDNAMES has 3 names for 1 descriptors"]


@pytest.mark.parametrize(
    "environment",
    [{}, {"LISTEN_PID": "1"}, {"LISTEN_FDS": "2", "LISTEN_PID": "1", "LISTEN_FDNAMES": "a:b"}],
)
def test_nothing_for_this_process(environment: dict[str, str]) -> None:
    taken = dict(environment)
    assert take_sockets(taken) == []
    assert taken == {}


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"LISTEN_FDS": "1"}, "LISTEN_PID is '', not a whole number"),
        ({"LISTEN_FDS": "1", "LISTEN_PID": "me"}, "LISTEN_PID is 'me'"),
        ({"LISTEN_FDS": "x", "LISTEN_PID": str(os.getpid())}, "LISTEN_FDS is 'x'"),
        ({"LISTEN_FDS": "0", "LISTEN_PID": str(os.getpid())}, "LISTEN_FDS is 0, not in 1..1024"),
        ({"LISTEN_FDS": "-1", "LISTEN_PID": str(os.getpid())}, "LISTEN_FDS is -1"),
    ],
)
def test_variables_that_are_wrong_are_named(environment: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        take_sockets(dict(environment))


@pytest.mark.parametrize("abstract", [False, True])
def test_news_go_to_the_socket_that_is_named(tmp_path: Path, abstract: bool) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(10)
        name = f"wsfast-{os.getpid()}" if abstract else str(tmp_path / "notify")
        manager.bind(f"\0{name}" if abstract else name)
        environment = {"NOTIFY_SOCKET": f"@{name}" if abstract else name}
        notify = Notifier(environment)
        assert environment == {}
        notify("READY=1")
        notify("STATUS=läuft\nSTOPPING=1")
        assert manager.recv(100) == b"READY=1"
        assert manager.recv(100) == "STATUS=läuft\nSTOPPING=1".encode()


def test_without_a_manager_nothing_happens(tmp_path: Path) -> None:
    Notifier({})("READY=1")
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")})("READY=1")
