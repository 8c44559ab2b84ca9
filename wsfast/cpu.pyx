# cython: language_level=3, freethreading_compatible=True
"""Which kernels are in use: one CPU level for all of them, chosen when this module is imported.

A level means: the best kernel that needs no more than this. `WSFAST_CPU` in the environment forces
one from the start, `set_cpu_level` at any time; both are for tests and for comparing.
"""

import os

__all__ = ["cpu_level", "cpu_levels", "set_cpu_level"]


cdef extern from "wsfast.h" nogil:
    enum:
        WS_CPU_NEON  # the last level
    bint ws_cpu_has(int level)
    int ws_cpu_best()
    const char *ws_cpu_name(int level)

cdef enum:
    MOST = 8

cdef UseLevel followers[MOST]
cdef int following = 0
cdef int current = ws_cpu_best()


cdef int follow_cpu_level(UseLevel use) except -1:
    global following
    if following == MOST:
        raise RuntimeError(f"more than {MOST} kernels follow the CPU level")
    followers[following] = use
    following += 1
    use(current)
    return 0


def cpu_levels():
    """Names of the CPU levels that this machine runs, in rising order, as a tuple."""
    return tuple(
        [ws_cpu_name(level).decode() for level in range(WS_CPU_NEON + 1) if ws_cpu_has(level)]
    )


def cpu_level():
    """Name of the CPU level whose kernels are in use."""
    return ws_cpu_name(current).decode()


def set_cpu_level(str name not None):
    """Use the best kernels that need no more than this CPU level.

    Not to be called while other threads are inside a kernel.

    Args:
        name: one of cpu_levels().

    Raises:
        ValueError: this machine has no such level.
    """
    global current
    if name not in cpu_levels():
        raise ValueError(f"CPU level {name!r}: this machine has {', '.join(cpu_levels())}")
    for level in range(WS_CPU_NEON + 1):
        if ws_cpu_name(level).decode() == name:
            current = level
    for i in range(following):
        followers[i](current)


cdef int use_environment() except -1:
    name = os.environ.get("WSFAST_CPU")
    if name:
        try:
            set_cpu_level(name)
        except ValueError as error:
            raise ValueError(f"WSFAST_CPU={name}: {error}") from None
    return 0


use_environment()
