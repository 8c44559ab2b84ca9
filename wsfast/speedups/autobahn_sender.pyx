# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
# (nothing here indexes a sequence; a connection belongs to one thread, as in autobahn)
"""autobahn's `sendMessage`, `sendFrame` and `sendData` for whole frames that are sent at once.

Half of what the originals spend goes into names and colours for a line of the debug log; here
they are left out where the log drops the line. Messages that are compressed or fragmented, frames
that are queued, chopped, logged or built wrong on purpose, go to the originals.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_Contains, PyDict_GetItem
from cpython.long cimport PyLong_CheckExact
from cpython.ref cimport PyObject
from libc.string cimport memcpy

from wsfast.frame cimport store_big_endian
from wsfast.speedups.building cimport frame_as_bytes

from wsfast.speedups.methods import stand_in

__all__ = ["FIELDS", "HOOKS", "Sender"]

#: What the originals call.
HOOKS = ("sendData", "sendFrame")

#: Attributes of a connection that are read in its own __dict__.
FIELDS = (
    "_perMessageCompress",
    "send_queue",
    "state",
    "trackedTimings",
    "trafficStats",
)


cdef enum:
    TEXT = 1
    BINARY = 2
    FIN_BIT = 0x80
    MOST_PLANS = 256  # more classes of connections than that, and it starts to ask again


cdef inline object setting(object protocol, dict own, str name):
    """An option of the connection: its own, or one that its class has set."""
    cdef PyObject *value = PyDict_GetItem(own, name)
    return getattr(protocol, name) if value == NULL else <object>value


cdef inline int count(object stats, str name, object more) except -1:
    setattr(stats, name, getattr(stats, name) + more)
    return 0


cdef inline int small(object number, int most) except -2:
    """The number, if it is an int from 0 to the most; else -1."""
    if PyLong_CheckExact(number) and 0 <= number <= most:
        return number
    return -1


cdef inline dict with_fields(dict own):
    """The attributes, if those that are read are all there."""
    if own is None:
        return None
    for name in FIELDS:
        if not PyDict_Contains(own, name):
            return None
    return own


@cython.final
cdef class Sender:
    """One installation; makes the three replacements, which know each other."""

    def __cinit__(self):
        from autobahn.websocket import protocol as module

        self._plans = {}
        self._module = module
        self._owner = owner = module.WebSocketProtocol
        self._methods = Methods(owner, HOOKS, FIELDS, -1)
        self._globals = Globals(module, "create_xor_masker", "random", "struct")
        self._open = owner.STATE_OPEN
        self._opening = (owner.STATE_CONNECTING, owner.STATE_PROXY_CONNECTING)
        self._quiet = None

    cdef dict _served(self, object protocol):
        cdef PyObject *known = PyDict_GetItem(self._plans, type(protocol))
        cdef Methods plan
        if not self._globals.kept():
            return None
        if known != NULL:
            plan = <Methods>known
        else:
            if not self._methods.kept(self._owner):
                return None
            if len(self._plans) >= MOST_PLANS:
                self._plans.clear()
            plan = self._plans[type(protocol)] = Methods(self._owner, HOOKS, FIELDS, -1)
        return with_fields(plan.attributes(protocol))

    cdef bint _is_quiet(self, object protocol) except -1:
        cdef object debug = protocol.log.debug
        if debug is self._quiet:
            return True
        if getattr(debug, "__name__", "") != "_no_op":
            return False
        if getattr(debug, "__module__", "") not in ("txaio.aio", "txaio.tx"):
            return False
        self._quiet = debug
        return True

    cdef bint _is_plain(self, object protocol, dict own) except -1:
        return (
            not own["send_queue"]
            and not setting(protocol, own, "logFrames")
            and self._is_quiet(protocol)
        )

    cdef int _masks(self, object protocol, dict own) except -2:
        cdef object server = protocol.factory.isServer
        if not setting(protocol, own, "maskServerFrames" if server else "maskClientFrames"):
            return 0
        return 1 if setting(protocol, own, "applyMask") else -1

    cdef uint32_t _next_key(self) except? 0:
        cdef uint8_t wire[4]
        cdef uint32_t key
        store_big_endian(wire, <uint32_t>self._module.random.getrandbits(32), 4)
        memcpy(&key, wire, 4)
        return key

    cdef int _frame(
        self, object protocol, dict own, uint8_t first_byte, bytes payload, bint masked
    ) except -1:
        cdef uint32_t key = self._next_key() if masked else 0
        cdef const uint8_t *data = <const uint8_t *>PyBytes_AS_STRING(payload)
        cdef size_t size = <size_t>PyBytes_GET_SIZE(payload)
        cdef bytes frame = frame_as_bytes(first_byte, data, size, masked, key)
        if first_byte & 0x0F <= BINARY:
            count(own["trafficStats"], "outgoingWebSocketFrames", 1)
        return self._write(protocol, own, frame)

    cdef int _write(self, object protocol, dict own, object data) except -1:
        cdef object state
        protocol.transport.write(data)
        state = own["state"]
        if state == self._open:
            count(own["trafficStats"], "outgoingOctetsWireLevel", len(data))
        elif state in self._opening:
            count(own["trafficStats"], "preopenOutgoingOctetsWireLevel", len(data))
        if setting(protocol, own, "logOctets"):
            protocol.logTxOctets(data, False)
        return 0

    def make_send_data(self, original):
        """A replacement of `WebSocketProtocol.sendData`."""

        def sendData(self, data, sync=False, chopsize=None):
            cdef dict own
            if not sync and not chopsize:
                own = sender._served(self)
                if own is not None and not own["send_queue"] and sender._is_quiet(self):
                    sender._write(self, own, data)
                    return None
            return original(self, data, sync, chopsize)

        cdef Sender sender = self
        return stand_in(sendData, original)

    def make_send_frame(self, original):
        """A replacement of `WebSocketProtocol.sendFrame`."""

        def sendFrame(
            self,
            opcode,
            payload=b"",
            fin=True,
            rsv=0,
            mask=None,
            payload_len=None,
            chopsize=None,
            sync=False,
        ):
            cdef dict own = None
            cdef int masks, code = small(opcode, 15), bits = small(rsv, 7)
            if code >= 0 and bits >= 0 and PyBytes_CheckExact(payload) and not chopsize:
                if not sync and not mask and payload_len is None:
                    own = sender._served(self)
            if own is not None and sender._is_plain(self, own):
                masks = sender._masks(self, own)
                if masks >= 0:
                    code |= bits << 4 | (FIN_BIT if fin else 0)
                    sender._frame(self, own, <uint8_t>code, payload, masks)
                    return None
            return original(self, opcode, payload, fin, rsv, mask, payload_len, chopsize, sync)

        cdef Sender sender = self
        return stand_in(sendFrame, original)

    def make_send_message(self, original):
        """A replacement of `WebSocketProtocol.sendMessage`."""

        def sendMessage(
            self, payload, isBinary=False, fragmentSize=None, sync=False, doNotCompress=False
        ):
            cdef dict own = None
            cdef int masks
            if PyBytes_CheckExact(payload) and type(isBinary) is bool and sync is False:
                if fragmentSize is None and type(doNotCompress) is bool:
                    own = sender._served(self)
            if own is not None and fits_one_frame(self, own, len(payload), doNotCompress):
                if own["state"] == sender._open and sender._is_plain(self, own):
                    masks = sender._masks(self, own)
                    if masks >= 0:
                        count_message(own["trafficStats"], len(payload))
                        code = FIN_BIT | (BINARY if isBinary else TEXT)
                        sender._frame(self, own, <uint8_t>code, payload, masks)
                        return None
            return original(self, payload, isBinary, fragmentSize, sync, doNotCompress)

        cdef Sender sender = self
        return stand_in(sendMessage, original)


cdef bint fits_one_frame(
    object protocol, dict own, object size, bint uncompressed
) except -1:
    """Whether a message is sent as it is: whole, not compressed, not too large, not timed."""
    cdef object most = setting(protocol, own, "maxMessagePayloadSize")
    cdef object fragment = setting(protocol, own, "autoFragmentSize")
    if own["trackedTimings"] or not (uncompressed or own["_perMessageCompress"] is None):
        return False
    if not PyLong_CheckExact(most) or 0 < most < size:
        return False
    return PyLong_CheckExact(fragment) and not 0 < fragment < size


cdef int count_message(object stats, object size) except -1:
    count(stats, "outgoingWebSocketMessages", 1)
    count(stats, "outgoingOctetsAppLevel", size)
    return count(stats, "outgoingOctetsWebSocketLevel", size)
