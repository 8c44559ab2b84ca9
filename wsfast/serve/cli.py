"""wsfast-serve: reads its command line, loads the application, and runs it."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from wsfast.logs import configure
from wsfast.running import REFUSED, Running
from wsfast.serve.loading import LoadError, load
from wsfast.serve.options import parse
from wsfast.site import Site

__all__ = ["main"]

_log = logging.getLogger("wsfast.serve")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run wsfast-serve until SIGINT or SIGTERM; exits with 0 then, with 1 if it cannot serve."""
    options = parse(arguments)
    configure(options.log_level, as_json=options.log_json)
    try:
        status = _running(options).run()
    except REFUSED as error:
        _log.error("%s", error)
        status = 1
    sys.exit(status)


def _running(options: argparse.Namespace) -> Running:
    """What a command line asks for."""

    def load_application() -> object:
        application = load(options.target, options.app_dir)
        if isinstance(application, Site) and options.origins is not None:
            raise LoadError(f"--origin: {options.target} is an App, which says itself who may")
        return application

    return Running(load_application, options.run, _announce, options.origins)


def _announce(urls: str) -> None:
    print(f"listening on {urls}", flush=True)
