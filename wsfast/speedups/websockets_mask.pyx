# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
# (nothing here indexes a sequence)
"""websockets' `apply_mask` in Python, which it falls back to without its C extension."""

from libc.stdint cimport uint32_t

from wsfast.speedups.masker cimport load_key, masked_bytes, plain_size

from wsfast.speedups.methods import stand_in

__all__ = ["make_apply_mask"]


cdef bytes masked(object data, object mask):
    cdef uint32_t key = 0
    if plain_size(mask) != 4 or plain_size(data) < 0 or not load_key(mask, &key):
        return None
    return masked_bytes(data, key)


def make_apply_mask(original):
    """apply_mask, compiled.

    Args:
        original: the library's own; gets what is not bytes, and masks that are not 4 bytes.
    """

    def apply_mask(data, mask):
        cdef bytes result = masked(data, mask)
        return original(data, mask) if result is None else result

    return stand_in(apply_mask, original)
