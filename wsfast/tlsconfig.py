"""TLS of a server and of a client: certificates, names, versions; mistakes are told at once."""

from __future__ import annotations

import dataclasses
import functools
import os
import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from wsfast.tls import TlsSession

__all__ = ["Certificate", "TlsClient", "TlsServer"]

_Path = str | os.PathLike[str]
_Password = str | bytes | None
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_CLIENT_CERTIFICATES = {
    "none": ssl.CERT_NONE,
    "optional": ssl.CERT_OPTIONAL,
    "required": ssl.CERT_REQUIRED,
}


@dataclasses.dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate and its key, as PEM files; read whenever a context is made of them.

    Attributes:
        chain: file of the certificate, followed by those that signed it.
        key: file of its private key; None: it is in the same file.
        password: of the key; None: it has none.
    """

    chain: _Path
    key: _Path | None = None
    password: _Password = dataclasses.field(default=None, repr=False)

    def load_into(self, context: ssl.SSLContext) -> None:
        """Read the files, and check that they belong together.

        Raises:
            OSError: a file cannot be read.
            ValueError: a file holds no such thing, the password is wrong, or the key belongs to
                another certificate.
        """
        chain, key = os.fspath(self.chain), os.fspath(self.key or self.chain)
        _require(chain, "certificate", b"-----BEGIN CERTIFICATE-----")
        _require(key, "key", b"PRIVATE KEY-----")
        asked: list[bool] = []

        def password() -> str | bytes:  # without one OpenSSL would ask on the terminal
            asked.append(True)
            return self.password or b""

        try:
            context.load_cert_chain(chain, key, password)
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise ValueError(
                    f"key {key!r} does not belong to certificate {chain!r}"
                ) from error
            if asked:
                trouble = "the password is wrong" if self.password else "it needs a password"
                raise ValueError(f"key {key!r} cannot be decrypted: {trouble}") from error
            raise ValueError(
                f"certificate {chain!r} with key {key!r} is refused: {_why(error)}"
            ) from error


class TlsServer:
    """How a server speaks TLS.

    Args:
        certificate: a `Certificate`, or the file of one; its key then is `key`.
        key, password: as for `Certificate`.
        names: further certificates, by the name that a client asks for (SNI, RFC 6066 section 3);
            "*.example.org" stands for one label. Who asks for another name, or none, gets
            `certificate`.
        client_ca: file or directory of the authorities whose clients are let in.
        client_certificates: "none" asks for none, "optional" verifies one that is sent,
            "required" refuses who sends none; without it "required" with `client_ca`, else "none".
        alpn: protocols to agree on, the preferred first (RFC 7301); a client that offers none of
            them goes on without.
        minimum_version, maximum_version: "1.2" or "1.3".
        ciphers: of TLS 1.2, as OpenSSL writes lists of them.
        context: a ready `ssl.SSLContext` in place of all this; it is told to refuse
            renegotiation.

    Raises:
        OSError: a file cannot be read.
        ValueError: a file does not hold what it should, or an option is none of those above.
        TypeError: neither a certificate nor a context is given, or both are.
    """

    def __init__(
        self,
        certificate: Certificate | _Path | None = None,
        key: _Path | None = None,
        *,
        password: _Password = None,
        names: Mapping[str, Certificate] | None = None,
        client_ca: _Path | None = None,
        client_certificates: Literal["none", "optional", "required"] | None = None,
        alpn: Sequence[str] = ("http/1.1",),
        minimum_version: str = "1.2",
        maximum_version: str | None = None,
        ciphers: str | None = None,
        context: ssl.SSLContext | None = None,
    ) -> None:
        if (certificate is None) is (context is None):
            raise TypeError("TlsServer takes either a certificate or a context")
        if certificate is not None and not isinstance(certificate, Certificate):
            certificate = Certificate(certificate, key, password)
        wanted = client_certificates or ("none" if client_ca is None else "required")
        if wanted not in _CLIENT_CERTIFICATES:
            raise ValueError(
                f"client_certificates is {wanted!r}, not 'none', 'optional' or 'required'"
            )
        if (wanted == "none") is not (client_ca is None):
            raise ValueError(f"client_certificates {wanted!r} does not go with {client_ca=}")
        self._certificate = certificate
        self._names = {_ascii_name(name): each for name, each in (names or {}).items()}
        self._client_ca = client_ca
        self._verify_mode = _CLIENT_CERTIFICATES[wanted]
        self._new = functools.partial(
            _new_context,
            ssl.PROTOCOL_TLS_SERVER,
            minimum_version,
            maximum_version,
            ciphers,
            alpn,
        )
        if context is not None:
            _check_ready(context, server_side=True)
        self._contexts = _Contexts(context, {}) if context is not None else self._load()

    @classmethod
    def of(cls, value: TlsServer | ssl.SSLContext) -> TlsServer:
        """What the `tls` option of a server means.

        Raises:
            TypeError: it is neither a TlsServer nor a context.
        """
        if isinstance(value, cls):
            return value
        if isinstance(value, ssl.SSLContext):
            return cls(context=value)
        raise TypeError(f"tls is {value!r}, neither a TlsServer nor an ssl.SSLContext")

    @property
    def context(self) -> ssl.SSLContext:
        """What the next connection begins with."""
        return self._contexts.default

    def reload(self) -> None:
        """Read all files again; connections from now on get what they hold.

        What is open, or in its handshake, stays as it is. If anything is wrong with the files,
        the certificates before stay in use, too.

        Raises:
            OSError, ValueError: as for the class.
            TypeError: the context was given ready; there are no files to read.
        """
        self._contexts = self._load()

    def open_session(self) -> TlsSession:
        """The session of a new connection."""
        return TlsSession(self._contexts.default, server_side=True)

    def _load(self) -> _Contexts:
        if self._certificate is None:
            raise TypeError("a TlsServer with a ready context has no files to reload")
        names = {name: self._load_context(each) for name, each in self._names.items()}
        return _Contexts(self._load_context(self._certificate), names)

    def _load_context(self, certificate: Certificate) -> ssl.SSLContext:
        context = self._new()
        certificate.load_into(context)
        if self._client_ca is not None:
            _load_authorities(context, self._client_ca)
        context.verify_mode = self._verify_mode
        return context


class _Contexts:
    """All contexts of one load; the first one looks for another one by the name asked for."""

    def __init__(self, default: ssl.SSLContext, names: dict[str, ssl.SSLContext]) -> None:
        self.default = default
        self._names = names
        if names:
            default.sni_callback = self.choose

    def choose(
        self, session: ssl.SSLObject, name: str | None, context: ssl.SSLContext
    ) -> int | None:
        """Called by OpenSSL while it reads the ClientHello."""
        asked = (name or "").lower().removesuffix(".")
        found = self._names.get(asked) or self._names.get("*." + asked.partition(".")[2])
        if found is not None:
            session.context = found
        return None


class TlsClient:
    """How a client speaks TLS; by default it verifies the server against the system's authorities.

    Args:
        ca: file or directory of the authorities to trust; None: those of the system.
        certificate: a `Certificate` to show to the server, or the file of one.
        key, password: as for `Certificate`.
        verify: whether the server's certificate and name are verified. Without that, anybody on
            the way can read and change everything.
        server_hostname: name or address that the certificate must be for, and that is asked for
            (SNI); None: the host of the URL.
        alpn, minimum_version, maximum_version, ciphers, context: as for `TlsServer`.

    Raises:
        OSError, ValueError: as for `TlsServer`.
        TypeError: a context is given beside the files that it would hold.
    """

    def __init__(
        self,
        *,
        ca: _Path | None = None,
        certificate: Certificate | _Path | None = None,
        key: _Path | None = None,
        password: _Password = None,
        verify: bool = True,
        server_hostname: str | None = None,
        alpn: Sequence[str] = ("http/1.1",),
        minimum_version: str = "1.2",
        maximum_version: str | None = None,
        ciphers: str | None = None,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._server_hostname = server_hostname
        if context is not None:
            if ca is not None or certificate is not None or not verify:
                raise TypeError("a ready context says itself what it trusts, shows and verifies")
            _check_ready(context, server_side=False)
            self.context = context
            return
        self.context = _new_context(
            ssl.PROTOCOL_TLS_CLIENT, minimum_version, maximum_version, ciphers, alpn
        )
        if not verify:
            self.context.check_hostname = False
            self.context.verify_mode = ssl.CERT_NONE
        elif ca is None:
            self.context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        else:
            _load_authorities(self.context, ca)
        if certificate is not None:
            if not isinstance(certificate, Certificate):
                certificate = Certificate(certificate, key, password)
            certificate.load_into(self.context)

    @classmethod
    def of(cls, value: TlsClient | ssl.SSLContext | None) -> TlsClient:
        """What the `tls` option of a client means; None is the default.

        Raises:
            TypeError: it is neither a TlsClient nor a context.
        """
        if value is None:
            return _default_client()
        if isinstance(value, cls):
            return value
        if isinstance(value, ssl.SSLContext):
            return cls(context=value)
        raise TypeError(f"tls is {value!r}, neither a TlsClient nor an ssl.SSLContext")

    def sessions_for(self, host: str) -> Callable[[], TlsSession]:
        """What makes the sessions of connections to a host.

        Args:
            host: of the URL: a name in its IDNA form, or an address without brackets.

        Raises:
            ValueError: it can be no name of a server.
        """
        name = self._server_hostname or host.partition("%")[0].removesuffix(".")
        make = functools.partial(TlsSession, self.context, server_side=False, server_hostname=name)
        make()  # raises now, not per connection
        return make


@functools.cache
def _default_client() -> TlsClient:
    """Shared by all: reading the authorities of the system takes some milliseconds."""
    return TlsClient()


def _new_context(
    protocol: int,
    minimum_version: str,
    maximum_version: str | None,
    ciphers: str | None,
    alpn: Sequence[str],
) -> ssl.SSLContext:
    for name, version in (
        ("minimum_version", minimum_version),
        ("maximum_version", maximum_version or minimum_version),
    ):
        if version not in _VERSIONS:
            raise ValueError(f"{name} is {version!r}, not '1.2' or '1.3' (RFC 8996)")
    if maximum_version is not None and maximum_version < minimum_version:
        raise ValueError(f"{maximum_version=} is below {minimum_version=}")
    context = ssl.SSLContext(protocol)
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.minimum_version = _VERSIONS[minimum_version]
    if maximum_version is not None:
        context.maximum_version = _VERSIONS[maximum_version]
    if ciphers is not None:
        try:
            context.set_ciphers(ciphers)
        except ssl.SSLError as error:
            raise ValueError(f"ciphers is {ciphers!r}: OpenSSL knows none of them") from error
    if isinstance(alpn, str):
        raise TypeError(f"alpn is the str {alpn!r}, not a list of names")
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def _check_ready(context: ssl.SSLContext, *, server_side: bool) -> None:
    try:
        context.wrap_bio(
            ssl.MemoryBIO(), ssl.MemoryBIO(), server_side, None if server_side else "x"
        )
    except ssl.SSLError as error:
        raise ValueError(f"{context!r} is for the other side: {_why(error)}") from error
    context.options |= ssl.OP_NO_RENEGOTIATION


def _load_authorities(context: ssl.SSLContext, path: _Path) -> None:
    name = os.fspath(path)
    if os.path.isdir(name):
        context.load_verify_locations(capath=name)
        return
    _require(name, "authorities", b"-----BEGIN")
    try:
        context.load_verify_locations(cafile=name)
    except ssl.SSLError as error:
        raise ValueError(f"authorities {name!r} cannot be read: {_why(error)}") from error


def _require(path: str, what: str, mark: bytes) -> None:
    """Raise what tells the user more than OpenSSL would."""
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise type(error)(error.errno, f"{what} cannot be read: {error.strerror}", path) from None
    if mark not in content:
        raise ValueError(f"{path!r} holds no {what} in PEM form")


def _ascii_name(name: str) -> str:
    """A name of `names` as clients send it: IDNA, lower case.

    Raises:
        ValueError: it can be no name.
    """
    try:
        plain = name.removeprefix("*.").encode("idna").decode("ascii").lower()
    except UnicodeError as error:
        raise ValueError(f"{name!r} in names has no IDNA form: {error} (RFC 3490)") from None
    if not plain or "*" in plain:
        raise ValueError(f"{name!r} in names is neither a name nor *.name (RFC 6125 6.4.3)")
    return f"*.{plain}" if name.startswith("*.") else plain


def _why(error: ssl.SSLError) -> str:
    """What OpenSSL says, in words."""
    return (error.reason or str(error)).replace("_", " ").lower()
