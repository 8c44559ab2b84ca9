"""Our client in the hands of Autobahn's fuzzingserver: asks for the cases, echoes in each.

python tests/autobahn/client.py ws://127.0.0.1:PORT AGENT
"""

from __future__ import annotations

import sys
from urllib.parse import urlencode

from wsfast.client import connect
from wsfast.endpoint import Endpoint
from wsfast.limits import Limits
from wsfast.loop import Loop

__all__ = ["main"]

CASE_SECONDS = 110.0  # more than the suite allows its slowest case
#: On a busy machine the suite takes seconds to answer a request.
LIMITS = Limits(max_message_bytes=16 << 20, opening_seconds=60)


class Session:
    """One connection: echoes or keeps what arrives, until it is closed."""

    def __init__(self, loop: Loop, url: str, *, echo: bool) -> None:
        self.echo = echo
        self.kept: list[str | bytes] = []
        self.ended = False
        self.failed: Exception | None = None
        connect(url, self, loop=loop, limits=LIMITS)
        loop.run_while(lambda: not self.ended, CASE_SECONDS)
        if self.failed is not None:
            raise self.failed
        if not self.ended:
            raise TimeoutError(f"{url} takes more than {CASE_SECONDS:g} s")

    def on_message(self, ws: Endpoint, message: str | bytes) -> None:
        """Echo it, or keep it."""
        if self.echo:
            ws.send(message)
        else:
            self.kept.append(message)

    def on_close(self, ws: Endpoint, close_code: int, close_reason: str) -> None:
        """The case is over."""
        self.ended = True

    def on_connect_failed(self, ws: Endpoint, error: Exception) -> None:
        """There was no connection."""
        self.failed, self.ended = error, True


def main(url: str, agent: str) -> None:
    """Run every case that the server has, and let it write its report.

    Args:
        url: of the fuzzingserver, without a path.
        agent: the name under which the report files the results.
    """
    loop = Loop()
    count = Session(loop, f"{url}/getCaseCount", echo=False).kept[0]
    for case in range(1, int(count) + 1):
        query = urlencode({"case": case, "agent": agent})
        Session(loop, f"{url}/runCase?{query}", echo=True)
    Session(loop, f"{url}/updateReports?{urlencode({'agent': agent})}", echo=False)
    loop.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
