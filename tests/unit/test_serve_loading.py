"""module:app: found, made, or a clear word on what is missing."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from wsfast.app import App
from wsfast.serve.loading import LoadError, load, split_target

APPS = """
import types

class Chat:
    def on_message(self, ws, message):
        ws.send(message)

class Asks(Chat):
    def __init__(self, dsn):
        self.dsn = dsn

class Fails(Chat):
    def __init__(self):
        raise OSError("no database")

chat = Chat()
nested = types.SimpleNamespace(chat=chat)
number = 5

def handle(ws):
    pass

from wsfast.app import App

app = App(origins="any")
"""


@pytest.fixture
def apps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A directory with modules; what was imported is forgotten again."""
    (tmp_path / "apps.py").write_text(APPS)
    (tmp_path / "broken.py").write_text("import no_such_module_at_all\n")
    (tmp_path / "wrong.py").write_text("1 / 0\n")
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "inner.py").write_text("from apps import chat\n")
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", sys.path[:])
    yield str(tmp_path)
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_an_object_a_class_and_what_is_nested(apps: str) -> None:
    chat = load("apps:chat", apps)
    assert type(chat).__name__ == "Chat"
    made = load("apps:Chat", apps)
    assert type(made) is type(chat) and made is not chat
    assert load("apps:nested.chat", apps) is chat
    assert load("package.inner:chat", apps) is chat
    assert isinstance(load("apps:app", apps), App)
    assert sys.path.count(apps) == 1


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nowhere:app", "there is no module 'nowhere' in"),
        ("package.nowhere:app", "there is no module 'package.nowhere'"),
        ("nowhere.inner:app", "there is no module 'nowhere'"),
        ("apps:missing", "module 'apps' has no attribute 'missing'"),
        ("apps:nested.missing", "has no attribute 'nested.missing'"),
        ("apps:Asks", "is a class that needs arguments: missing a required argument: 'dsn'"),
        ("apps:number", "apps:number is a int: no App, and with none of on_open"),
        ("apps:handle", "is a function: no App"),
    ],
)
def test_what_is_missing_is_named(apps: str, target: str, message: str) -> None:
    with pytest.raises(LoadError, match=message):
        load(target, apps)


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        ("broken:app", ModuleNotFoundError, "no_such_module_at_all"),
        ("wrong:app", ZeroDivisionError, "by zero"),
        ("apps:Fails", OSError, "no database"),
    ],
)
def test_what_the_module_itself_raises_comes_through(
    apps: str, target: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        load(target, apps)


@pytest.mark.parametrize(
    "target", ["app", "app:", ":app", "a b:c", "a/b:c", "a:b:c", "a..b:c", ""]
)
def test_the_form_of_a_target(target: str) -> None:
    with pytest.raises(ValueError, match="is not of the form module:attribute"):
        split_target(target)
    assert split_target("a.b:c.d") == ("a.b", "c.d")
