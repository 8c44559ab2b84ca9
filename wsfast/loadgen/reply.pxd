"""Which message a reply answers, by what the user says about replies."""

cimport cython
from libc.stdint cimport uint8_t, uint32_t

from wsfast.loadgen.jsonpath cimport JsonPath

cdef enum Way:
    ORDER                         # the oldest one that is under way
    PREFIX                        # the same; what begins otherwise is no reply
    STAMP                         # the one of that stamp (see wsfast.loadgen.payload)
    PATH                          # the one whose sequence number is there in its JSON


@cython.final
cdef class Reply:
    cdef Way way                  # what tells the message
    cdef bytes prefix             # what a reply begins with
    cdef const uint8_t *first     # its first byte
    cdef size_t size              # its size
    cdef JsonPath path            # where the sequence number is
    cdef bint text                # stamps are those of text messages

    # False: it is no reply but a message of the server's own accord. True: it answers the message
    # of this number; `sequence` holds that of the oldest message under way before.
    cdef bint find(
        self, const uint8_t *payload, size_t size, uint32_t number, uint32_t *sequence
    ) noexcept nogil
