"""What systemd gives a service and wants to hear: listening sockets, and how it is getting on.

Sockets: sd_listen_fds(3). They are inherited from descriptor 3 on, their number, the process that
they are for, and their names stand in the environment. Being able to restart the service while
systemd holds the sockets loses no connection. State: sd_notify(3), datagrams to a Unix socket.

The variables are consumed: a child process would take them for its own.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import MutableMapping

from wsfast.listening import adopt_sockets

__all__ = ["Notifier", "take_sockets"]

_FIRST = 3
_MOST = 1024


def take_sockets(
    environment: MutableMapping[str, str] = os.environ,
) -> list[tuple[str, socket.socket]]:
    """The listening sockets that systemd passed to this process.

    Args:
        environment: LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES are taken from it.

    Returns:
        Pairs of name and socket, the names as in FileDescriptorName= of the .socket unit; without
        names "unknown". Nothing if there are none, or if they are for another process.

    Raises:
        ValueError: a variable does not hold what sd_listen_fds(3) says, or a descriptor is no
            listening stream socket.
        OSError: a descriptor is not open.
    """
    given = {
        name: environment.pop(name, "") for name in ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")
    }
    if not given["LISTEN_FDS"] or _whole("LISTEN_PID", given["LISTEN_PID"]) != os.getpid():
        return []
    count = _whole("LISTEN_FDS", given["LISTEN_FDS"])
    if not 0 < count <= _MOST:
        raise ValueError(f"LISTEN_FDS is {count}, not in 1..{_MOST}")
    names = given["LISTEN_FDNAMES"].split(":") if given["LISTEN_FDNAMES"] else ["unknown"] * count
    if len(names) != count:
        raise ValueError(f"LISTEN_FDNAMES has {len(names)} names for {count} descriptors")
    for fd in range(_FIRST, _FIRST + count):
        os.set_inheritable(fd, False)
    sockets = adopt_sockets(socket.socket(fileno=_FIRST + each) for each in range(count))
    return list(zip(names, sockets, strict=True))


def _whole(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{name} is {text!r}, not a whole number") from None


class Notifier:
    """Tells the service manager how the service is getting on; without one it does nothing.

    Args:
        environment: NOTIFY_SOCKET is taken from it.
    """

    def __init__(self, environment: MutableMapping[str, str] = os.environ) -> None:
        address = environment.pop("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address

    def __call__(self, state: str) -> None:
        """Send a state: READY=1, RELOADING=1 with MONOTONIC_USEC, STOPPING=1, STATUS=text ...

        What cannot be sent is dropped: the service is worth more than news of it.
        """
        if self._address:
            with (
                contextlib.suppress(OSError),
                socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s,
            ):
                s.sendto(state.encode(), self._address)
