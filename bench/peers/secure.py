"""The TLS context of a server that is measured, from its command line."""

from __future__ import annotations

import argparse
import ssl

__all__ = ["context", "scheme"]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--certificate")
    parser.add_argument("--key")
    return parser.parse_args()


def context() -> ssl.SSLContext | None:
    """With --certificate and --key; else None: no TLS."""
    options = _options()
    if options.certificate is None:
        return None
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(options.certificate, options.key)
    return made


def scheme() -> str:
    """That of the server's URL."""
    return "ws" if _options().certificate is None else "wss"
