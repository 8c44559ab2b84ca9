"""The application that a command line names."""

from __future__ import annotations

import importlib
import inspect
import sys

from wsfast.site import CALLBACKS, Site

__all__ = ["LoadError", "load", "split_target"]


class LoadError(ValueError):
    """There is no such application; the text says what is missing, for whoever typed the name."""


def split_target(target: str) -> tuple[str, str]:
    """Module and attribute of "module:attribute", both dotted names.

    Raises:
        ValueError: it is not of that form.
    """
    module, _, attribute = target.partition(":")
    names = [*module.split("."), *attribute.split(".")]
    if not all(name.isidentifier() for name in names):
        raise ValueError(f"{target!r} is not of the form module:attribute")
    return module, attribute


def load(target: str, directory: str = "") -> object:
    """Import the module, and return its application: an `App`, or a handler of connections.

    Args:
        target: module:attribute; a class is called without arguments.
        directory: where modules are looked for first.

    Raises:
        ValueError: the target is not of that form.
        LoadError: there is no such module or attribute, or it handles nothing.
        Exception: whatever the module raises while it is imported.
    """
    module, attribute = split_target(target)
    if directory not in sys.path:
        sys.path.insert(0, directory)
    found = _attribute(_import(module, directory), module, attribute)
    if isinstance(found, type):
        found = _make(found, target)
    if isinstance(found, Site):
        return found
    if not any(callable(getattr(found, name, None)) for name in CALLBACKS):
        kind = type(found).__name__
        raise LoadError(f"{target} is a {kind}: no App, and with none of {', '.join(CALLBACKS)}")
    return found


def _make(found: type, target: str) -> object:
    """An object of a class, which must not ask for arguments."""
    try:
        inspect.signature(found).bind()
    except TypeError as error:
        raise LoadError(f"{target} is a class that needs arguments: {error}") from None
    return found()


def _import(module: str, directory: str) -> object:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # the module is there, and misses another one
        raise LoadError(
            f"there is no module {error.name!r} in {directory or 'the current directory'!r} "
            "or on sys.path"
        ) from None


def _attribute(found: object, module: str, attribute: str) -> object:
    for name in attribute.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise LoadError(f"module {module!r} has no attribute {attribute!r}") from None
    return found
