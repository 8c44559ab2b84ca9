"""What is checked before an attribute is touched: version, place, signature, source."""

from __future__ import annotations

import argparse
import ast
import asyncio.streams
import email.message
import functools
import importlib.util
import inspect
import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import pytest

from fake_library import CHECK, MASK, PARSE, SERIALIZE, Fake, fake_library
from wsfast.speedups import guard
from wsfast.speedups.guard import Refused, find, fingerprint, judge, version_problem
from wsfast.speedups.target import Slot


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    with fake_library(tmp_path / "site", monkeypatch) as made:
        yield made


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Any]:
    """Makes the function `f` of a source that stands in a file."""

    def make(source: str, name: str = "f") -> Any:
        path = tmp_path / f"source{len(list(tmp_path.iterdir()))}.py"
        path.write_text(textwrap.dedent(source), encoding="utf-8")
        module = ModuleType(path.stem)
        module.__file__ = str(path)
        sys.modules[path.stem] = module
        exec(compile(path.read_text("utf-8"), str(path), "exec"), vars(module))
        return vars(module)[name]

    return make


# --- version ---------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1.0", "1.0.0", "1.0.1", "1.9.2", "1.9.2rc1", "1.99+local"])
def test_a_version_of_the_tested_range(fake: Fake, version: str) -> None:
    assert version_problem(fake.target(), version) is None


@pytest.mark.parametrize("version", ["0.9", "0.99.9", "2", "2.0", "2.0.0", "2.0rc1", "10.0", "x"])
def test_a_version_outside_of_the_tested_range(fake: Fake, version: str) -> None:
    problem = version_problem(fake.target(), version)
    assert problem == f"untested version {version} (tested: 1.0 <= version < 2)"


def test_numbers_of_a_version_are_compared_as_numbers(fake: Fake) -> None:
    target = fake.target(tested=("1.9", "1.10"))
    assert version_problem(target, "1.9.9") is None
    assert version_problem(target, "1.10") is not None


def test_the_version_is_read_without_an_import(fake: Fake) -> None:
    assert guard.version_of(fake.target()) == "1.5"
    assert not fake.loaded()


def test_a_library_that_is_not_installed_has_no_version(fake: Fake) -> None:
    assert guard.version_of(fake.target()._replace(library="no-such-library")) is None


def test_metadata_without_a_version_is_none(fake: Fake) -> None:
    (info,) = fake.directory.glob("*.dist-info")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fake-ws\n", encoding="utf-8")
    assert guard.version_of(fake.target()) is None


# --- place -----------------------------------------------------------------------------------


@pytest.mark.parametrize("slot", [MASK, SERIALIZE, PARSE, CHECK])
def test_find_gives_what_stands_in_the_dict(fake: Fake, slot: str) -> None:
    fake.load()
    owner, name, value = find(fake.where(slot))
    assert vars(owner)[name] is value
    assert slot.endswith(name)


def test_find_gives_classmethods_and_staticmethods_as_they_stand(fake: Fake) -> None:
    fake.load()
    assert isinstance(find(fake.where(PARSE))[2], classmethod)
    assert isinstance(find(fake.where(CHECK))[2], staticmethod)


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("frames:gone", "fakews.frames:gone is gone"),
        ("frames:Frame.gone", "fakews.frames:Frame.gone is gone"),
        ("frames:Gone.parse", "fakews.frames:Gone.parse: Gone is gone"),
        ("legacy:shout", "fakews.legacy:shout: fakews.legacy is not imported"),
    ],
)
def test_find_says_what_is_missing(fake: Fake, place: str, told: str) -> None:
    fake.load()
    with pytest.raises(Refused, match=f"^{told}$"):
        find(fake.where(place))
    assert "fakews.legacy" not in sys.modules


def test_what_is_only_inherited_is_gone(fake: Fake) -> None:
    class Sub(fake.load().Frame):  # type: ignore[misc]
        pass

    fake.load().Sub = Sub
    with pytest.raises(Refused, match="is gone"):
        find(fake.where("frames:Sub.parse"))


# --- signature -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("slot", "parameters"),
    [
        (MASK, ("data", "key")),
        (SERIALIZE, ("self", "key")),
        (PARSE, ("cls", "data")),
        (CHECK, ("data",)),
    ],
)
def test_a_signature_is_compared_by_names(
    fake: Fake, slot: str, parameters: tuple[str, ...]
) -> None:
    fake.load()
    original = find(fake.where(slot))[2]
    judge(fake.slot(slot, parameters=parameters), original)
    judge(fake.slot(slot), original)
    with pytest.raises(Refused, match=r"its parameters are \(.*\), tested with \(.*more\)"):
        judge(fake.slot(slot, parameters=(*parameters, "more")), original)
    with pytest.raises(Refused, match="its parameters"):
        judge(fake.slot(slot, parameters=parameters[::-1] + ("x",)), original)


def test_a_mock_is_no_function_of_the_library(fake: Fake) -> None:
    fake.load()
    with mock.patch(f"{fake.package}.frames.mask") as patched:
        with pytest.raises(Refused, match="its parameters"):
            judge(fake.slot(MASK, parameters=("data", "key")), patched)


def test_what_somebody_else_has_wrapped_is_refused(fake: Fake) -> None:
    """A tracer's wrapper has its signature and, for inspect, its source; it would be lost."""
    original = fake.load().mask

    @functools.wraps(original)
    def traced(*arguments: Any) -> Any:
        return original(*arguments)

    slot = fake.slot(MASK, parameters=("data", "key"))
    for each in (traced, classmethod(traced), staticmethod(traced)):
        with pytest.raises(Refused, match="somebody else has wrapped it"):
            judge(slot, each)


def test_what_is_ours_already_is_judged_by_its_original(fake: Fake) -> None:
    """A second part looks at functions that the first one has replaced."""
    fake.load()
    slot = fake.slots()[2]
    original = find(slot.where)[2]
    told = slot._replace(fingerprints=frozenset({fingerprint(original)}))
    judge(told, slot.make(original))


# --- source ----------------------------------------------------------------------------------

PLAIN = """
    def f(data, size=4):
        for each in data:
            yield f"{each:>{size}}" + "text"
"""

#: The same function as PLAIN, written otherwise.
SAME = {
    "comments": """
        # in front
        def f(data, size=4):
            # inside

            for each in data:  # behind
                yield f"{each:>{size}}" + "text"
    """,
    "layout": """
        def f(
            data,
            size = 4,
        ):
          for each in data: yield (f'{each:>{size}}'
                                   + 'te' 'xt')
    """,
    "docstring": '''
        def f(data, size=4):
            """What it does.

            And why.
            """
            for each in data:
                yield f"{each:>{size}}" + "text"
    ''',
    "annotations": """
        def f(data: "bytes", size: int = 4) -> "Iterator[str]":
            for each in data:
                yield f"{each:>{size}}" + u"text"
    """,
    "indentation": """
        if True:
            def f(data, size=4):
                for each in data:
                    yield f"{each:>{size}}" + "text"
    """,
    "a string further left": '''
class A:
    def f(data, size=4):
        """
Left.
        """
        for each in data:
            yield f"{each:>{size}}" + "text"
f = A.f
''',
}

#: What looks like PLAIN, and is not.
OTHER = {
    "a name": PLAIN.replace("each", "item"),
    "a constant": PLAIN.replace("=4", "=5"),
    "its type": PLAIN.replace("=4", "=4.0"),
    "a bool": PLAIN.replace("=4", "=True"),
    "bytes": PLAIN.replace('"text"', 'b"text"'),
    "a format": PLAIN.replace(":>", ":<"),
    "a call": PLAIN.replace("in data", "in iter(data)"),
    "a keyword-only argument": PLAIN.replace("size=4", "*, size=4"),
    "a decorator": PLAIN.replace("    def", "    @lambda f: f\n    def"),
    "a statement more": PLAIN + "        return None\n",
    "a coroutine": PLAIN.replace("def", "async def").replace("for", "async for"),
}

#: Computed under CPython 3.10 to 3.13.
FINGERPRINT = "45e129f6188d"


def test_the_fingerprint_of_a_source_is_the_same_under_every_interpreter(
    written: Callable[..., Any],
) -> None:
    assert fingerprint(written(PLAIN)) == FINGERPRINT


@pytest.mark.parametrize("what", SAME)
def test_what_changes_nothing_changes_no_fingerprint(
    written: Callable[..., Any], what: str
) -> None:
    assert fingerprint(written(SAME[what])) == FINGERPRINT


@pytest.mark.parametrize("what", OTHER)
def test_what_changes_something_changes_the_fingerprint(
    written: Callable[..., Any], what: str
) -> None:
    found = fingerprint(written(OTHER[what]))
    assert found not in ("", FINGERPRINT)


def functions_in(*modules: ModuleType) -> Iterator[Any]:
    """Every function that is written in Python, those of classes included."""
    for module in modules:
        owners = [module, *filter(inspect.isclass, vars(module).values())]
        for value in (each for owner in owners for each in vars(owner).values()):
            function = guard.unwrapped(value)
            if inspect.isfunction(function) and not hasattr(function, "__wrapped__"):
                yield function


def test_a_function_is_cut_out_of_its_file_as_inspect_does_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    functions = list(functions_in(asyncio.streams, argparse, inspect, textwrap, email.message))
    quick = [fingerprint(each) for each in functions]
    assert len(functions) > 300
    monkeypatch.setattr(guard, "_quickly_parsed", lambda function: [])
    assert quick == [fingerprint(each) for each in functions]


#: Functions that seem to end before they do, or to go on.
HARD_TO_CUT = {
    "a string further left": "if 1:\n    def f(a):\n        a = '''\nb = 1'''\n        return",
    "a signature in lines": "def f(\n    a,\n    b,\n) -> int:\n    return a",
    "a decorator in lines": "@decorate(\n    1,\n)\ndef f(a):\n    return a",
    "a comment that stands left": "if 1:\n    def f(a):\n# no end\n        return a\n    b = 1",
    "an else behind": "if 1:\n    def f(a):\n        return a\nelse:\n    f = None",
    "one line": "def f(a): return a\nb = 1",
    "brackets": "def f(a):\n    return [\n  a,\n]\n\n\nb = 1",
}


@pytest.mark.parametrize("what", HARD_TO_CUT)
def test_what_is_hard_to_cut_has_the_fingerprint_that_inspect_finds(
    written: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    decorator = "def decorate(number):\n    return lambda function: function\n\n"
    function = written(decorator + HARD_TO_CUT[what])
    found = fingerprint(function)
    monkeypatch.setattr(guard, "_quickly_parsed", lambda function: [])
    assert found == fingerprint(function) != ""


def test_methods_have_the_fingerprint_of_their_function(fake: Fake) -> None:
    frame = fake.load().Frame
    assert fingerprint(vars(frame)["parse"]) == fingerprint(vars(frame)["parse"].__func__)
    assert fingerprint(frame.parse) == fingerprint(vars(frame)["parse"])


def test_a_class_has_a_fingerprint(fake: Fake) -> None:
    frames = fake.load()
    assert len(fingerprint(frames.Frame)) == 12
    assert fingerprint(frames.Frame) != fingerprint(frames.mask)


@pytest.mark.parametrize("built", [len, bytes, bytes.join, object(), 5, None])
def test_what_has_no_source_has_no_fingerprint(built: object) -> None:
    assert fingerprint(built) == ""


def test_a_function_that_was_never_in_a_file_has_no_fingerprint() -> None:
    names: dict[str, Any] = {}
    exec("def f(data): return data", names)
    assert fingerprint(names["f"]) == ""


def test_a_source_that_was_not_tested_is_refused(fake: Fake) -> None:
    original = fake.load().mask
    mark = fingerprint(original)
    judge(fake.slot(MASK, fingerprints=frozenset({"0" * 12, mark})), original)
    with pytest.raises(Refused, match=rf"its source \(fingerprint {mark}\) was not tested"):
        judge(fake.slot(MASK, fingerprints=frozenset({"0" * 12})), original)


def test_a_missing_source_is_refused_where_one_was_tested(fake: Fake) -> None:
    with pytest.raises(Refused, match="has no source"):
        judge(Slot(where="a:b", make=len, fingerprints=frozenset({"0" * 12})), len)


def test_every_slot_without_demands_is_let_through() -> None:
    judge(Slot(where="a:b", make=len), len)


# --- other interpreters ----------------------------------------------------------------------

PYENV = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))

#: Prints the fingerprints of the sources in its input.
CHILD = """
import inspect, json, sys
sys.path.insert(0, sys.argv[1])
from wsfast.speedups.guard import fingerprint
inspect.getsource = lambda source: source
print(json.dumps([fingerprint(each) for each in json.load(sys.stdin)]))
"""


def other_interpreters() -> list[Any]:
    """Programs of the supported versions that are not ours; where there are none, one to skip."""
    found = []
    for minor in set(range(10, 16)) - {sys.version_info[1]}:
        places = [str(path.parent) for path in PYENV.glob(f"versions/*/bin/python3.{minor}")]
        if program := shutil.which(f"python3.{minor}", path=os.pathsep.join(places)):
            found.append(pytest.param(program, id=f"3.{minor}"))
    return found or [pytest.param("", marks=pytest.mark.skip("no other interpreter"))]


def fingerprints_under(program: str, root: Path, sources: list[str]) -> list[str]:
    command = [program, "-W", "ignore", "-c", CHILD, str(root)]
    text = json.dumps(sources)
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout)
    return found


def functions_of(path: Path) -> Iterator[str]:
    """The source of every function and class in a file, as inspect cuts it out."""
    source = path.read_text(encoding="utf-8")
    lines = source.splitlines(keepends=True)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            yield "".join(lines[first - 1 : node.end_lineno])


@pytest.mark.parametrize("program", other_interpreters())
def test_another_interpreter_finds_the_same_fingerprints(root: Path, program: str) -> None:
    sources = [textwrap.dedent(each).strip() + "\n" for each in (PLAIN, *OTHER.values())]
    ours = fingerprints_under(sys.executable, root, sources)
    assert ours[0] == FINGERPRINT
    assert len(set(ours)) == len(sources)
    assert fingerprints_under(program, root, sources) == ours


@pytest.mark.slow
@pytest.mark.parametrize("program", other_interpreters())
@pytest.mark.parametrize("library", ["websockets", "wsproto", "tornado", "aiohttp", "websocket"])
def test_another_interpreter_finds_those_of_a_library(
    root: Path, program: str, library: str
) -> None:
    spec = importlib.util.find_spec(library)
    if spec is None or spec.origin is None:
        pytest.skip(f"{library} is not installed")
    files = sorted(Path(spec.origin).parent.glob("*.py"))
    sources = [each for file in files for each in functions_of(file)]
    ours = fingerprints_under(sys.executable, root, sources)
    assert len(set(ours)) > 20
    assert fingerprints_under(program, root, sources) == ours
