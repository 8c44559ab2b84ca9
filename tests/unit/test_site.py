"""Routes and pages: how they are registered, what is refused, and what is found."""

from __future__ import annotations

from typing import Any

import pytest

from wsfast.errors import LocalProtocolError
from wsfast.handshake import Request
from wsfast.site import Accept, Resource, Route, Site


def request(*headers: tuple[str, str]) -> Request:
    return Request("GET", "/", "1.1", [("host", "a"), *headers])


class Handler:
    """Has everything."""

    made = 0

    def __init__(self) -> None:
        Handler.made += 1

    def on_message(self, ws: Any, message: Any) -> None: ...

    async def on_close(self, ws: Any, close_code: int, close_reason: str) -> None: ...

    def on_upgrade(self, request: Request) -> None: ...


def route(path: str = "/", **options: Any) -> Route:
    return Route(path, origins="any", **options)


# --- a route -------------------------------------------------------------------------------------


def test_a_class_is_made_once_and_returned() -> None:
    Handler.made = 0
    made = route()
    assert made(Handler) is Handler and Handler.made == 1
    assert isinstance(made.handler, Handler) and made.has_handler
    assert made.coroutines == ["on_close"]
    assert made.upgrade == made.handler.on_upgrade


def test_an_object_is_taken_as_it_is() -> None:
    made, handler = route(), Handler()
    assert made(handler) is handler and made.handler is handler


def test_functions_one_by_one() -> None:
    made = route()
    assert not made.has_handler

    def function(*args: Any) -> None: ...

    async def later(*args: Any) -> None: ...

    assert made(function) is function
    for name in ("on_open", "on_ping", "on_pong", "on_drain", "on_close"):
        assert getattr(made, name)(function) is function
        assert getattr(made.handler, name) is function
    assert made.handler.on_message is function  # type: ignore[attr-defined]
    assert made.has_handler and made.coroutines == []
    assert made.on_upgrade(later) is later
    assert made.upgrade is later and made.coroutines == ["on_upgrade"]


@pytest.mark.parametrize("name", ["on_open", "on_message", "on_close"])
def test_each_function_once(name: str) -> None:
    made = route("/chat")
    getattr(made, name)(print)
    with pytest.raises(TypeError, match=f"route /chat has its {name} already"):
        getattr(made, name)(print)


def test_a_class_or_functions() -> None:
    made = route("/chat")
    made(Handler)
    for again in (Handler, Handler(), print):
        with pytest.raises(TypeError, match="route /chat has a handler already"):
            made(again)
    other = route("/chat")
    other.on_open(print)
    with pytest.raises(TypeError, match="a handler already"):
        other(Handler)


@pytest.mark.parametrize("handler", [object, object(), 5, "handler", type("T", (), {"on_x": 1})])
def test_what_is_no_handler(handler: Any) -> None:
    with pytest.raises(TypeError, match="is no handler: it has none of on_open, on_message"):
        route()(handler)


def test_which_on_upgrade_counts() -> None:
    def own(request: Request) -> None: ...

    def default(request: Request) -> None: ...

    made = route(default_on_upgrade=default)
    assert made.upgrade is default
    made(Handler)
    assert made.upgrade == made.handler.on_upgrade  # type: ignore[attr-defined]
    assert route(on_upgrade=own, default_on_upgrade=default).upgrade is own
    assert route().upgrade is None
    decorated = route(default_on_upgrade=default)
    decorated.on_upgrade(own)
    assert decorated.upgrade is own
    with pytest.raises(TypeError, match="its on_upgrade already"):
        decorated.on_upgrade(own)


@pytest.mark.parametrize(
    ("ours", "offered", "chosen"),
    [(["b", "a"], "a, b", "b"), (["c"], "a, b", None), ([], "a", None), (["a"], None, None)],
)
def test_subprotocols(ours: list[str], offered: str | None, chosen: str | None) -> None:
    headers = [] if offered is None else [("sec-websocket-protocol", offered)]
    assert route(subprotocols=ours).choose_subprotocol(request(*headers)) == chosen


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"subprotocols": "chat"}, TypeError),
        ({"subprotocols": ["a b"]}, LocalProtocolError),
        ({"origins": ["example.com"]}, ValueError),
        ({"origins": None}, TypeError),
        ({"origins": "*"}, ValueError),
    ],
)
def test_wrong_options_raise_at_once(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        Route("/", **{"origins": "any", **options})


# --- accepting -----------------------------------------------------------------------------------


def test_accept_writes_its_cookies() -> None:
    accept = Accept(headers={"X-A": "1"}, cookies={"a": "1", "b": "x"})
    assert accept.header_lines == [
        ("X-A", "1"),
        ("Set-Cookie", "a=1; Path=/; HttpOnly; SameSite=Lax"),
        ("Set-Cookie", "b=x; Path=/; HttpOnly; SameSite=Lax"),
    ]
    assert Accept().header_lines == []


@pytest.mark.parametrize("cookies", [{"a": "1; Domain=x"}, {"a b": "1"}, {"a": "1\r\nX: 2"}])
def test_a_cookie_that_cannot_be_sent(cookies: dict[str, str]) -> None:
    with pytest.raises(LocalProtocolError, match="cookie"):
        Accept(cookies=cookies)


# --- a site --------------------------------------------------------------------------------------


def page(request: Request) -> str:
    return "page"


def test_a_route_and_a_page_at_one_path() -> None:
    site, made = Site(), route("/{room}")
    site.add_route(made)
    site.add_page("/{room}", page)
    site.add_page("/page", page)
    assert site.find("/lobby") == (Resource(made, page), ("room", "lobby"))
    assert site.find("/page") == (Resource(None, page), ())
    assert site.find("/a/b") is None
    assert list(site.routes) == [made]


def test_methods() -> None:
    assert Resource(route()).methods == ("GET",)
    assert Resource(route(), page).methods == Resource(None, page).methods == ("GET", "HEAD")


def test_a_path_has_one_of_each() -> None:
    site = Site()
    site.add_route(route("/a"))
    site.add_page("/a", page)
    with pytest.raises(ValueError, match="'/a' has its WebSocket route already"):
        site.add_route(route("/a"))
    with pytest.raises(ValueError, match="'/a' has its page already"):
        site.add_page("/a", page)
    site.add_page("/{x}", page)
    with pytest.raises(ValueError, match="the same paths as '/{x}'"):
        site.add_route(route("/{y}"))
    with pytest.raises(ValueError, match="does not begin with a slash"):
        site.add_page("a", page)


def test_the_route_of_every_path() -> None:
    made = route("/{path:path}")
    site = Site(made)
    for path in ("/", "/a/b", "/%FF", "/a%20b"):
        assert site.find(path) == (Resource(made), ())
    assert list(site.routes) == [made]
    site.check(asynchronous=False)  # a handler without any method is fine: EchoEndpoint has none


def test_it_is_checked_before_it_is_served() -> None:
    site = Site()
    site.add_route(route("/empty"))
    with pytest.raises(LocalProtocolError, match="route /empty has no handler"):
        site.check(asynchronous=True)
    later = Site()
    made = route("/later")
    made(Handler)
    later.add_route(made)
    later.check(asynchronous=True)
    with pytest.raises(LocalProtocolError, match="on_close of route /later: async def needs"):
        later.check(asynchronous=False)
    pages = Site()

    async def coming(request: Request) -> str:
        return "x"

    pages.add_page("/x", coming)
    pages.check(asynchronous=True)
    with pytest.raises(LocalProtocolError, match="page .*coming: async def needs"):
        pages.check(asynchronous=False)
