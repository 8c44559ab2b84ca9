"""wsfast-serve in this process: what it listens on, and the end that is not a signal."""

from __future__ import annotations

import logging
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from wsfast.app import App
from wsfast.serve import cli
from wsfast.serve.loading import LoadError
from wsfast.serve.options import parse

APP = """
class Echo:
    def on_message(self, ws, message):
        ws.send(message)

from wsfast.app import App
from wsfast.limits import Limits
app = App(origins="any", limits=Limits(max_headers=5, max_head_bytes=1000))
app.websocket("/chat")(Echo)
"""


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The first words of a command line, and logging as it was."""
    (tmp_path / "echoing.py").write_text(APP)
    monkeypatch.setattr(sys, "path", sys.path[:])
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield ["echoing:Echo", "--app-dir", str(tmp_path)]
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    sys.modules.pop("echoing", None)


def test_what_a_command_line_asks_for(app: list[str]) -> None:
    running = cli._running(parse([*app, "--port", "0", "--origin", "any", "--max-headers=7"]))
    assert (running.options.port, running.options.limits) == (0, {"max_headers": 7})
    assert running.origins == ["any"]
    assert type(running.load()).__name__ == "Echo"


def test_an_app_says_itself_who_may_connect(app: list[str]) -> None:
    running = cli._running(parse(["echoing:app", *app[1:], "--origin", "any"]))
    with pytest.raises(LoadError, match="echoing:app is an App, which says itself who may"):
        running.load()
    assert isinstance(cli._running(parse(["echoing:app", *app[1:]])).load(), App)


def test_it_says_where_it_listens(capsys: pytest.CaptureFixture[str]) -> None:
    cli._announce("ws://127.0.0.1:1/")
    assert capsys.readouterr().out == "listening on ws://127.0.0.1:1/\n"


def test_a_port_that_is_taken_is_a_line_and_1(
    app: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit) as raised:
            cli.main([*app, "--port", str(port)])
    assert raised.value.code == 1
    err = capsys.readouterr().err
    assert f"cannot listen on ('127.0.0.1', {port}): Address already in use" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nowhere:app", "there is no module 'nowhere'"),
        ("echoing:missing", "module 'echoing' has no attribute 'missing'"),
    ],
)
def test_an_application_that_is_not_there_is_a_line_and_1(
    app: list[str], target: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        cli.main([target, *app[1:], "--port", "0"])
    assert raised.value.code == 1
    err = capsys.readouterr().err
    assert message in err and "Traceback" not in err
