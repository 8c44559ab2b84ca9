# websocket-client's messages: WebSocket.recv, recv_data, recv_data_frame and send.
from wsfast.speedups.methods cimport Globals, Methods
from wsfast.speedups.websocket_client_frames cimport Frames, Head


# What messages are read and sent with, looked up in the library once.
cdef class Messages:
    cdef Frames frames             # reads and builds their frames
    cdef Methods recv              # of WebSocket: what its recv calls,
    cdef Methods recv_data         # what recv_data calls,
    cdef Methods recv_data_frame   # what recv_data_frame calls,
    cdef Methods send              # and what send calls
    cdef Methods fragments         # of continuous_frame
    cdef Globals core              # of websocket._core: ABNF, isEnabledForTrace
    cdef Globals output            # of websocket._core: send
    cdef Globals validation        # of websocket._abnf: validate_utf8
    cdef Globals kernel            # of websocket._utils: _validate_utf8
    cdef Globals system            # of os: urandom
    cdef dict logging              # the globals of websocket._logging
    cdef dict core_globals         # those of websocket._core
    cdef dict abnf_globals         # those of websocket._abnf
    cdef object send_of_socket     # websocket._socket.send
    cdef bint extracts_list        # before 1.7 continuous_frame.extract returned a list

    # Whether everything that is not the connection's own is as it was found.
    cdef bint kept(self) except -1

    # Whether nobody put another UTF-8 validation in place.
    cdef bint validates(self) except -1

    # The __dict__ of a WebSocket whose own methods are all those that `methods` says; else None.
    cdef dict readable(self, object connection, Methods methods)

    # next_message for recv.
    cdef object next_data(self, object connection, dict own, int *opcode)

    # The next message, or the next control frame if they are asked for, or the close frame. What
    # is returned is its payload; or, if `framed`, its last frame, with all of the payload.
    # *opcode is the message's. Unless `checked`, a text is left to the caller to be validated.
    cdef object next_message(
        self, object connection, dict own, bint controls, bint framed, bint checked, int *opcode
    )

    # The next frame of data, or the next control frame that is to be returned: its payload, or
    # the ABNF object if there had to be one.
    cdef object next_frame(self, object connection, dict own, bint controls, Head *head)

    # Do what a control frame asks for; whether it ends recv_data_frame.
    cdef bint answer(self, object connection, object payload, const Head *head) except -1

    # What is to be returned for what next_frame returned.
    cdef object result_of(self, object frame, const Head *head, bint framed)

    # Log a frame as the library does.
    cdef int trace(self, object frame) except -1

    # The rest of next_message by the methods of continuous_frame.
    cdef object hand_over(
        self, object connection, dict own, object frame, Head *head, bint controls, bint framed,
        int *opcode,
    )

    # The rest of a message that begins with `frame`, or that had begun before.
    cdef object collect(
        self, object connection, dict own, dict state, object frame, Head *head, bint controls,
        bint framed, bint checked, int *opcode,
    )

    # Raise what extract raises for a text that cannot be valid, if that is to be checked.
    cdef int check(self, dict state, bytes payload) except -1

    # The text of a payload, or the error that the library raises.
    cdef str text_of(self, dict own, bytes payload)

    # The frame that send sends, if there is nothing unusual about it; else None.
    cdef bytes build(self, object payload, object opcode)

    # Send it; returns its length.
    cdef Py_ssize_t transmit(self, object connection, dict own, bytes data) except -1

    # WebSocket._send, by shorter ways if the socket is one of the standard library.
    cdef object send_some(self, object connection, dict own, object data)
