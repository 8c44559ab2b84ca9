# cython: language_level=3, boundscheck=False, wraparound=False
# (a copy of each size is checked by the caller)
"""What only C sees of Buffer, Receiver, Connection and Timetable, opened for the tests."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from wsfast.buffer cimport Buffer
from wsfast.connection cimport Connection, message_from
from wsfast.receiver cimport Receiver
from wsfast.timetable cimport HEARTBEAT_BYTES, Times, Timetable


cdef class Probe:
    """A Buffer with its C functions as methods."""

    cdef readonly Buffer buffer

    def __init__(self):
        self.buffer = Buffer()

    @property
    def capacity(self):
        return self.buffer.capacity

    @property
    def address(self):
        return <size_t>self.buffer.data

    def append(self, bytes data):
        self.buffer.append(<const uint8_t *>PyBytes_AS_STRING(data), <size_t>len(data))

    def reserve(self, size_t size):
        """Ask for room and fill all of it: a sanitizer sees if it is not there."""
        cdef uint8_t *room = self.buffer.reserve(size)
        for at in range(size):
            room[at] = 0xEE

    def consume(self, size_t size):
        assert size <= <size_t>len(self.buffer)
        self.buffer.consume(size)

    def release(self):
        self.buffer.release()

    def take(self):
        return self.buffer.take()

    def view(self, size_t start, size_t size):
        """A view of the content from `start` on."""
        assert start + size <= <size_t>len(self.buffer)
        return self.buffer.view(self.buffer.data + self.buffer.start + start, size)


cdef class Recorder(Receiver):
    """Writes down what a C subclass of Receiver is called with."""

    cdef readonly list calls

    def __init__(self, bint is_server, size_t max_message_bytes=1 << 20):
        self.is_server = is_server
        self.max_message_bytes = max_message_bytes
        self.calls = []

    def feed(self, bytes data):
        self.receive_bytes(<const uint8_t *>PyBytes_AS_STRING(data), <size_t>len(data))
        calls, self.calls = self.calls, []
        return calls

    cdef int on_message(
        self, int opcode, const uint8_t *payload, size_t size, uint32_t key
    ) except -1:
        masked = PyBytes_FromStringAndSize(<const char *>payload, <Py_ssize_t>size)
        key_bytes = PyBytes_FromStringAndSize(<const char *>&key, 4)
        self.calls.append(("message", opcode, masked, key_bytes))
        return 0

    cdef int on_control(self, int opcode, const uint8_t *payload, size_t size) except -1:
        data = PyBytes_FromStringAndSize(<const char *>payload, <Py_ssize_t>size)
        self.calls.append(("control", opcode, data))
        return 0

    cdef int fail(self, int close_code, str reason) except -1:
        self.calls.append(("fail", close_code))
        return Receiver.fail(self, close_code, reason)


cdef class Strict(Connection):
    """A C subclass of Connection whose handlers raise when told to."""

    cdef public object to_raise
    cdef readonly list calls

    def __init__(self, role, **options):
        super().__init__(role, **options)
        self.calls = []

    cdef int note(self, object call) except -1:
        if self.to_raise is not None:
            raise self.to_raise
        self.calls.append(call)
        return 0

    cdef int on_message(
        self, int opcode, const uint8_t *payload, size_t size, uint32_t key
    ) except -1:
        return self.note(message_from(opcode, payload, size, key))

    cdef int on_assembled(self, int opcode, bytes payload) except -1:
        return self.note(payload if opcode == 2 else payload.decode())

    cdef int on_ping(self, bytes payload) except -1:
        return self.note(("ping", payload))

    cdef int on_close(self, int close_code, str reason) except -1:
        return self.note(("close", close_code, reason))

    def send_raw(self, int opcode, bytes data):
        """send_payload, which takes text on trust."""
        self.send_payload(opcode, <const uint8_t *>PyBytes_AS_STRING(data), <size_t>len(data))

    def fail_with(self, int close_code, str reason):
        self.fail(close_code, reason)


def message(int opcode, bytes payload, bytes masking_key):
    """message_from, as bytes in and str, bytes or None out."""
    cdef uint32_t key = 0
    memcpy(&key, PyBytes_AS_STRING(masking_key), 4)
    return message_from(
        opcode, <const uint8_t *>PyBytes_AS_STRING(payload), <size_t>len(payload), key
    )


cdef class Watched:
    """The times of one connection, with the test's own clock, in ns."""

    cdef Timetable timetable
    cdef Times times

    def __init__(self, limits, uint64_t now):
        self.timetable = Timetable(limits)
        self.timetable.begin(&self.times, now)

    @property
    def seen(self):
        """The fields of Times, as a dict."""
        return self.times

    def hear(self, uint64_t now):
        self.times.heard = now

    def act(self, uint64_t now):
        self.times.active = now

    def look(self, uint64_t now):
        """What is due, and when to look again."""
        cdef uint64_t again = 0
        due = self.timetable.look(&self.times, now, &again)
        return ("nothing", "ping", "dead", "idle", "expired")[<int>due], again

    def ping(self, uint64_t now):
        cdef uint8_t payload[HEARTBEAT_BYTES]
        self.timetable.ping(&self.times, now, payload)
        return PyBytes_FromStringAndSize(<const char *>payload, HEARTBEAT_BYTES)

    def pong(self, uint64_t now, bytes payload):
        return bool(
            self.timetable.pong(
                &self.times, now, <const uint8_t *>PyBytes_AS_STRING(payload), len(payload)
            )
        )


def first_looks(limits, int count, uint64_t now):
    """When each of so many connections, opened at once, is looked at first."""
    cdef Timetable timetable = Timetable(limits)
    cdef Times times
    cdef uint64_t again = 0
    firsts = []
    for _ in range(count):
        timetable.begin(&times, now)
        timetable.look(&times, now, &again)
        firsts.append(again)
    return firsts
