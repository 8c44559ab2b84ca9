# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
# (nothing here indexes by number; what is bound once is not written afterwards)
"""websocket-client's messages: `WebSocket.recv`, `recv_data`, `recv_data_frame` and `send`.

The library makes an ABNF object of every frame and hands it from method to method. Here the
object is only made where somebody gets to see it. Where any of those methods is not the library's
own, the library's code runs instead, and reaches the replacements one level below.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.long cimport PyLong_CheckExact
from cpython.unicode cimport PyUnicode_CheckExact, PyUnicode_DecodeUTF8
from libc.stdint cimport uint8_t, uint32_t

from wsfast.frame cimport next_masking_key
from wsfast.speedups.building cimport frame_as_bytes, frame_of
from wsfast.speedups.methods cimport Globals, Methods
from wsfast.speedups.websocket_client_frames cimport Frames, Head
from wsfast.speedups.websocket_client_kernels cimport is_bytes_like, may_become_text

import os
import threading

from wsfast.speedups.methods import stand_in
from wsfast.speedups.websocket_client_frames import Again, methods_of

__all__ = ["Messages"]


cdef extern from "Python.h":
    bint PyUnicode_IS_ASCII(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    void *PyUnicode_DATA(object text)

#: What `with` does to one of these is known: acquire and release, 60 ns sooner.
cdef type LOCK = type(threading.Lock())

#: ABNF.OPCODES
cdef frozenset OPCODES = frozenset((0, 1, 2, 8, 9, 10))

cdef enum:
    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    FIN = 0x80
    LONGEST_PING = 125


cdef inline bint is_usual(dict state) except -1:
    """Whether a continuous_frame is between two messages, or inside of one."""
    cdef object begun = state["cont_data"]
    if begun is None or state["recving_frames"] is None:
        return begun is state["recving_frames"]
    return begun[0] == state["recving_frames"] and PyBytes_CheckExact(begun[1])


cdef int keep(dict state, int opcode, list parts) except -1:
    """Leave the fragments so far where continuous_frame keeps them."""
    if parts:
        state["cont_data"] = [opcode, b"".join(parts)]
        state["recving_frames"] = opcode
    return 0


@cython.final
cdef class Messages:
    """Reads and sends websocket-client's messages; bound to the library as it is now.

    Args:
        frames: what their frames are read with.
    """

    def __cinit__(self, Frames frames not None):
        from websocket import _abnf, _core, _logging, _socket, _utils

        usual = len(vars(_core.WebSocket()))
        received = ("frame_buffer", "cont_frame", "readlock")
        sent = ("get_mask_key", "lock", "sock", "dispatcher")
        names = ("recv_data", "recv_data_frame", "recv_frame")
        sample = _abnf.continuous_frame(False, False)
        self.frames = frames
        self.recv = Methods(_core.WebSocket, names, received, usual)
        self.recv_data = Methods(_core.WebSocket, names[1:], received, usual)
        self.recv_data_frame = Methods(_core.WebSocket, names[2:], received, usual)
        self.send = Methods(_core.WebSocket, ("send_frame", "_send"), sent, usual)
        self.fragments = methods_of(_abnf.continuous_frame, sample)
        self.core = Globals(_core, "ABNF", "isEnabledForTrace")
        self.output = Globals(_core, "send")
        self.validation = Globals(_abnf, "validate_utf8")
        self.kernel = Globals(_utils, "_validate_utf8")
        self.system = Globals(os, "urandom")
        self.logging = vars(_logging)
        self.core_globals = vars(_core)
        self.abnf_globals = vars(_abnf)
        self.send_of_socket = _socket.send
        frame = _abnf.ABNF.create_frame(b"", BINARY)
        sample.add(frame)
        self.extracts_list = isinstance(sample.extract(frame), list)

    cdef bint kept(self) except -1:
        return self.core.kept() and self.frames.kept()

    cdef bint validates(self) except -1:
        return self.validation.kept() and self.kernel.kept()

    # --- receiving -------------------------------------------------------------------------------

    def make_recv(self, original):
        """A replacement of `WebSocket.recv`."""
        cdef Messages messages = self

        def recv(self):
            cdef int opcode = 0
            cdef dict own = messages.readable(self, messages.recv)
            if own is None:
                return original(self)
            lock = own["readlock"]
            if type(lock) is not LOCK:
                with lock:
                    data = messages.next_data(self, own, &opcode)
            else:
                lock.acquire()
                try:
                    data = messages.next_data(self, own, &opcode)
                finally:
                    lock.release()
            if opcode == TEXT:
                return messages.text_of(own, data)
            return data if opcode == BINARY else ""

        recv.serves = self.serves
        return stand_in(recv, original)

    def serves(self, connection):
        """Whether the replacement of `recv` reads this WebSocket's frames itself."""
        cdef dict own = self.readable(connection, self.recv)
        return (
            own is not None
            and self.frames.buffer.attributes(own["frame_buffer"]) is not None
            and self.fragments.attributes(own["cont_frame"]) is not None
        )

    def make_recv_data(self, original):
        """A replacement of `WebSocket.recv_data`."""
        cdef Messages messages = self

        def recv_data(self, control_frame=False):
            cdef int opcode = 0
            cdef dict own = messages.readable(self, messages.recv_data)
            if own is None:
                return original(self, control_frame)
            data = messages.next_message(self, own, bool(control_frame), False, True, &opcode)
            return opcode, data

        return stand_in(recv_data, original)

    def make_recv_data_frame(self, original):
        """A replacement of `WebSocket.recv_data_frame`."""
        cdef Messages messages = self

        def recv_data_frame(self, control_frame=False):
            cdef int opcode = 0
            cdef dict own = messages.readable(self, messages.recv_data_frame)
            if own is None:
                return original(self, control_frame)
            frame = messages.next_message(self, own, bool(control_frame), True, True, &opcode)
            if messages.extracts_list and opcode < CLOSE:
                return [opcode, frame]
            return opcode, frame

        return stand_in(recv_data_frame, original)

    cdef dict readable(self, object connection, Methods methods):
        cdef dict own = methods.attributes(connection)
        return own if own is not None and self.kept() else None

    cdef object next_data(self, object connection, dict own, int *opcode):
        return self.next_message(connection, own, False, False, not self.validates(), opcode)

    cdef object next_message(
        self, object connection, dict own, bint controls, bint framed, bint checked, int *opcode
    ):
        cdef Head head
        cdef dict state
        cdef object frame = self.next_frame(connection, own, controls, &head)
        opcode[0] = head.opcode
        if head.opcode >= CLOSE:
            return self.result_of(frame, &head, framed)
        state = self.fragments.attributes(own["cont_frame"])
        if state is None or state["fire_cont_frame"] or not is_usual(state):
            return self.hand_over(connection, own, frame, &head, controls, framed, opcode)
        if (
            not head.fin
            or head.opcode == CONTINUATION
            or state["cont_data"] is not None
        ):
            return self.collect(
                connection, own, state, frame, &head, controls, framed, checked, opcode
            )
        if checked and head.opcode == TEXT:
            self.check(state, frame if PyBytes_CheckExact(frame) else frame.data)
        return self.result_of(frame, &head, framed)

    cdef object next_frame(self, object connection, dict own, bint controls, Head *head):
        cdef dict buffer
        cdef object frame
        while True:
            buffer = self.frames.buffer.attributes(own["frame_buffer"])
            if buffer is None:
                frame = connection.recv_frame()
            else:
                frame = self.frames.next_frame(own["frame_buffer"], buffer, head)
            if not PyBytes_CheckExact(frame):
                head.fin, head.opcode = frame.fin, frame.opcode
            if self.logging["_traceEnabled"]:
                frame = self.result_of(frame, head, True)
                self.trace(frame)
            if head.opcode <= BINARY:
                return frame
            if self.answer(connection, self.result_of(frame, head, False), head) or controls:
                return frame

    cdef bint answer(self, object connection, object payload, const Head *head) except -1:
        if head.opcode == CLOSE:
            connection.send_close()
            return True
        if head.opcode == PING:
            if len(payload) > LONGEST_PING:
                raise self.core_globals["WebSocketProtocolException"]("Ping message is too long")
            connection.pong(payload)
        return False

    cdef object result_of(self, object frame, const Head *head, bint framed):
        if PyBytes_CheckExact(frame):
            return self.frames.make_frame(head, frame) if framed else frame
        return frame if framed else frame.data

    cdef int trace(self, object frame) except -1:
        trace = self.core_globals["trace"]
        trace(f"++Rcv raw: {frame.format()!r}")
        trace(f"++Rcv decoded: {frame.__str__()}")
        return 0

    cdef object hand_over(
        self, object connection, dict own, object frame, Head *head, bint controls, bint framed,
        int *opcode,
    ):
        while True:
            fragments = own["cont_frame"]
            frame = self.result_of(frame, head, True)
            fragments.validate(frame)
            fragments.add(frame)
            if fragments.is_fire(frame):
                opcode[0], frame = fragments.extract(frame)
                break
            frame = self.next_frame(connection, own, controls, head)
            opcode[0] = head.opcode
            if head.opcode >= CLOSE:
                break
        return self.result_of(frame, head, framed)

    cdef object collect(
        self, object connection, dict own, dict state, object frame, Head *head, bint controls,
        bint framed, bint checked, int *opcode,
    ):
        cdef list parts = []
        cdef int first = CONTINUATION
        if state["cont_data"] is not None:
            first = state["cont_data"][0]
            parts.append(state["cont_data"][1])
        try:
            while True:
                if head.opcode >= CLOSE:
                    keep(state, first, parts)
                    opcode[0] = head.opcode
                    return self.result_of(frame, head, framed)
                if (head.opcode == CONTINUATION) != (first != CONTINUATION):
                    keep(state, first, parts)
                    own["cont_frame"].validate(self.result_of(frame, head, True))
                first = first or head.opcode
                parts.append(self.result_of(frame, head, False))
                if head.fin:
                    break
                frame = self.next_frame(connection, own, controls, head)
        except BaseException:
            keep(state, first, parts)
            raise
        state["cont_data"] = None
        state["recving_frames"] = None
        payload = b"".join(parts)
        if checked and first == TEXT:
            self.check(state, payload)
        opcode[0] = first
        if not framed:
            return payload
        frame = self.result_of(frame, head, True)
        frame.data = payload
        return frame

    cdef int check(self, dict state, bytes payload) except -1:
        cdef bint valid
        if state["skip_utf8_validation"] or state["fire_cont_frame"]:
            return 0
        if self.validates():
            valid = may_become_text(payload)
        else:
            valid = self.abnf_globals["validate_utf8"](payload)
        if not valid:
            raise self.abnf_globals["WebSocketPayloadException"](f"cannot decode: {payload!r}")
        return 0

    cdef str text_of(self, dict own, bytes payload):
        try:
            return PyUnicode_DecodeUTF8(
                PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload), NULL
            )
        except UnicodeDecodeError as error:
            failure = error
        state = self.fragments.attributes(own["cont_frame"])
        if state is not None and self.validates():
            self.check(state, payload)
        raise failure

    # --- sending ---------------------------------------------------------------------------------

    def make_send(self, original):
        """A replacement of `WebSocket.send`."""
        cdef Messages messages = self

        def send(self, payload, opcode=TEXT):
            cdef dict own = messages.send.attributes(self)
            cdef bytes data = None
            if own is not None and not own["get_mask_key"]:
                data = messages.build(payload, opcode)
            if data is None:
                return original(self, payload, opcode)
            return messages.transmit(self, own, data)

        return stand_in(send, original)

    cdef bytes build(self, object payload, object opcode):
        cdef uint32_t key = 0
        cdef uint8_t first
        if not PyLong_CheckExact(opcode) or opcode not in OPCODES:
            return None
        if self.logging["_traceEnabled"] or not self.kept() or not self.system.kept():
            return None
        first = FIN | <uint8_t>opcode
        if PyUnicode_CheckExact(payload) and first == (FIN | TEXT):
            if not PyUnicode_IS_ASCII(payload):
                payload = (<str>payload).encode("utf-8")
            else:
                next_masking_key(&key)
                return frame_as_bytes(
                    first, <const uint8_t *>PyUnicode_DATA(payload),
                    <size_t>PyUnicode_GET_LENGTH(payload), True, key,
                )
        if not is_bytes_like(payload):
            return None
        next_masking_key(&key)
        return frame_of(first, payload, True, key)

    cdef Py_ssize_t transmit(self, object connection, dict own, bytes data) except -1:
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
        cdef object rest = data
        with own["lock"]:
            while rest:
                sent = self.send_some(connection, own, rest)
                rest = rest[sent:]
        return size

    cdef object send_some(self, object connection, dict own, object data):
        cdef object sock = own["sock"]
        cdef type kind = type(sock)
        if kind is not self.frames.socket and kind is not self.frames.ssl_socket:
            return connection._send(data)
        if own.get("dispatcher") or not self.output.kept():
            return connection._send(data)
        try:
            return sock.send(data)
        except BaseException as error:
            again = Again(sock, error)
        return self.send_of_socket(again, data)
