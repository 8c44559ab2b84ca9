# websocket-client's frames: ABNF.format and frame_buffer.recv_frame.
from libc.stdint cimport uint64_t

from wsfast.speedups.methods cimport Globals, Methods


# What the first two bytes of a frame say.
cdef struct Head:
    int fin                # 0 or 1
    int rsv                # RSV1 is 4, RSV2 is 2, RSV3 is 1
    int opcode             # 0 to 15
    int masked             # 0 or 1
    int bits               # the 7 bits of the length


# What frames are read and built with, looked up in the library once.
cdef class Frames:
    cdef object ABNF               # the class of that name
    cdef Methods abnf              # its methods
    cdef Methods buffer            # those of the class frame_buffer
    cdef Globals core              # what websocket._core receives with
    cdef Globals classes           # the name ABNF
    cdef type socket               # socket.socket
    cdef type ssl_socket           # ssl.SSLSocket, where there is one
    cdef Methods plain_socket      # what is called of socket.socket
    cdef object recv_of_socket     # websocket._socket.recv
    cdef object recv_of_connection # WebSocket._recv: whose bound method a frame_buffer holds
    cdef object recv_frame         # the library's own
    cdef object closed_error       # WebSocketConnectionClosedException
    cdef object urandom            # os.urandom, as it was at install
    cdef str mask_name             # the attribute: "mask_value", before 1.7 "mask"

    # Whether ABNF objects are still what is made here.
    cdef bint kept(self) except -1

    # ABNF.format of what has nothing unusual about it, else None; own: the frame's __dict__.
    cdef bytes formatted(self, object frame, dict own)

    # The next frame of a frame_buffer (own: its __dict__): the payload if it was read here,
    # checked and unmasked, with its head; else the ABNF object that the library read.
    cdef object next_frame(self, object buffer, dict own, Head *head)

    # The payload of the next frame, checked; None if a part of it was read before. The caller
    # holds the lock.
    cdef bytes new_frame(self, dict own, Head *head)

    # A whole frame, nothing of which was read before.
    cdef bytes read_frame(self, dict own, Head *head)

    # The payload behind a head.
    cdef bytes read_payload(self, dict own, const Head *head)

    # The length behind a head.
    cdef int read_length(self, dict own, const Head *head, uint64_t *length) except -1

    # frame_buffer.recv_strict: exactly `size` bytes.
    cdef bytes read_exactly(self, dict own, uint64_t size)

    # recv_strict when one recv was not, or is not going to be, exactly enough.
    cdef bytes read_parts(self, dict own, list parts, uint64_t size)

    # What the frame_buffer's recv returns for min(size, 16384), if that is bytes; else _Unusual.
    cdef bytes receive(self, object recv, uint64_t size)

    # The WebSocket whose _recv it is, if that would ask a socket of the standard library; or None.
    cdef object connection_of(self, object recv)

    # The rest of WebSocket._recv after the socket failed: what it returns or raises.
    cdef bytes judge(self, object connection, object again, Py_ssize_t size)

    # `size` bytes, or as many as are to be set aside at once, without a copy; what arrived of
    # them before an error is added to `parts`.
    cdef bytes receive_large(self, object recv, list parts, uint64_t size)

    # Receive at most `size` bytes into `out`; returns how many.
    cdef Py_ssize_t receive_into(self, object recv, char *out, Py_ssize_t size) except -1

    # Hand the library a value of recv that this module does not deal with.
    cdef object recv_frame_again(self, object buffer, dict own, object value)

    # An ABNF object for a frame that was read here.
    cdef object make_frame(self, const Head *head, object payload)
