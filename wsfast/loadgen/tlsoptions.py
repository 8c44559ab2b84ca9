"""The TLS options of wsfast-bench, and what a worker makes of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

from wsfast.loadgen.opening import TOKEN
from wsfast.tls import TlsSession
from wsfast.tlsconfig import TlsClient
from wsfast.url import parse_url

__all__ = ["TLS_OPTIONS", "sessions_of", "tls_of"]

VERSION = click.Choice(["1.2", "1.3"])

TLS_OPTIONS = (
    click.option(
        "-k",
        "--insecure",
        is_flag=True,
        help="wss://: do not verify the server's certificate.",
    ),
    click.option("--cacert", metavar="FILE", help="Authorities to trust instead of the system's."),
    click.option("--cert", metavar="FILE", help="A client certificate to show."),
    click.option("--key", metavar="FILE", help="Its key, if it is not in the same file."),
    click.option(
        "--servername",
        metavar="NAME",
        help="Whom the certificate must be for (SNI).  [default: the host of the URL]",
    ),
    click.option("--tls-min", type=VERSION, help="Lowest version of TLS.  [default: 1.2]"),
    click.option("--tls-max", type=VERSION, help="Highest version of TLS.  [default: 1.3]"),
)


def tls_of(url: str, options: Mapping[str, Any]) -> dict[str, Any] | None:
    """The TLS part of a plan; None for a ws:// URL.

    Raises:
        click.UsageError: an option does not go with the URL or with another one, or a file is not
            what it should be.
    """
    given = {
        "--insecure": options["insecure"],
        "--cacert": options["cacert"],
        "--cert": options["cert"],
        "--key": options["key"],
        "--servername": options["servername"],
        "--tls-min": options["tls_min"],
        "--tls-max": options["tls_max"],
    }
    named = [name for name, value in given.items() if value]
    if not parse_url(url.replace(TOKEN, "token")).secure:
        if named:
            raise click.UsageError(f"{named[0]} is for wss://, and the URL is ws://")
        return None
    if options["key"] and not options["cert"]:
        raise click.UsageError("--key goes with --cert")
    if options["insecure"] and options["cacert"]:
        raise click.UsageError("--insecure verifies nothing: --cacert does not go with it")
    tls = {
        "verify": not options["insecure"],
        "ca": options["cacert"],
        "certificate": options["cert"],
        "key": options["key"],
        "server_hostname": options["servername"],
        "minimum_version": options["tls_min"] or "1.2",
        "maximum_version": options["tls_max"],
    }
    try:
        sessions_of(url, tls)
    except (OSError, ValueError) as error:
        raise click.UsageError(str(error)) from None
    return tls


def sessions_of(url: str, tls: Mapping[str, Any] | None) -> Callable[[], TlsSession] | None:
    """What makes the TLS sessions of connections to a URL; None without TLS.

    Raises:
        OSError, ValueError: a file is not what it should be.
    """
    if tls is None:
        return None
    return TlsClient(**tls).sessions_for(parse_url(url.replace(TOKEN, "token")).host)
