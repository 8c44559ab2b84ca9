"""Certificates, names, versions: what they do in a handshake, and how mistakes are answered."""

from __future__ import annotations

import shutil
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from certificates import Authority, authority, client, secure_peer, server
from sockets import Net, Recorder, network
from wsfast.client import connect
from wsfast.endpoint import Endpoint
from wsfast.errors import LocalProtocolError, TlsFailed
from wsfast.server import Server
from wsfast.tlsconfig import Certificate, TlsClient, TlsServer


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    yield from network(request)


def refused(net: Net, handler: Recorder) -> TlsFailed:
    """How the opening of a connection failed."""
    net.until(lambda: handler.named("failed"))
    failure = handler.named("failed")[0][1]
    assert isinstance(failure, TlsFailed), failure
    return failure


def opened(net: Net, target: Server, tls: Any) -> Endpoint:
    """A client of ours that comes through."""
    handler = Recorder()
    net.client(target, handler, tls=tls)
    net.until(lambda: handler.names())
    assert handler.names() == ["open"], handler.events
    return handler.endpoints[0]


def subject(ws: Endpoint) -> str:
    """The first name that the peer's certificate is for."""
    return ws.tls.peer_certificate["subjectAltName"][0][1]


# --- what a client verifies ----------------------------------------------------------------------


def test_a_client_verifies_by_default(net: Net) -> None:
    handler = Recorder()
    served = Recorder()
    net.client(net.server(served, tls=server()), handler)
    failure = refused(net, handler)
    assert failure.reason == "CERTIFICATE_VERIFY_FAILED"
    assert "unable to get local issuer certificate" in str(failure)
    assert "unknown ca" in str(refused(net, served))


def test_a_ready_context_without_verification(net: Net) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    assert opened(net, net.server(Recorder(), tls=server()), context).tls.peer_certificate == {}


def test_verification_can_be_turned_off(net: Net) -> None:
    ws = opened(net, net.server(Recorder(), tls=server()), TlsClient(verify=False))
    assert ws.tls.peer_certificate == {}


def test_an_expired_certificate(net: Net) -> None:
    handler = Recorder()
    target = net.server(Recorder(), tls=TlsServer(*authority().expired()))
    net.client(target, handler, tls=client())
    assert refused(net, handler).verify_message == "certificate has expired"


def test_a_certificate_for_another_host(net: Net) -> None:
    handler = Recorder()
    target = net.server(Recorder(), tls=TlsServer(*authority().issue("other.example")))
    net.client(target, handler, tls=client())
    failure = refused(net, handler)
    assert "IP address mismatch, certificate is not valid for '127.0.0.1'" in str(failure)
    ws = opened(net, target, client(server_hostname="other.example"))
    assert subject(ws) == "other.example"


def test_an_authority_directory(net: Net, tmp_path: Path) -> None:
    """OpenSSL looks its files up by a hash; an empty one trusts nobody."""
    handler = Recorder()
    net.client(net.server(Recorder(), tls=server()), handler, tls=TlsClient(ca=tmp_path))
    assert refused(net, handler).reason == "CERTIFICATE_VERIFY_FAILED"


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("example.org", "example.org"),
        ("example.org.", "example.org"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("::1", "::1"),
        ("fe80::1%eth0", "fe80::1"),
    ],
)
def test_the_name_that_is_asked_for(host: str, name: str) -> None:
    session = client().sessions_for(host)()
    assert session.ssl_object.server_hostname == name


def test_the_default_is_made_once() -> None:
    assert TlsClient.of(None) is TlsClient.of(None)
    assert TlsClient.of(None).context.verify_mode == ssl.CERT_REQUIRED
    assert TlsClient.of(None).context.check_hostname


def test_tls_that_does_not_go_with_the_url() -> None:
    with pytest.raises(TypeError, match="neither a TlsClient nor"):
        connect("wss://127.0.0.1:1/", object(), tls="yes")
    with pytest.raises(LocalProtocolError, match="wss://"):
        connect("ws://127.0.0.1:1/", object(), tls=client())


# --- client certificates -------------------------------------------------------------------------


def test_a_client_certificate(net: Net) -> None:
    served = Recorder()
    target = net.server(served, tls=server(client_ca=authority().file))
    chain, key = authority().issue("alice.example")
    opened(net, target, client(certificate=chain, key=key))
    assert subject(served.endpoints[0]) == "alice.example"


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_missing_client_certificate(net: Net, version: str) -> None:
    handler, served = Recorder(), Recorder()
    tls = server(client_ca=authority().file, maximum_version=version)
    net.client(net.server(served, tls=tls), handler, tls=client())
    assert "peer did not return a certificate" in str(refused(net, served))
    failure = refused(net, handler)
    assert "alert" in str(failure)


def test_an_untrusted_client_certificate(net: Net) -> None:
    served = Recorder()
    target = net.server(served, tls=server(client_ca=authority().file))
    stranger = Authority()
    net.client(target, Recorder(), tls=client(certificate=Certificate(*stranger.files)))
    assert "certificate verify failed" in str(refused(net, served))


def test_an_optional_client_certificate(net: Net) -> None:
    served = Recorder()
    tls = server(client_ca=authority().file, client_certificates="optional")
    target = net.server(served, tls=tls)
    opened(net, target, client())
    opened(net, target, client(certificate=Certificate(*authority().issue("bob.example"))))
    assert served.endpoints[0].tls.peer_certificate is None
    assert subject(served.endpoints[1]) == "bob.example"


# --- names, protocols, versions ------------------------------------------------------------------


def test_certificates_by_name(net: Net) -> None:
    names = {
        "One.example": Certificate(*authority().issue("one.example")),
        "*.two.example": Certificate(*authority().issue("*.two.example")),
        "bücher.example": Certificate(*authority().issue("bücher.example")),
    }
    target = net.server(Recorder(), tls=server(names=names))

    def seen(name: str, **options: Any) -> str:
        return subject(opened(net, target, client(server_hostname=name, **options)))

    assert seen("one.example") == "one.example"
    assert seen("a.two.example") == "*.two.example"
    assert seen("xn--bcher-kva.example") == "xn--bcher-kva.example"
    assert seen("localhost") == subject(opened(net, target, client()))


def test_client_certificates_are_asked_for_under_every_name(net: Net) -> None:
    served = Recorder()
    names = {"one.example": Certificate(*authority().issue("one.example"))}
    target = net.server(served, tls=server(names=names, client_ca=authority().file))
    net.client(target, Recorder(), tls=client(server_hostname="one.example"))
    assert "peer did not return a certificate" in str(refused(net, served))
    alice = Certificate(*authority().issue("alice.example"))
    opened(net, target, client(server_hostname="one.example", certificate=alice))
    assert subject(served.endpoints[-1]) == "alice.example"


@pytest.mark.parametrize("name", ["", "*", "*.*.example", "a..b", "x" * 64])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(ValueError, match="in names"):
        server(names={name: Certificate(*authority().files)})


def test_alpn(net: Net) -> None:
    target = net.server(Recorder(), tls=server(alpn=("other", "http/1.1")))
    assert opened(net, target, client()).tls.alpn == "http/1.1"
    assert opened(net, target, client(alpn=("http/1.1", "other"))).tls.alpn == "other"
    assert opened(net, target, client(alpn=("h2",))).tls.alpn is None
    assert opened(net, target, client(alpn=())).tls.alpn is None


def test_the_minimum_version(net: Net) -> None:
    handler, served = Recorder(), Recorder()
    target = net.server(served, tls=server(minimum_version="1.3"))
    net.client(target, handler, tls=client(maximum_version="1.2"))
    assert "protocol version" in str(refused(net, handler))
    assert "unsupported protocol" in str(refused(net, served))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_peer_of_an_old_version_is_refused(net: Net) -> None:
    served = Recorder()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(authority().file)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    secure_peer(net, net.server(served, tls=server()), context=context)
    assert "unsupported protocol" in str(refused(net, served))


def test_ciphers(net: Net) -> None:
    tls = server(ciphers="ECDHE+CHACHA20", maximum_version="1.2")
    ws = opened(net, net.server(Recorder(), tls=tls), client())
    assert "CHACHA20" in ws.tls.cipher


# --- reloading -----------------------------------------------------------------------------------


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """The files of a certificate for "old.example", to be written over."""
    chain, key = authority().issue("old.example", "127.0.0.1")
    return Path(shutil.copy(chain, tmp_path)), Path(shutil.copy(key, tmp_path))


def replace(pair: tuple[Path, Path], *names: str) -> None:
    for made, path in zip(authority().issue(*names, "127.0.0.1"), pair, strict=True):
        shutil.copy(made, path)


def test_reloading(net: Net, pair: tuple[Path, Path]) -> None:
    tls = TlsServer(*pair)
    served = Recorder()
    target = net.server(served, tls=tls)
    before = opened(net, target, client())
    replace(pair, "new.example")
    assert subject(opened(net, target, client())) == "old.example"
    tls.reload()
    assert subject(opened(net, target, client())) == "new.example"
    assert before.send("still open")
    net.until(lambda: served.messages)


def test_a_broken_file_leaves_the_old_one(net: Net, pair: tuple[Path, Path]) -> None:
    tls = TlsServer(*pair)
    target = net.server(Recorder(), tls=tls)
    pair[0].write_text("nothing")
    with pytest.raises(ValueError, match="holds no certificate"):
        tls.reload()
    pair[0].unlink()
    with pytest.raises(FileNotFoundError, match="certificate cannot be read"):
        tls.reload()
    assert subject(opened(net, target, client())) == "old.example"


def test_a_handshake_under_way_keeps_its_certificate(net: Net, pair: tuple[Path, Path]) -> None:
    tls = TlsServer(*pair)
    target = net.server(Recorder(), tls=tls)
    peer = secure_peer(net, target)
    net.until(lambda: target.connections)
    replace(pair, "new.example")
    tls.reload()
    peer.secure()
    assert peer.ssl.getpeercert()["subjectAltName"][0][1] == "old.example"


def test_names_are_reloaded(net: Net, pair: tuple[Path, Path]) -> None:
    tls = server(names={"old.example": Certificate(*pair)})
    target = net.server(Recorder(), tls=tls)
    replace(pair, "old.example", "new.example")
    tls.reload()
    names = opened(net, target, client(server_hostname="old.example")).tls.peer_certificate
    assert ("DNS", "new.example") in names["subjectAltName"]


# --- ready contexts ------------------------------------------------------------------------------


def test_a_ready_context(net: Net) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority().files)
    target = net.server(Recorder(), tls=context)
    assert target.tls is not None
    assert target.tls.context is context
    assert context.options & ssl.OP_NO_RENEGOTIATION
    opened(net, target, client().context)
    with pytest.raises(TypeError, match="no files to reload"):
        target.tls.reload()


def test_a_ready_context_for_the_other_side() -> None:
    with pytest.raises(ValueError, match="for the other side"):
        TlsServer(context=client().context)
    with pytest.raises(ValueError, match="for the other side"):
        TlsClient(context=server().context)


# --- mistakes ------------------------------------------------------------------------------------


def test_files_that_are_not_there(tmp_path: Path) -> None:
    chain, key = authority().files
    absent = str(tmp_path / "absent.pem")
    with pytest.raises(FileNotFoundError, match="certificate cannot be read.*absent.pem"):
        TlsServer(absent, key)
    with pytest.raises(FileNotFoundError, match="key cannot be read.*absent.pem"):
        TlsServer(chain, absent)
    with pytest.raises(FileNotFoundError, match="authorities cannot be read.*absent.pem"):
        TlsServer(chain, key, client_ca=absent)
    with pytest.raises(IsADirectoryError, match="certificate cannot be read"):
        TlsServer(tmp_path, key)


def test_files_that_hold_something_else(tmp_path: Path) -> None:
    chain, key = authority().files
    with pytest.raises(ValueError, match=r"\.key' holds no certificate in PEM form"):
        TlsServer(key, key)
    with pytest.raises(ValueError, match=r"\.pem' holds no key in PEM form"):
        TlsServer(chain)
    damaged = tmp_path / "damaged.pem"
    damaged.write_text("-----BEGIN CERTIFICATE-----\nnot base64 at all\n")
    with pytest.raises(ValueError, match="damaged.pem' with key .* is refused"):
        TlsServer(damaged, key)
    with pytest.raises(ValueError, match="authorities .*damaged.pem' cannot be read"):
        TlsClient(ca=damaged)


def test_a_key_of_another_certificate() -> None:
    (chain, _), (_, key) = authority().files, authority().issue("other.example")
    with pytest.raises(ValueError, match="does not belong to certificate"):
        TlsServer(chain, key)


def test_a_certificate_with_its_key_in_one_file(tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_text("".join(Path(name).read_text() for name in authority().files))
    assert TlsServer(both).open_session().ssl_object.server_side


def test_a_key_with_a_password(tmp_path: Path) -> None:
    serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")
    chain, key = authority().files
    locked = tmp_path / "locked.key"
    plain = serialization.load_pem_private_key(Path(key).read_bytes(), None)
    locked.write_bytes(
        plain.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    assert TlsServer(chain, locked, password="secret").context is not None
    with pytest.raises(ValueError, match="it needs a password"):
        TlsServer(chain, locked)
    with pytest.raises(ValueError, match="the password is wrong"):
        TlsServer(chain, locked, password="guess")
    assert "secret" not in repr(Certificate(chain, locked, "secret"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"minimum_version": "1.1"}, "minimum_version is '1.1', not '1.2' or '1.3'"),
        ({"maximum_version": "1.0"}, "maximum_version is '1.0'"),
        ({"minimum_version": "1.3", "maximum_version": "1.2"}, "below"),
        ({"ciphers": "NOTHING"}, "ciphers is 'NOTHING'"),
        ({"client_certificates": "perhaps"}, "client_certificates is 'perhaps'"),
        ({"client_certificates": "required"}, "does not go with"),
        ({"client_ca": "x", "client_certificates": "none"}, "does not go with"),
    ],
)
def test_options_that_are_none(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        server(**options)


def test_arguments_that_do_not_go_together() -> None:
    with pytest.raises(TypeError, match="either a certificate or a context"):
        TlsServer()
    with pytest.raises(TypeError, match="either a certificate or a context"):
        TlsServer(authority().files[0], context=server().context)
    with pytest.raises(TypeError, match="a ready context says itself"):
        TlsClient(context=client().context, verify=False)
    with pytest.raises(TypeError, match="alpn is the str"):
        server(alpn="http/1.1")
    with pytest.raises(TypeError, match="neither a TlsServer nor"):
        Server(object(), port=0, tls=True)
