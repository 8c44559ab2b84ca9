"""Drop-in speedups: the WebSocket libraries that people already use, made faster in place.

    import wsfast.speedups

    wsfast.speedups.install()

replaces the hot functions of every supported library by compiled ones that do the same, byte for
byte and error for error; of libraries that are not imported yet as soon as they are. Without a
change of code: `python -m wsfast.speedups run uvicorn app:app`.

The environment variable `WSFAST_SPEEDUPS` gives the defaults ("kernels", "websockets,wsproto"),
and turns everything off with "off", whatever the code asks for.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

from .library import SpeedupsError
from .registry import Registry
from .report import Report
from .target import Level

__all__ = ["Report", "SpeedupsError", "install", "installed", "registry", "status", "uninstall"]

#: What is patched in this process.
registry = Registry()


def install(
    *libraries: str,
    level: Level | None = None,
    strict: bool = False,
    allow_untested: bool | None = None,
) -> None:
    """Replace the hot functions of libraries; again for what is installed already changes nothing.

    Each version and each function that is replaced is checked against what was tested, and the
    replacements are compared with the originals on random inputs before they stay. What does not
    pass is left alone, with a warning in the log of `wsfast.speedups`.

    Args:
        libraries: names as on the package index; none: every supported one but wsaccel.
        level: "kernels" replaces masking and UTF-8 validation, "frames" whole frames as well;
            by default what WSFAST_SPEEDUPS says, else "frames".
        strict: raise if a library that is installed cannot be replaced as asked, or a named one is
            absent; for one that is not imported yet, its import raises.
        allow_untested: take versions outside of the tested range too, if their functions pass
            the same checks.

    Raises:
        ValueError: an unknown library or level, here or in WSFAST_SPEEDUPS.
        SpeedupsError: see `strict`.
    """
    registry.install(*libraries, level=level, strict=strict, allow_untested=allow_untested)


def uninstall(*libraries: str) -> None:
    """Put back exactly what was there, where nobody has patched over it since.

    Args:
        libraries: names as on the package index; none: every one.

    Raises:
        ValueError: an unknown library.
    """
    registry.uninstall(*libraries)


def installed(
    *libraries: str,
    level: Level | None = None,
    strict: bool = False,
    allow_untested: bool | None = None,
) -> AbstractContextManager[None]:
    """`install` for the length of a `with` block; afterwards everything is as it was before."""
    return registry.installed(
        *libraries, level=level, strict=strict, allow_untested=allow_untested
    )


def status(*libraries: str) -> tuple[Report, ...]:
    """The state of libraries in this process: what is replaced, or why nothing is.

    Args:
        libraries: names as on the package index; none: every one.

    Raises:
        ValueError: an unknown library.
    """
    return registry.status(*libraries)
