"""Paths and their templates: which target answers a path, and with which parameters.

A template is a path whose segments are text or parameters: `/chat/{room}`.

- `{room}` stands for one segment that is not empty, `{id:int}` for one of 1 to 18 decimal digits
  (the parameter is an int), `{rest:path}`, last only, for all that remains, slashes included and
  perhaps empty. A parameter is a whole segment, and its name an identifier.
- A path is cut at its slashes first and percent-decoded then, as RFC 3986 section 2.4 demands: an
  encoded slash belongs to its segment. A path that is not UTF-8 once decoded matches nothing.
- **Precedence** is that of the first segment in which two templates differ: text, then `int`, then
  a plain parameter, then `path`. The order of registration never matters. If what was tried
  first leads nowhere, the next is tried.
- Two templates that match the same paths are refused, so are parameters of different names in the
  same place: the second would never be found, or not by the name that it gave.
- **A trailing slash counts**: `/chat` and `/chat/` are two paths, and neither redirects to the
  other. No WebSocket client has to follow a redirect (RFC 6455 section 4.1), browsers do not.

A template without parameters is found by one look into a dict. The others form a tree, and a walk
visits each of its nodes once at most, whatever the path.
"""

from __future__ import annotations

import re
import urllib.parse
from typing import Generic, TypeVar

from wsfast.headers import show

__all__ = ["Found", "Routes"]

_T = TypeVar("_T")

#: A target, and the parameters of its template as (name, value, name, value ...).
Found = tuple[_T, tuple[str | int, ...]]

_PARAMETER = re.compile(r"\{([^{}:]*)(?::([^{}:]*))?\}")
_TEXT = re.compile(r"[^{}?#%\x00-\x20\x7f]*")
_INT = re.compile(r"[0-9]{1,18}")
_KINDS = ("int", "str", "path")


class _Node(Generic[_T]):
    """What the templates with the same first segments have in common.

    Attributes:
        texts: the nodes behind a segment of text.
        kinds: the nodes behind a parameter, in order of precedence.
        templates: at most one: what ends here, as (template, names, target).
    """

    __slots__ = ("kinds", "templates", "texts")

    def __init__(self) -> None:
        self.texts: dict[str, _Node[_T]] = {}
        self.kinds: dict[str, _Node[_T]] = {}
        self.templates: list[tuple[str, tuple[str, ...], _T]] = []

    def child(self, text: str, kind: str | None) -> _Node[_T]:
        """The node behind a segment, made if it is not there."""
        if kind is None:
            return self.texts.setdefault(text, _Node())
        self.kinds.setdefault(kind, _Node())
        self.kinds = {each: self.kinds[each] for each in _KINDS if each in self.kinds}
        return self.kinds[kind]

    def find(self, segments: list[str], at: int, values: list[str | int]) -> _Node[_T] | None:
        """The node where the segments from `at` on end; `values` are the parameters up to it."""
        if at == len(segments):
            return self if self.templates else None
        segment = segments[at]
        child = self.texts.get(segment)
        found = child.find(segments, at + 1, values) if child is not None else None
        for kind, node in self.kinds.items() if found is None else ():
            value: str | int = segment
            following = at + 1
            if kind == "path":
                value, following = "/".join(segments[at:]), len(segments)
            elif kind == "int":
                if not _INT.fullmatch(segment):
                    continue
                value = int(segment)
            elif not segment:
                continue
            values.append(value)
            found = node.find(segments, following, values)
            if found is not None:
                break
            values.pop()
        return found


class Routes(Generic[_T]):
    """Templates with their targets."""

    def __init__(self) -> None:
        self._texts: dict[str, _T] = {}
        self._tree: _Node[_T] = _Node()

    def add(self, template: str, target: _T) -> None:
        """Let a target answer the paths of a template.

        Raises:
            ValueError: the template is malformed, or matches the same paths as an earlier one.
        """
        segments = _parse(template)
        names = tuple(text for text, kind in segments if kind is not None)
        if not names:
            if template in self._texts:
                raise ValueError(f"path {show(template)} is taken already")
            self._texts[template] = target
        node = self._tree
        for text, kind in segments:
            node = node.child(text, kind)
        if node.templates:
            raise ValueError(
                f"path {show(template)} is ambiguous: it matches the same paths as "
                f"{show(node.templates[0][0])}"
            )
        node.templates.append((template, names, target))

    def get(self, template: str) -> _T | None:
        """The target of a template, as it was given to `add`."""
        node: _Node[_T] | None = self._tree
        for text, kind in _parse(template):
            if node is not None:
                node = (node.texts if kind is None else node.kinds).get(kind or text)
        ends = [] if node is None else node.templates
        return next((target for known, _, target in ends if known == template), None)

    def find(self, path: str) -> Found[_T] | None:
        """Match the path of a request, percent-encoded as it came; None: nothing is there."""
        target = self._texts.get(path)
        if target is not None:
            return target, ()
        segments = path.split("/")
        if "%" in path:
            try:
                segments = [urllib.parse.unquote(each, errors="strict") for each in segments]
            except UnicodeDecodeError:
                return None
        values: list[str | int] = []
        node = self._tree.find(segments, 0, values)
        if node is None:
            return None
        _, names, target = node.templates[0]
        return target, tuple(each for pair in zip(names, values, strict=True) for each in pair)


def _parse(template: str) -> list[tuple[str, str | None]]:
    """The segments of a template: (text, None), or (name, kind) of a parameter.

    Raises:
        ValueError: the template is malformed; the message names the rule.
    """
    if not template.startswith("/"):
        raise ValueError(f"path {show(template)} does not begin with a slash")
    segments = template.split("/")
    parsed = [_parse_segment(template, segment) for segment in segments]
    names = [name for name, kind in parsed if kind is not None]
    if len(set(names)) < len(names):
        raise ValueError(f"path {show(template)} has two parameters of one name")
    if any(kind == "path" for _, kind in parsed[:-1]):
        raise ValueError(f"path {show(template)}: a parameter of kind path must be the last")
    return parsed


def _parse_segment(template: str, segment: str) -> tuple[str, str | None]:
    parameter = _PARAMETER.fullmatch(segment)
    if parameter is None:
        if not _TEXT.fullmatch(segment):
            raise ValueError(
                f"path {show(template)}: {show(segment)} is neither text (without braces, '?', "
                "'#', '%' and white space: paths are matched decoded) nor one whole {parameter}"
            )
        return segment, None
    name, kind = parameter[1], parameter[2] or "str"
    if not name.isidentifier() or parameter[2] == "":
        raise ValueError(f"path {show(template)}: {show(segment)} has no identifier for a name")
    if kind not in _KINDS:
        raise ValueError(f"path {show(template)}: kind {show(kind)} is none of int, str, path")
    return name, kind
