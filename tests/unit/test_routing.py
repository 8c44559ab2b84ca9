"""Templates: what matches, what comes first, and what is refused when it is registered."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from wsfast.routing import Routes


def routes(*templates: str) -> Routes[str]:
    """Routes whose targets are their templates."""
    made: Routes[str] = Routes()
    for template in templates:
        made.add(template, template)
    return made


def found(made: Routes[str], path: str) -> tuple[str, dict[Any, Any]] | None:
    """Template and parameters of a path."""
    match = made.find(path)
    if match is None:
        return None
    target, flat = match
    return target, dict(zip(flat[::2], flat[1::2], strict=True))


@pytest.mark.parametrize(
    ("template", "path", "expected"),
    [
        ("/", "/", {}),
        ("/", "", None),
        ("/chat", "/chat", {}),
        ("/chat", "/Chat", None),
        ("/chat", "/chat/", None),
        ("/chat/", "/chat", None),
        ("/chat/", "/chat/", {}),
        ("/chat", "/%63hat", {}),
        ("/chat", "//chat", None),
        ("/caf\u00e9", "/caf%C3%A9", {}),
        ("/chat/{room}", "/chat/lobby", {"room": "lobby"}),
        ("/chat/{room}", "/chat/", None),
        ("/chat/{room}", "/chat", None),
        ("/chat/{room}", "/chat/a/b", None),
        ("/chat/{room}", "/chat/a%2Fb", {"room": "a/b"}),
        ("/chat/{room}", "/chat/%E2%82%AC", {"room": "\u20ac"}),
        ("/chat/{room}", "/chat/%25", {"room": "%"}),
        ("/chat/{room}", "/chat/%zz", {"room": "%zz"}),
        ("/chat/{room}", "/chat/%FF", None),
        ("/chat/{room}", "/chat/..", {"room": ".."}),
        ("/{a}/{b}", "/1/2", {"a": "1", "b": "2"}),
        ("/{a}/x/{b:int}", "/1/x/22", {"a": "1", "b": 22}),
        ("/item/{id:int}", "/item/007", {"id": 7}),
        ("/item/{id:int}", "/item/-1", None),
        ("/item/{id:int}", "/item/1_0", None),
        ("/item/{id:int}", "/item/\u0661", None),
        ("/item/{id:int}", "/item/" + "9" * 18, {"id": 10**18 - 1}),
        ("/item/{id:int}", "/item/" + "9" * 19, None),
        ("/{name:str}", "/x", {"name": "x"}),
        ("/files/{rest:path}", "/files/a/b.txt", {"rest": "a/b.txt"}),
        ("/files/{rest:path}", "/files/", {"rest": ""}),
        ("/files/{rest:path}", "/files", None),
        ("/files/{rest:path}", "/files/a%2Fb/%20", {"rest": "a/b/ "}),
        ("/{rest:path}", "/", {"rest": ""}),
    ],
)
def test_a_template(template: str, path: str, expected: dict[str, Any] | None) -> None:
    match = found(routes(template), path)
    assert match == (None if expected is None else (template, expected))


PRECEDENCE = ["/a/b", "/a/{n:int}", "/a/{x}", "/a/{r:path}", "/{x}/b", "/{r:path}"]


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/a/b", "/a/b"),
        ("/a/%62", "/a/b"),
        ("/a/5", "/a/{n:int}"),
        ("/a/c", "/a/{x}"),
        ("/a/c/d", "/a/{r:path}"),
        ("/a/", "/a/{r:path}"),
        ("/c/b", "/{x}/b"),
        ("/a", "/{r:path}"),
        ("/c/c", "/{r:path}"),
    ],
)
def test_precedence_does_not_depend_on_the_order(path: str, template: str) -> None:
    orders = list(itertools.permutations(PRECEDENCE))
    for order in random.Random(1).sample(orders, 40):
        match = found(routes(*order), path)
        assert match is not None and match[0] == template


def test_what_was_tried_first_leaves_no_parameters_behind() -> None:
    made = routes("/{n:int}/a", "/{x}/{y}", "/{x}/{y}/{z:int}", "/{r:path}")
    assert found(made, "/1/b") == ("/{x}/{y}", {"x": "1", "y": "b"})
    assert found(made, "/1/2/3") == ("/{x}/{y}/{z:int}", {"x": "1", "y": "2", "z": 3})
    assert found(made, "/1/2/c") == ("/{r:path}", {"r": "1/2/c"})


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("", "does not begin with a slash"),
        ("chat", "does not begin with a slash"),
        ("/a?b", "is neither text"),
        ("/a#b", "is neither text"),
        ("/a b", "is neither text"),
        ("/a%20b", "is neither text"),
        ("/{room", "is neither text"),
        ("/room}", "is neither text"),
        ("/x{room}", "is neither text"),
        ("/{room}.json", "is neither text"),
        ("/{{room}}", "is neither text"),
        ("/{a:b:c}", "is neither text"),
        ("/{}", "no identifier"),
        ("/{1a}", "no identifier"),
        ("/{a-b}", "no identifier"),
        ("/{a:}", "no identifier"),
        ("/{a:float}", "none of int, str, path"),
        ("/{a}/{a}", "two parameters of one name"),
        ("/{a:path}/b", "must be the last"),
    ],
)
def test_a_malformed_template_is_refused(template: str, why: str) -> None:
    made: Routes[str] = Routes()
    with pytest.raises(ValueError, match=why) as raised:
        made.add(template, "x")
    assert repr(template) in str(raised.value), "the message names the template"
    assert made.find(template) is None


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("/a", "/a"),
        ("/{a}", "/{b}"),
        ("/{a}/x", "/{b}/x"),
        ("/{a:int}", "/{b:int}"),
        ("/x/{a:path}", "/x/{b:path}"),
        ("/{a}", "/{a:str}"),
    ],
)
def test_an_ambiguous_template_is_refused(first: str, second: str) -> None:
    made = routes(first)
    with pytest.raises(ValueError, match="taken already|the same paths"):
        made.add(second, second)


def test_the_target_of_a_template() -> None:
    made = routes("/", "/a", "/a/{x}", "/a/{x:int}")
    assert made.get("/a/{x}") == "/a/{x}"
    assert made.get("/a/{x:int}") == "/a/{x:int}"
    assert made.get("/a") == "/a" and made.get("/") == "/"
    assert made.get("/b") is None and made.get("/a/{y}") is None and made.get("/a/b/{x}") is None


def test_a_walk_is_bounded_by_the_tree() -> None:
    """With three ways to go at each of ten segments, one node each: no product of choices."""
    made: Routes[str] = Routes()
    for depth in range(1, 11):
        names = "".join(f"/{{p{number}}}" for number in range(11 - depth))
        made.add("/x" * depth + names + "/end", "never")
    deepest = made.find("/x" * 11 + "/y")
    assert deepest is None
    assert made.find("/" * 16000) is None and made.find("/x" * 8000) is None


def test_all_targets_of_a_large_table_are_found() -> None:
    made: Routes[str] = Routes()
    for number in range(500):
        made.add(f"/static/{number}", f"s{number}")
        made.add(f"/dynamic/{number}/{{name}}", f"d{number}")
    for number in range(500):
        assert made.find(f"/static/{number}") == (f"s{number}", ())
        assert made.find(f"/dynamic/{number}/n") == (f"d{number}", ("name", "n"))
