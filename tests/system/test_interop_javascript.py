"""Our server with npm's ws and with Chromium as clients."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest

from system.interop.chromium import PageServer, browse, find_chromium
from system.interop.npm import node_command
from system.interop.processes import Peer, python_peer, running

pytestmark = pytest.mark.slow

#: The dialogues of dialogue.mjs, and those that client_ws.mjs adds.
STEPS = (
    "text",
    "non-ascii",
    "binary",
    "order",
    "our-ping",
    "subprotocol-none",
    "subprotocol-known",
    "client-closes",
    "server-closes",
)
MORE_STEPS = ("fragments", "ping")
#: What our server sees of the two closing dialogues, in the order in which they are held.
CLOSED = ("closed 4001 enough-ąę", "closed 4002 .*")


@pytest.fixture(scope="module")
def node_report() -> dict[str, str]:
    """What npm's ws says of each dialogue."""
    script = "client_ws.mjs"
    node_command(script)  # skips here, before a server is started
    with running(*python_peer("server_wsfast.py")) as (peer, url):
        done = subprocess.run(
            node_command(script, url), capture_output=True, text=True, timeout=120, check=True
        )
        expect_closed(peer)
    report: dict[str, str] = json.loads(done.stdout)
    return report


@pytest.fixture(scope="module")
def page() -> Iterator[PageServer]:
    with PageServer() as server:
        yield server


@pytest.fixture(scope="module")
def chromium_report(page: PageServer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What Chromium says of each dialogue."""
    chromium, profile = find_chromium(), tmp_path_factory.mktemp("profile")
    with running(*python_peer("server_wsfast.py", page.origin)) as (peer, url):
        report = browse(chromium, profile, page, url)
        expect_closed(peer)
    return report


def expect_closed(peer: Peer) -> None:
    for line in CLOSED:
        peer.expect(line)


@pytest.mark.parametrize("step", STEPS + MORE_STEPS)
def test_ws(node_report: dict[str, str], step: str) -> None:
    assert node_report[step] == "ok"


def test_ws_held_every_dialogue(node_report: dict[str, str]) -> None:
    assert set(node_report) == {*STEPS, *MORE_STEPS}


@pytest.mark.parametrize("step", STEPS)
def test_chromium(chromium_report: dict[str, str], step: str) -> None:
    assert chromium_report[step] == "ok"


def test_chromium_held_every_dialogue(chromium_report: dict[str, str]) -> None:
    assert set(chromium_report) == set(STEPS)
