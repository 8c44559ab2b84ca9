"""The documentation: it builds without a warning, and its examples do what they are there for."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from examples import Example, examples_of, grouped, imports_of, reserved_port, run, serving
from wsfast.limits import Limits

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
GROUPS = [group for page in PAGES for group in grouped(examples_of(page))]


def test_the_pages_have_examples() -> None:
    assert len(GROUPS) >= 5
    assert {"program", "server", "excerpt"} <= {example.kind for example, _ in GROUPS}


@pytest.mark.parametrize(("example", "clients"), GROUPS, ids=[str(each) for each, _ in GROUPS])
def test_an_example_runs(example: Example, clients: list[Example], tmp_path: Path) -> None:
    if example.kind == "server":
        with serving(example.code, tmp_path) as port:
            for client in clients:
                run(client.code, port, tmp_path)
    else:
        code = imports_of(example.code) if example.kind == "excerpt" else example.code
        run(code, 0, tmp_path)


@pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="mkdocs is not installed")
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert pages <= {path.stem for path in tmp_path.glob("*.html")}


def test_every_page_is_found_from_the_first() -> None:
    pages = {page.name for page in PAGES} - {"README.md", "index.md"}
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert pages == set(re.findall(r"\]\((\w+\.md)\)", index))
    assert pages == set(re.findall(r": (\w+\.md)$", navigation, re.MULTILINE))


def test_the_page_of_limits_has_them_all_with_their_defaults() -> None:
    text = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| `(\w+)` \| ([\w.]+) \|", text, re.MULTILINE)
    fields = dataclasses.fields(Limits)
    assert told == [(field.name, str(field.default)) for field in fields]


# --- the machinery -----------------------------------------------------------------------------


def page(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "page.md"
    path.write_text(text, encoding="utf-8")
    return path


def test_fences_and_their_kinds(tmp_path: Path) -> None:
    text = (
        "# A\n\n```python\na = 1\n```\n\n```console\n$ no\n```\n\n"
        "<!-- example: server -->\n```python\nb = 2\n```\n\n"
        "<!-- example: client -->\n\n```python\nc = 3\n```\n"
    )
    found = examples_of(page(tmp_path, text))
    assert [(each.line, each.kind, each.code) for each in found] == [
        (4, "program", "a = 1\n"),
        (13, "server", "b = 2\n"),
        (19, "client", "c = 3\n"),
    ]
    first, (server, clients) = grouped(found)
    assert first == (found[0], [])
    assert (server, clients) == (found[1], [found[2]])


def test_a_kind_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="page.md:3: 'serve' is none of program, server"):
        examples_of(page(tmp_path, "<!-- example: serve -->\n```python\na = 1\n```\n"))


def test_a_client_needs_a_server(tmp_path: Path) -> None:
    found = examples_of(page(tmp_path, "<!-- example: client -->\n```python\na = 1\n```\n"))
    with pytest.raises(ValueError, match="a client without a server"):
        grouped(found)


def test_an_excerpt_must_be_python_and_its_imports_must_exist(tmp_path: Path) -> None:
    assert imports_of("from os import path\n\nfor each in things:\n    import re\n") == (
        "from os import path\nimport re"
    )
    with pytest.raises(SyntaxError):
        imports_of("for each in things\n")
    with pytest.raises(AssertionError, match="no_such_module"):
        run("import no_such_module", 0, tmp_path)


def test_a_server_that_never_listens_fails(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="gone"), serving("print('gone')", tmp_path):
        pass


#: Listens on the port of the examples; what follows is done with one connection after the other.
LISTENING = """
import os, signal, socket, time
listening = socket.create_server(("127.0.0.1", 8765))
while True:
    connection, _ = listening.accept()
    connection.recv(4096)
    {each}
    connection.close()
"""


def test_a_server_that_does_not_end_well_fails(tmp_path: Path) -> None:
    code = LISTENING.format(each="connection.sendall(b'no server of ours')")
    with pytest.raises(AssertionError), serving(code, tmp_path) as port:
        assert port > 0


def test_a_server_is_waited_for_until_it_answers(tmp_path: Path) -> None:
    """One that listens may still be on its way to where it handles signals."""
    each = "signal.signal(signal.SIGTERM, lambda *_: os._exit(0))\n    connection.sendall(b'.')"
    with serving(LISTENING.format(each=each), tmp_path):
        """It is ended at once."""


def test_a_port_is_nobody_elses_until_its_server_has_it() -> None:
    with reserved_port() as port:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
        with socket.create_server(("127.0.0.1", port)) as listening:
            assert listening.getsockname()[1] == port
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))
