# What the compiled half of the wsproto speedups knows of the library: looked up once.
from wsfast.speedups.keys cimport KeySource


# The library's classes, enum members and replaced methods, as of one install. Immutable but for
# the methods, which are entered while the slots are filled.
cdef class Names:
    cdef readonly dict frame_protocol     # the globals of wsproto.frame_protocol
    cdef readonly dict extensions         # those of wsproto.extensions
    cdef object os                        # the module that they name `os`
    cdef KeySource keys                   # over its urandom

    # Classes.
    cdef object Frame
    cdef object Header
    cdef object RsvBits
    cdef object ParseFailed
    cdef object CloseReason
    cdef object Opcode
    cdef object Buffer
    cdef object FrameDecoder
    cdef object MessageDecoder
    cdef object FrameProtocol
    cdef object PerMessageDeflate
    cdef object Connection
    cdef object WSConnection
    cdef object Handshake                 # H11Handshake
    cdef object Message
    cdef object TextMessage
    cdef object BytesMessage
    cdef object Ping
    cdef object Pong
    cdef object CloseConnection
    cdef object Utf8Decoder               # what getincrementaldecoder("utf-8") returns

    # Members and values.
    cdef tuple opcodes                    # by number; None where there is none
    cdef object CONTINUATION
    cdef object TEXT
    cdef object BINARY
    cdef object CLOSE
    cdef tuple rsv_bits                   # RsvBits by number: RSV1 is 4, RSV2 is 2, RSV3 is 1
    cdef object OPEN                      # ConnectionState members
    cdef object LOCAL_CLOSING
    cdef object CLOSED
    cdef object REMOTE_CLOSING

    # What differs between releases.
    cdef readonly bint loose              # before 1.3: a payload is a bytes or a bytearray
    cdef readonly bint copied             # 1.3.0, 1.3.1: a BytesMessage holds a bytearray

    # The replacements, once made: a fast path asks whether a method is still one of them.
    cdef public object process_buffer
    cdef public object process_frame
    cdef public object received_frames
    cdef public object send_data
    cdef public object serialize_frame
    cdef public object inbound_header     # of PerMessageDeflate
    cdef public object inbound_payload
    cdef public object inbound_complete

    # What they stand for, and call for what is not plain.
    cdef public object original_process_buffer
    cdef public object original_process_frame
    cdef public object original_serialize_frame

    # Methods that the originals call, and that ours stand for as well.
    cdef dict decoder_namespace           # the __dict__ of FrameDecoder
    cdef dict protocol_namespace          # the __dict__ of FrameProtocol
    cdef dict deflate_namespace           # the __dict__ of PerMessageDeflate
    cdef object parse_header              # FrameDecoder's own
    cdef object parse_length              # its parse_extended_payload_length
    cdef object process_extensions        # its extension_processing
    cdef object ping                      # FrameProtocol's own
    cdef object pong
    cdef object is_compressible           # PerMessageDeflate's _compressible_opcode
    cdef object make_first_byte           # FrameProtocol's _make_fin_rsv_opcode

    # Note the classes, members and methods of wsproto.frame_protocol.
    cdef int enter_frames(self, module) except -1

    # Note the classes of wsproto.events.
    cdef int enter_events(self, module) except -1

    # Find out what differs between releases.
    cdef int learn_habits(self, client) except -1

    # Whether FrameDecoder still has the methods that it had.
    cdef bint has_own_helpers(self) except -1

    # Whether frames are still put together from what they were: `os`, and the first byte.
    cdef bint has_own_source(self) except -1

    # Whether an extension is a PerMessageDeflate, of no subclass, that judges opcodes as it did.
    cdef bint is_own_deflate(self, object extension) except -1

    # Whether such a one is all there is, with hooks for receiving that are ours.
    cdef bint is_all_deflate(self, object extensions) except -1


# Whether looking up `name` on an object finds this function, bound to it: no subclass, no
# instance attribute and no mock has taken its place.
cdef bint reaches(object owner, object name, object function) except -1

# An instance of a NamedTuple class, without its Python-level __new__.
cdef object named(object cls, tuple items)

# An instance of an ordinary class, without its __init__.
cdef object blank(object cls)

# A Frame.
cdef object new_frame(
    Names names, object opcode, object payload, bint frame_finished, bint message_finished
)

# Make `ours` look like the original that it stands for; returns ours.
cdef object dressed(object ours, object original)
