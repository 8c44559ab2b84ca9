# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
# (sizes are compared before data is read; a connection belongs to one thread, as in autobahn)
"""autobahn's `WebSocketProtocol.processData` for whole frames of data that have nothing wrong.

The original goes through fifteen methods of the connection for every frame; applications that
want parts of messages override them. While nobody has, what they come to for a frame that is
complete in the buffer is done here in one go, up to the call of `_onMessage`; every attribute
then is what they would have left. A frame that is anything else (control, compressed,
incomplete, too large, invalid) is not touched: the original sees it from its first byte.

After `_onMessage` the original also tells listeners of "message", by way of a future that is
resolved with nothing as long as there are none. That future is left out.
"""

cimport cython
from cpython.bytes cimport (
    PyBytes_AS_STRING,
    PyBytes_CheckExact,
    PyBytes_FromStringAndSize,
    PyBytes_GET_SIZE,
)
from cpython.dict cimport PyDict_Contains, PyDict_GetItem, PyDict_SetItem
from cpython.ref cimport PyObject
from libc.stdint cimport uint8_t, uint64_t

from wsfast.frame cimport parse_header
from wsfast.mask cimport mask_copy
from wsfast.speedups.masker cimport XorMasker, XorMaskerNull
from wsfast.speedups.validator cimport Utf8Validator

from wsfast.speedups.methods import stand_in

__all__ = ["FIELDS", "HOOKS", "make_process_data"]

#: What the original calls for a frame of data, but for `_onMessage`.
HOOKS = (
    "onFrameBegin",
    "onFrameData",
    "onFrameEnd",
    "_onMessageBegin",
    "onMessageBegin",
    "_onMessageFrameBegin",
    "onMessageFrameBegin",
    "_onMessageFrameData",
    "onMessageFrameData",
    "_onMessageFrameEnd",
    "onMessageFrameEnd",
    "_onMessageFrame",
    "onMessageFrame",
    "_onMessageEnd",
    "onMessageEnd",
    "fire",
)

#: Attributes of a connection that are read and written in its own __dict__.
FIELDS = (
    "_isMessageCompressed",
    "_listeners",
    "autoPingTimeoutCall",
    "current_frame",
    "current_frame_masker",
    "data",
    "factory",
    "failedByMe",
    "frame_data",
    "frame_length",
    "inside_message",
    "message_data",
    "message_data_total_length",
    "message_is_binary",
    "state",
    "trackedTimings",
    "trafficStats",
    "utf8validateIncomingCurrentMessage",
    "utf8validateLast",
    "utf8validator",
    "websocket_version",
)


cdef enum:
    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    MOST_PLANS = 256  # more classes of connections than that, and it starts to ask again


cdef object _MISSING = object()


cdef inline object held(dict own, str name):
    """An attribute of the instance; _MISSING, which is true and no number, if it has none."""
    cdef PyObject *value = PyDict_GetItem(own, name)
    return _MISSING if value == NULL else <object>value


cdef inline object setting(object protocol, dict own, str name):
    """An option of the connection: its own, or one that its class has set."""
    cdef PyObject *value = PyDict_GetItem(own, name)
    return getattr(protocol, name) if value == NULL else <object>value


cdef inline int count(object stats, str name, object more) except -1:
    setattr(stats, name, getattr(stats, name) + more)
    return 0


cdef bytes whole_frame(dict own, FrameHeader *header, int *used):
    """The buffer, if a complete frame of data starts it and we are not inside of one."""
    cdef object data = held(own, "data")
    cdef size_t size
    if not PyBytes_CheckExact(data) or held(own, "current_frame") is not None:
        return None
    size = <size_t>PyBytes_GET_SIZE(data)
    used[0] = parse_header(<const uint8_t *>PyBytes_AS_STRING(data), size, header)
    if used[0] <= 0 or header.payload_length > size - <size_t>used[0]:
        return None
    if header.rsv or header.opcode > BINARY:
        return None
    return data


cdef bint exceeds(object limit, uint64_t size) except -1:
    """Whether there is a limit that the size is above, or none that we understand."""
    return type(limit) is not int or 0 < limit < size


@cython.final
cdef class Receiver:

    def __cinit__(self, original, plan_for, module):
        self._original = original
        self._plan_for = plan_for
        self._plans = {}
        self._module = module
        self._globals = Globals(module, "FrameHeader", "XorMaskerNull", "create_xor_masker")
        self._open = module.WebSocketProtocol.STATE_OPEN

    cdef object process(self, object protocol):
        cdef FrameHeader header
        cdef int used = 0
        cdef object mask = None
        cdef bytes data = None, payload
        cdef dict own = self._served(protocol)
        cdef Py_ssize_t end
        if own is not None:
            data = whole_frame(own, &header, &used)
        if data is None or not self._expected(protocol, own, &header):
            return self._original(protocol)
        payload = self._payload(protocol, own, data, used, &header)
        if payload is None:
            return self._original(protocol)
        end = used + PyBytes_GET_SIZE(payload)
        if header.masked:
            mask = PyBytes_FromStringAndSize(<char *>&header.masking_key, 4)
        PyDict_SetItem(own, "data", data[end:] if end < PyBytes_GET_SIZE(data) else b"")
        data = None
        self._keep(protocol, own, &header, mask, payload)
        payload = None
        self._finish(protocol, own, header.fin)
        return len(own["data"]) > 0

    cdef dict _served(self, object protocol):
        cdef PyObject *known = PyDict_GetItem(self._plans, type(protocol))
        cdef object plan
        if known != NULL:
            plan = <object>known
        else:
            if len(self._plans) >= MOST_PLANS:
                self._plans.clear()
            plan = self._plan_for(type(protocol))
            if plan is NotImplemented:
                return None
            self._plans[type(protocol)] = plan
        if plan is None or not self._globals.kept():
            return None
        return (<Methods>plan).attributes(protocol)

    cdef bint _expected(self, object protocol, dict own, const FrameHeader *header) except -1:
        cdef object inside = held(own, "inside_message"), server
        cdef uint64_t size = header.payload_length
        if inside is not (header.opcode == CONTINUATION):
            return False
        if held(own, "state") != self._open or held(own, "failedByMe") is not False:
            return False
        if not PyDict_Contains(own, "trafficStats") or not PyDict_Contains(own, "factory"):
            return False
        if held(own, "trackedTimings") is not None or own.get("_listeners") is not None:
            return False
        if not held(own, "websocket_version") or setting(protocol, own, "logFrames"):
            return False
        server = own["factory"].isServer
        if header.masked:
            if not server and not setting(protocol, own, "acceptMaskedServerFrames"):
                return False
            if not setting(protocol, own, "applyMask"):
                return False
        elif server and setting(protocol, own, "requireMaskedClientFrames"):
            return False
        if inside:
            if held(own, "_isMessageCompressed") or type(held(own, "message_data")) is not list:
                return False
            size += <uint64_t>own["message_data_total_length"]
        return not exceeds(setting(protocol, own, "maxMessagePayloadSize"), size) and not exceeds(
            setting(protocol, own, "maxFramePayloadSize"), header.payload_length
        )

    cdef bytes _payload(
        self, object protocol, dict own, bytes data, int used, const FrameHeader *header
    ):
        cdef const uint8_t *src = <const uint8_t *>PyBytes_AS_STRING(data) + used
        cdef Py_ssize_t size = <Py_ssize_t>header.payload_length, valid
        cdef bytes payload = PyBytes_FromStringAndSize(NULL, size)
        cdef uint8_t *dst = <uint8_t *>PyBytes_AS_STRING(payload)
        cdef Utf8Validator validator
        cdef int state
        cdef Py_ssize_t i
        if header.opcode == CONTINUATION:
            text = held(own, "utf8validateIncomingCurrentMessage")
        else:
            text = header.opcode == TEXT and setting(protocol, own, "utf8validateIncoming")
        if not text:
            mask_copy(dst, src, <size_t>size, header.masking_key)
            return payload
        if type(held(own, "utf8validator")) is not Utf8Validator:
            return None
        validator = own["utf8validator"]
        state, i = validator.state, validator.i
        if header.opcode == TEXT:
            validator.start()
        valid = validator.feed_masked(dst, src, size, header.masking_key)
        if valid != size or (header.fin and validator.state != 0):
            validator.state, validator.i = state, i
            return None
        return payload

    cdef int _keep(
        self, object protocol, dict own, const FrameHeader *header, object mask, bytes payload
    ) except -1:
        cdef Py_ssize_t size = PyBytes_GET_SIZE(payload)
        cdef object length = size, masker, stats = own["trafficStats"]
        cdef Utf8Validator validator
        if mask is not None and size > 0:
            masker = self._module.create_xor_masker(mask, length)
            (<XorMasker>masker).used = <size_t>size
        else:
            masker = XorMaskerNull.__new__(XorMaskerNull)
            (<XorMaskerNull>masker).used = size
        own["current_frame_masker"] = masker
        own["current_frame"] = self._module.FrameHeader(
            header.opcode, header.fin != 0, 0, length, mask
        )
        if header.opcode != CONTINUATION:
            own["inside_message"] = True
            own["_isMessageCompressed"] = False
            own["utf8validateIncomingCurrentMessage"] = header.opcode == TEXT and bool(
                setting(protocol, own, "utf8validateIncoming")
            )
            own["message_is_binary"] = header.opcode == BINARY
            own["message_data"] = [payload]
            own["message_data_total_length"] = length
        else:
            (<list>own["message_data"]).append(payload)
            own["message_data_total_length"] += length
        own["frame_length"] = length
        own["frame_data"] = None
        if own["utf8validateIncomingCurrentMessage"]:
            validator = own["utf8validator"]
            own["utf8validateLast"] = validator.verdict(size, size)
        count(stats, "incomingOctetsWebSocketLevel", length)
        count(stats, "incomingOctetsAppLevel", length)
        return count(stats, "incomingWebSocketFrames", 1)

    cdef int _finish(self, object protocol, dict own, bint fin) except -1:
        if protocol.autoPingTimeoutCall and protocol.autoPingRestartOnAnyTraffic:
            protocol._cancelAutoPingTimeoutCall()
        if fin:
            count(own["trafficStats"], "incomingWebSocketMessages", 1)
            payload = b"".join(<list>own["message_data"])
            protocol._onMessage(payload, own["message_is_binary"])
            own["message_data"] = None
            own["inside_message"] = False
        own["current_frame"] = None
        return 0


def make_process_data(original, plan_for):
    """A replacement of `WebSocketProtocol.processData`.

    Args:
        original: that function.
        plan_for: called with the class of a connection, once for each; returns the `Methods`
            that have to be unchanged in it, None if the original has to serve it, or
            NotImplemented to be called again.
    """
    from autobahn.websocket import protocol as module

    cdef Receiver receiver = Receiver(original, plan_for, module)

    def processData(self):
        return receiver.process(self)

    return stand_in(processData, original)
