# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
# (every read is checked against the size of the buffer by parse_header and by hand)
"""All frames of a buffer at once, as a numpy structured array: for captures and batch work."""

from cpython.buffer cimport (
    PyBUF_SIMPLE,
    PyBUF_WRITABLE,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

from wsfast.frame cimport (
    HEADER_INCOMPLETE,
    LENGTH_TOP_BIT_SET,
    FrameHeader,
    parse_header,
)

__all__ = ["FRAME_FIELDS", "scan_frames"]

#: The fields of a row, as numpy's dtype takes them. Offsets and lengths are bytes.
FRAME_FIELDS = [
    ("offset", "<u8"),
    ("payload_offset", "<u8"),
    ("payload_length", "<u8"),
    ("masking_key", "V4"),
    ("opcode", "u1"),
    ("fin", "?"),
    ("rsv", "u1"),
    ("masked", "?"),
]


cdef packed struct Row:
    uint64_t offset
    uint64_t payload_offset
    uint64_t payload_length
    uint8_t masking_key[4]
    uint8_t opcode
    uint8_t fin
    uint8_t rsv
    uint8_t masked


cdef Py_ssize_t walk(
    const uint8_t *data, size_t size, Row *rows, Py_ssize_t room, size_t *end
) noexcept nogil:
    """Count at most `room` complete frames (and fill `rows` unless NULL); `end`: where it stopped.

    A negative result is a LENGTH_ error of the header at `end`.
    """
    cdef FrameHeader header
    cdef Py_ssize_t count = 0
    cdef size_t offset = 0
    cdef int used
    end[0] = 0
    while count < room:
        used = parse_header(data + offset, size - offset, &header)
        if used < 0:
            return used
        if used == HEADER_INCOMPLETE or header.payload_length > size - offset - used:
            return count
        if rows != NULL:
            fill(&rows[count], offset, used, &header)
        count += 1
        offset += used + <size_t>header.payload_length
        end[0] = offset
    return count


cdef inline void fill(Row *row, size_t offset, int used, FrameHeader *header) noexcept nogil:
    row.offset = offset
    row.payload_offset = offset + used
    row.payload_length = header.payload_length
    memcpy(row.masking_key, &header.masking_key, 4)
    row.opcode = header.opcode
    row.fin = header.fin
    row.rsv = header.rsv
    row.masked = header.masked


def scan_frames(buffer):
    """Find all complete frames in a buffer that starts at a frame.

    Args:
        buffer: bytes-like, contiguous; it is read in place, never copied or changed.

    Returns:
        numpy structured array of shape (frames,) and dtype `FRAME_FIELDS`, in wire order. `rsv`
        holds RSV1 as 4, RSV2 as 2, RSV3 as 1. An incomplete frame at the end is left out: the
        last row's payload_offset + payload_length says where it starts.

    Raises:
        ValueError: a payload length breaks RFC 6455 section 5.2; the message names the offset.
        ModuleNotFoundError: numpy is not installed.
    """
    try:
        import numpy
    except ModuleNotFoundError as error:
        if error.name != "numpy":
            raise
        error.msg = "scan_frames needs numpy, which is not installed: pip install numpy"
        raise

    cdef Py_buffer source, target
    cdef size_t end
    cdef Py_ssize_t count, found
    PyObject_GetBuffer(buffer, &source, PyBUF_SIMPLE)
    try:
        count = walk(<const uint8_t *>source.buf, source.len, NULL, source.len, &end)
        if count < 0:
            rule = "has its top bit set" if count == LENGTH_TOP_BIT_SET else "is not minimal"
            raise ValueError(
                f"payload length of the frame at offset {end} {rule} (RFC 6455 section 5.2)"
            )
        rows = numpy.empty(count, dtype=FRAME_FIELDS)
        PyObject_GetBuffer(rows.view("u1"), &target, PyBUF_SIMPLE | PyBUF_WRITABLE)
        try:
            # No further than counted: somebody may write into shared memory between the walks.
            found = walk(
                <const uint8_t *>source.buf, source.len, <Row *>target.buf, count, &end
            )
        finally:
            PyBuffer_Release(&target)
    finally:
        PyBuffer_Release(&source)
    return rows[: max(found, 0)]
