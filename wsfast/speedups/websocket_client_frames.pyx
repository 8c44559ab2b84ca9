# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
# (sizes are checked before bytes are indexed; what is bound once is not written afterwards)
"""websocket-client's frames: `ABNF.format` and `frame_buffer.recv_frame`.

`frame_buffer.recv_frame` asks its `recv` for two bytes, then for the rest of the header, then for
the payload, at most 16384 bytes at a time, and never for more than the frame still has: whoever
waits for the socket to become readable relies on that. So does this one; only a plain socket is
asked for more of a large payload at once. What is read of a frame when `recv` fails (a timeout, as
an example) stays in the attributes where the library puts it, and the library's own code goes on
from there.
"""

cimport cython
from cpython.bool cimport PyBool_Check
from cpython.buffer cimport PyBUF_WRITE
from cpython.bytes cimport (
    PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
)
from cpython.long cimport PyLong_AsLongAndOverflow, PyLong_CheckExact
from cpython.memoryview cimport PyMemoryView_FromMemory
from cpython.method cimport PyMethod_Check, PyMethod_GET_FUNCTION, PyMethod_GET_SELF
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from wsfast.frame cimport load_big_endian, next_masking_key, write_header
from wsfast.speedups.building cimport frame_of
from wsfast.speedups.methods cimport Globals, Methods
from wsfast.speedups.websocket_client_kernels cimport is_bytes_like, masked

import socket
import threading

from wsfast.speedups.methods import random_source, stand_in

__all__ = ["Again", "Frames", "methods_of"]

#: What `with` does to one of these is known: acquire and release, 60 ns sooner.
cdef type LOCK = type(threading.Lock())

cdef enum:
    LARGEST_READ = 16384  # what recv_strict asks recv for at most
    LARGEST_PART = 1 << 20  # what is set aside before it has arrived
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


# --- what a socket said, said again --------------------------------------------------------------


class Again:
    """A socket whose next recv or send comes to what the last one came to.

    What an error means, and whether to wait and to try once more, is left to the library's code.

    Args:
        sock: what everything else, and every later call, goes to.
        error: what to raise.
        value: what to return, unless there is an error.
    """

    def __init__(self, sock, error=None, value=None):
        self._sock = sock
        self._error = error
        self._value = value
        self._told = False

    def __getattr__(self, name):
        return getattr(self._sock, name)

    def recv(self, size):
        """What the last one came to, once."""
        return self._tell() if not self._told else self._sock.recv(size)

    def send(self, data):
        """What the last one came to, once."""
        return self._tell() if not self._told else self._sock.send(data)

    def _tell(self):
        self._told = True
        if self._error is not None:
            raise self._error
        return self._value


class _Unusual(Exception):
    """`recv` returned something else than bytes."""


# --- building ------------------------------------------------------------------------------------


cdef inline int small(object value) except -2:
    """An int or bool from 0 to 15; else -1."""
    cdef long number
    cdef int overflow = 0
    if not PyLong_CheckExact(value) and not PyBool_Check(value):
        return -1
    number = PyLong_AsLongAndOverflow(value, &overflow)
    return <int>number if not overflow and 0 <= number <= 15 else -1


cdef inline int bit_of(dict own, str name) except -2:
    cdef int number = small(own.get(name))
    return number if number <= 1 else -1


cdef inline int first_byte(dict own) except -2:
    """FIN, RSV and opcode as they travel; -1 if the library has to look at them."""
    cdef int fin = bit_of(own, "fin")
    cdef int rsv1 = bit_of(own, "rsv1")
    cdef int rsv2 = bit_of(own, "rsv2")
    cdef int rsv3 = bit_of(own, "rsv3")
    cdef int opcode = small(own.get("opcode"))
    if fin < 0 or rsv1 < 0 or rsv2 < 0 or rsv3 < 0 or opcode < 0:
        return -1
    if opcode > PONG or BINARY < opcode < CLOSE:
        return -1
    return fin << 7 | rsv1 << 6 | rsv2 << 5 | rsv3 << 4 | opcode


cdef bytes header_without_key(int first, Py_ssize_t length):
    cdef uint8_t header[14]
    cdef int used = write_header(header, <uint8_t>first, <uint64_t>length, True, 0)
    return (<char *>header)[:used - 4]


# --- reading -------------------------------------------------------------------------------------


cdef inline bint holds_bytes(list parts) except -1:
    for part in parts:
        if not PyBytes_CheckExact(part):
            return False
    return True


def methods_of(owner, sample):
    """All methods of a class of the library, and the attributes of its instances.

    Args:
        owner: the class.
        sample: an instance, just made.

    Returns:
        Methods: of that class.
    """
    fields = tuple(vars(sample))
    names = [name for name, value in vars(owner).items() if callable(value)]
    names += [name for name, value in vars(owner).items() if isinstance(value, staticmethod)]
    names = [name for name in names if name not in fields]
    return Methods(owner, tuple(names), fields, len(fields))


@cython.final
cdef class Frames:
    """Reads and builds websocket-client's frames; bound to the library as it is now."""

    def __cinit__(self):
        from websocket import _abnf, _core, _exceptions, _socket
        from websocket._ssl_compat import ssl

        sample = _abnf.ABNF()
        self.ABNF = _abnf.ABNF
        self.abnf = methods_of(_abnf.ABNF, sample)
        self.buffer = methods_of(_abnf.frame_buffer, _abnf.frame_buffer(None, False))
        self.core = Globals(_core, "recv")
        self.classes = Globals(_abnf, "ABNF")
        self.socket = socket.socket
        self.ssl_socket = getattr(ssl, "SSLSocket", socket.socket)
        self.plain_socket = Methods(socket.socket, ("recv", "recv_into", "send"), (), 0)
        self.recv_of_socket = _socket.recv
        self.recv_of_connection = _core.WebSocket._recv
        self.closed_error = _exceptions.WebSocketConnectionClosedException
        self.urandom = random_source()
        self.mask_name = "mask_value" if "mask_value" in vars(sample) else "mask"

    def make_format(self, original):
        """A replacement of `ABNF.format`."""
        cdef Frames frames = self

        def format(self):
            cdef dict own = frames.abnf.attributes(self)
            result = None if own is None else frames.formatted(self, own)
            return original(self) if result is None else result

        return stand_in(format, original)

    cdef bytes formatted(self, object frame, dict own):
        cdef int first = first_byte(own)
        cdef int is_masked = bit_of(own, self.mask_name)
        cdef object data = own.get("data")
        cdef uint32_t key = 0
        if first < 0 or is_masked < 0 or not is_bytes_like(data):
            return None
        if is_masked:
            source = own.get("get_mask_key")
            if source is self.urandom:
                next_masking_key(&key)
            else:
                token = source(4)
                if not PyBytes_CheckExact(token) or PyBytes_GET_SIZE(token) != 4:
                    return header_without_key(first, len(data)) + frame._get_masked(token)
                memcpy(&key, PyBytes_AS_STRING(token), 4)
        return frame_of(<uint8_t>first, data, is_masked, key)

    def make_recv_frame(self, original):
        """A replacement of `frame_buffer.recv_frame`."""
        cdef Frames frames = self
        self.recv_frame = original

        def recv_frame(self):
            cdef Head head
            cdef dict own = frames.buffer.attributes(self)
            if own is None or not frames.kept():
                return original(self)
            result = frames.next_frame(self, own, &head)
            return frames.make_frame(&head, result) if PyBytes_CheckExact(result) else result

        return stand_in(recv_frame, original)

    cdef bint kept(self) except -1:
        return self.classes.kept() and self.abnf.kept(self.ABNF)

    cdef object make_frame(self, const Head *head, object payload):
        cdef int rsv = head.rsv
        return self.ABNF(
            head.fin, rsv >> 2, rsv >> 1 & 1, rsv & 1, head.opcode, head.masked, payload
        )

    # --- reading ---------------------------------------------------------------------------------

    cdef object next_frame(self, object buffer, dict own, Head *head):
        cdef object lock = own["lock"]
        cdef object payload
        try:
            if type(lock) is not LOCK:
                with lock:
                    payload = self.new_frame(own, head)
            else:
                lock.acquire()
                try:
                    payload = self.new_frame(own, head)
                finally:
                    lock.release()
        except _Unusual as unusual:
            value = unusual.args[0]
        else:
            return self.recv_frame(buffer) if payload is None else payload
        return self.recv_frame_again(buffer, own, value)

    cdef bytes new_frame(self, dict own, Head *head):
        cdef bytes payload
        cdef int opcode
        if (
            own["header"] is not None
            or own["length"] is not None
            or own[self.mask_name] is not None
            or not holds_bytes(own["recv_buffer"])
        ):
            return None
        payload = self.read_frame(own, head)
        opcode = head.opcode
        if (
            head.rsv
            or opcode > PONG
            or BINARY < opcode <= CLOSE
            or (opcode == PING and not head.fin)
        ):
            self.make_frame(head, payload).validate(own["skip_utf8_validation"])
        return payload

    cdef object recv_frame_again(self, object buffer, dict own, object value):
        recv = own["recv"]
        values = [value]
        own["recv"] = lambda size: values.pop() if values else recv(size)
        try:
            return self.recv_frame(buffer)
        finally:
            own["recv"] = recv

    cdef bytes read_frame(self, dict own, Head *head):
        cdef bytes start = self.read_exactly(own, 2)
        cdef const uint8_t *data = <const uint8_t *>PyBytes_AS_STRING(start)
        head.fin = data[0] >> 7
        head.rsv = data[0] >> 4 & 7
        head.opcode = data[0] & 15
        head.masked = data[1] >> 7
        head.bits = data[1] & 127
        return self.read_payload(own, head)

    cdef bytes read_payload(self, dict own, const Head *head):
        cdef uint64_t length
        cdef object key = None
        cdef object known = None
        try:
            self.read_length(own, head, &length)
            known = length
            key = self.read_exactly(own, 4) if head.masked else ""
            payload = self.read_exactly(own, length)
        except BaseException:
            # Where the library keeps it, and goes on from when it is called again.
            own["header"] = (
                head.fin, head.rsv >> 2, head.rsv >> 1 & 1, head.rsv & 1,
                head.opcode, head.masked, head.bits,
            )
            own["length"] = known
            own[self.mask_name] = key
            raise
        return masked(key, payload) if head.masked else payload

    cdef int read_length(self, dict own, const Head *head, uint64_t *length) except -1:
        cdef bytes data
        cdef int size = 2 if head.bits == 126 else 8
        if head.bits < 126:
            length[0] = head.bits
        else:
            data = self.read_exactly(own, size)
            length[0] = load_big_endian(<const uint8_t *>PyBytes_AS_STRING(data), size)
        return 0

    cdef bytes read_exactly(self, dict own, uint64_t size):
        cdef list parts = own["recv_buffer"]
        cdef bytes data
        if parts or size == 0 or size > LARGEST_READ:
            return self.read_parts(own, parts, size)
        data = self.receive(own["recv"], size)
        if <uint64_t>PyBytes_GET_SIZE(data) == size:
            return data
        parts.append(data)
        return self.read_parts(own, parts, size)

    cdef bytes read_parts(self, dict own, list parts, uint64_t size):
        cdef uint64_t there = 0
        cdef bytes part, joined
        for part in parts:
            there += <uint64_t>PyBytes_GET_SIZE(part)
        while there < size:
            if size - there <= LARGEST_READ or self.connection_of(own["recv"]) is None:
                part = self.receive(own["recv"], size - there)
            else:
                part = self.receive_large(own["recv"], parts, size - there)
            parts.append(part)
            there += <uint64_t>PyBytes_GET_SIZE(part)
        joined = b"".join(parts)
        if there == size:
            own["recv_buffer"] = []
            return joined
        own["recv_buffer"] = [joined[size:]]
        return joined[:size]

    cdef bytes receive(self, object recv, uint64_t size):
        cdef Py_ssize_t wanted = <Py_ssize_t>size if size < LARGEST_READ else LARGEST_READ
        cdef object connection = self.connection_of(recv)
        cdef object data, again
        if connection is None:
            data = recv(wanted)
            if not PyBytes_CheckExact(data):
                raise _Unusual(data)
            return data
        sock = connection.sock
        try:
            data = sock.recv(wanted)
        except BaseException as error:
            again = Again(sock, error)
        else:
            if PyBytes_CheckExact(data) and PyBytes_GET_SIZE(data):
                return data
            again = Again(sock, None, data)
        return self.judge(connection, again, wanted)

    cdef object connection_of(self, object recv):
        cdef object connection
        if not PyMethod_Check(recv) or not self.core.kept():
            return None
        if <object>PyMethod_GET_FUNCTION(recv) is not self.recv_of_connection:
            return None
        connection = <object>PyMethod_GET_SELF(recv)
        sock = type(connection.sock)
        if sock is self.socket:
            return connection if self.plain_socket.kept(sock) else None
        return connection if sock is self.ssl_socket else None

    cdef bytes judge(self, object connection, object again, Py_ssize_t size):
        try:
            return self.recv_of_socket(again, size)
        except self.closed_error:
            if connection.sock:
                connection.sock.close()
            connection.sock = None
            connection.connected = False
            raise

    cdef bytes receive_large(self, object recv, list parts, uint64_t size):
        cdef Py_ssize_t wanted = <Py_ssize_t>size if size < LARGEST_PART else LARGEST_PART
        cdef bytes part = PyBytes_FromStringAndSize(NULL, wanted)
        cdef char *out = PyBytes_AS_STRING(part)
        cdef Py_ssize_t there = 0
        try:
            while there < wanted:
                there += self.receive_into(recv, out + there, wanted - there)
        except BaseException:
            if there:
                parts.append(part[:there])
            raise
        return part

    cdef Py_ssize_t receive_into(self, object recv, char *out, Py_ssize_t size) except -1:
        cdef object connection = self.connection_of(recv)
        cdef object sock = None if connection is None else connection.sock
        cdef bytes data
        cdef Py_ssize_t count
        if type(sock) is not self.socket:
            data = self.receive(recv, size)
        else:
            try:
                count = sock.recv_into(PyMemoryView_FromMemory(out, size, PyBUF_WRITE))
                if count > 0:
                    return count
                again = Again(sock, None, b"")
            except BaseException as error:
                again = Again(sock, error)
            data = self.judge(connection, again, min(size, LARGEST_READ))
        memcpy(out, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
        return PyBytes_GET_SIZE(data)
