# Tornado's _websocket_mask.

# The data masked, in a new bytes; None if data is not bytes, or the mask not four of them.
cdef object masked(object mask, object data)
