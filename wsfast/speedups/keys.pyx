# cython: language_level=3, freethreading_compatible=True
# (nothing here is shared but the pool of wsfast.frame, which has its own lock)
"""Masking keys for patched libraries: pooled, unless somebody replaced the library's source."""

cimport cython
from cpython.dict cimport PyDict_GetItem
from libc.string cimport memcpy

from wsfast.frame cimport next_masking_key

__all__ = ["KeySource"]


@cython.final
cdef class KeySource:
    """The masking keys of one library.

    Its own tests, and applications that want keys they know, replace the function that it takes
    keys from (`secrets.token_bytes`, `os.urandom`). As long as nobody has, keys come from the
    operating system's generator in batches; once somebody has, every key comes from there.

    Args:
        module: the module object that holds the function.
        name: of the function; it is called with 4.
    """

    def __cinit__(self, module, str name not None):
        self._namespace = module.__dict__
        self._name = name
        self._usual = self._namespace[name]
        if getattr(self._usual, "__module__", None) not in (module.__name__, "posix", "nt"):
            self._usual = None  # replaced before we came

    cdef int take(self, uint32_t *key) except -1:
        cdef void *current = <void *>PyDict_GetItem(self._namespace, self._name)
        if current == <void *>self._usual:
            return next_masking_key(key)
        return self._take_replaced(key)

    cdef int _take_replaced(self, uint32_t *key) except -1:
        cdef bytes data = bytes(memoryview(self._namespace[self._name](4)))
        if len(data) != 4:
            raise ValueError(f"a masking key is 4 bytes (RFC 6455 section 5.3), not {len(data)}")
        memcpy(key, <const char *>data, 4)
        return 0

    def token(self):
        """One key as 4 bytes."""
        cdef uint32_t key
        self.take(&key)
        return (<char *>&key)[:4]
