"""wsfast.handshake against the sans-I/O handshakes of websockets and wsproto, both ways."""

from __future__ import annotations

import pytest

from wsfast.handshake import Accepted, ClientHandshake, Rejected, Request, ServerHandshake

SIZES = [1, 2, 3, 7, 100_000]


def feed(handshake, data, size=100_000):
    """Feed all of it in pieces, and return the last answer."""
    result = None
    for at in range(0, len(data), size):
        result = handshake.receive(data[at : at + size])
    return result


def websockets_server():
    return pytest.importorskip("websockets.server").ServerProtocol(subprotocols=["chat"])


@pytest.mark.parametrize("size", SIZES)
def test_our_client_and_the_server_of_websockets(size):
    server = websockets_server()
    client = ClientHandshake("ws://a:81/b?c", subprotocols=["chat"], origin="http://a")
    for at in range(0, len(client.request), size):
        server.receive_data(client.request[at : at + size])
    (request,) = server.events_received()
    assert request.path == "/b?c"
    server.send_response(server.accept(request))
    server.send_text(b"hi")
    result = feed(client, b"".join(server.data_to_send()), size)
    assert isinstance(result, Accepted)
    assert result.subprotocol == "chat"
    assert client.trailing == b"\x81\x02hi"


def test_our_client_is_refused_by_the_server_of_websockets():
    server = websockets_server()
    client = ClientHandshake("ws://a/")
    server.receive_data(client.request)
    server.send_response(server.reject(418, "short and stout\n"))
    result = feed(client, b"".join(server.data_to_send()))
    assert isinstance(result, Rejected)
    assert (result.status, result.body) == (418, b"short and stout\n")


@pytest.mark.parametrize("size", SIZES)
def test_our_server_and_the_client_of_websockets(size):
    library = pytest.importorskip("websockets.client")
    uri = pytest.importorskip("websockets.uri").parse_uri("ws://u:p@a:81/b?c")
    client = library.ClientProtocol(uri, subprotocols=["chat"])
    client.send_request(client.connect())
    server = ServerHandshake()
    request = feed(server, b"".join(client.data_to_send()), size)
    assert isinstance(request, Request)
    assert (request.target, request.host) == ("/b?c", "a:81")
    answer = server.accept(request, subprotocol="chat")
    for at in range(0, len(answer), size):
        client.receive_data(answer[at : at + size])
    assert client.handshake_exc is None
    assert client.state.name == "OPEN"
    assert client.subprotocol == "chat"


@pytest.mark.parametrize("size", SIZES)
def test_our_client_and_the_server_of_wsproto(size):
    wsproto = pytest.importorskip("wsproto")
    server = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
    client = ClientHandshake("ws://a:81/b?c", subprotocols=["chat"])
    for at in range(0, len(client.request), size):
        server.receive_data(client.request[at : at + size])
    (request,) = server.events()
    assert (request.target, request.host, request.subprotocols) == ("/b?c", "a:81", ["chat"])
    answer = server.send(wsproto.events.AcceptConnection(subprotocol="chat"))
    result = feed(client, answer, size)
    assert isinstance(result, Accepted)
    assert result.subprotocol == "chat"


@pytest.mark.parametrize("size", SIZES)
def test_our_server_and_the_client_of_wsproto(size):
    wsproto = pytest.importorskip("wsproto")
    client = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
    deflate = pytest.importorskip("wsproto.extensions").PerMessageDeflate()
    sent = client.send(
        wsproto.events.Request(host="a", target="/b", subprotocols=["chat"], extensions=[deflate])
    )
    server = ServerHandshake()
    request = feed(server, sent, size)
    assert isinstance(request, Request)
    assert [name for name, _ in request.extensions] == ["permessage-deflate"]
    answer = server.accept(request, subprotocol="chat", extensions=[("permessage-deflate", [])])
    for at in range(0, len(answer), size):
        client.receive_data(answer[at : at + size])
    (accepted,) = client.events()
    assert isinstance(accepted, wsproto.events.AcceptConnection)
    assert accepted.subprotocol == "chat"
