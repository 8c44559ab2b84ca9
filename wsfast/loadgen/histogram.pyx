# cython: language_level=3, freethreading_compatible=True
"""An HDR histogram of nanoseconds: three significant digits from 1 ns to 1 h in a fixed array.

The layout is the one of HdrHistogram with lowest 1, highest 3.6e12 and 3 digits, so the counts
can be handed to its tools one by one. Bucket 0 holds the values 0..2047 each in a slot of its
own; each further bucket holds 1024 slots, twice as wide as those of the bucket before it. A slot
is therefore never wider than a 1024th of the values in it, which is what three digits mean.

Merging adds the counts and is exact: the histogram of two merged runs equals the histogram of all
their values. Sum, smallest and largest value are kept beside the counts and are exact too; the
standard deviation is computed from the middle of each slot, as HdrHistogram does.
"""

# No directive changes a meaning here: `record` indexes a C pointer, with a slot number that is
# below SLOTS by construction (the value is clamped to HIGHEST first).

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport UINT64_MAX, int64_t, uint64_t

import math

import numpy

__all__ = ["DIGITS", "HIGHEST", "SLOTS", "Histogram", "slot_bounds"]

cdef extern from *:
    """
    #if defined(_MSC_VER)
    #include <intrin.h>
    static inline int wsfast_top_bit(unsigned long long value) {
        unsigned long index;
        _BitScanReverse64(&index, value);
        return (int)index;
    }
    #else
    static inline int wsfast_top_bit(unsigned long long value) {
        return 63 - __builtin_clzll(value);
    }
    #endif
    """
    int top_bit "wsfast_top_bit" (unsigned long long value) nogil   # value > 0

cdef enum:
    HALF_BITS = 10               # slots of a half bucket: 1024
    FULL_MASK = 2047             # the values of bucket 0
    SLOT_COUNT = 33 << 10        # 32 buckets (2048 << 31 is above one hour): (32 + 1) * 1024

cdef uint64_t HOUR = 3_600_000_000_000

DIGITS = 3
HIGHEST = HOUR
SLOTS = SLOT_COUNT


cdef inline Py_ssize_t slot_of(uint64_t value) noexcept nogil:
    cdef int bucket = top_bit(value | FULL_MASK) - HALF_BITS
    return (<Py_ssize_t>bucket << HALF_BITS) + <Py_ssize_t>(value >> bucket)


cdef inline uint64_t first_of(Py_ssize_t slot) noexcept nogil:
    cdef Py_ssize_t bucket = (slot >> HALF_BITS) - 1
    if bucket < 1:
        return <uint64_t>slot
    return <uint64_t>(slot - (bucket << HALF_BITS)) << bucket


def slot_bounds(slot):
    """The values that share a slot.

    Args:
        slot: number of the slot, 0 to SLOTS - 1.

    Returns:
        (first, last): the smallest and the largest value counted there, in ns.

    Raises:
        IndexError: there is no such slot.
    """
    cdef Py_ssize_t number = slot
    if not 0 <= number < SLOT_COUNT:
        raise IndexError(f"slot {slot} is outside 0..{SLOT_COUNT - 1}")
    return first_of(number), first_of(number + 1) - 1


def middles():
    """The middle value of every slot as float64, for the standard deviation."""
    slots = numpy.arange(SLOT_COUNT + 1, dtype=numpy.int64)
    bucket = numpy.maximum((slots >> HALF_BITS) - 1, 0)
    first = (slots - (bucket << HALF_BITS)) << bucket
    return (first[:-1] + (first[1:] - 1)) / 2.0


@cython.final
cdef class Histogram:
    """Durations in nanoseconds, counted with three significant digits.

    Values above one hour are counted in the slot of one hour and in `clamped`; `maximum` stays
    exact for them.
    """

    def __cinit__(self):
        self.array = numpy.zeros(SLOT_COUNT, dtype=numpy.int64)
        PyObject_GetBuffer(self.array, &self.view, PyBUF_SIMPLE | PyBUF_WRITABLE)
        self.slots = <int64_t *>self.view.buf
        self.lowest = UINT64_MAX

    def __dealloc__(self):
        if self.slots != NULL:
            PyBuffer_Release(&self.view)

    cdef void record(self, uint64_t value) noexcept nogil:
        self.total += 1
        self.sum += value
        if value < self.lowest:
            self.lowest = value
        if value > self.highest:
            self.highest = value
        if value > HOUR:
            self.clamped += 1
            value = HOUR
        self.slots[slot_of(value)] += 1

    @property
    def counts(self):
        """The counts, one per slot: a read-only numpy int64 array that follows the recording."""
        view = self.array.view()
        view.flags.writeable = False
        return view

    @property
    def minimum(self):
        """The smallest value recorded, exact, in ns; 0 when nothing was recorded."""
        return self.lowest if self.total else 0

    @property
    def maximum(self):
        """The largest value recorded, exact, in ns; 0 when nothing was recorded."""
        return self.highest

    @property
    def mean(self):
        """The exact mean in ns as float; 0.0 when nothing was recorded."""
        return self.sum / <double>self.total if self.total else 0.0

    @property
    def stdev(self):
        """The standard deviation in ns as float, from the middle of each slot."""
        if not self.total:
            return 0.0
        used = numpy.flatnonzero(self.array)
        deviations = middles()[used] - self.mean
        return math.sqrt(float(self.array[used] @ (deviations * deviations)) / self.total)

    def record_all(self, values):
        """Record every value of an iterable.

        Args:
            values: durations in ns, int of 0 to 2**64 - 1 each.

        Raises:
            OverflowError: a value is negative or has more than 64 bits; those before it count.
        """
        for value in values:
            self.record(value)

    def percentiles(self, wanted):
        """The values below or at which so many percent of the recorded values lie.

        Args:
            wanted: percentages as float, each 0 to 100.

        Returns:
            A list of int, in ns: for each percentage the largest value of the slot in which it
            falls, but never outside of minimum..maximum. All 0 when nothing was recorded.

        Raises:
            ValueError: a percentage is outside 0..100.
        """
        running = numpy.cumsum(self.array)
        return [self.value_at(running, float(percentage)) for percentage in wanted]

    cdef object value_at(self, object running, double percentage):
        if not 0.0 <= percentage <= 100.0:
            raise ValueError(f"percentage {percentage} is outside 0..100")
        if not self.total:
            return 0
        # 99.9 has no exact double: step below the product, or p99.9 of 1000 values is the largest
        rank = max(1, math.ceil(math.nextafter(percentage * <double>self.total / 100.0, 0.0)))
        cdef Py_ssize_t slot = numpy.searchsorted(running, rank)
        if slot == SLOT_COUNT - 1 or rank == self.total:
            return self.highest
        return max(self.lowest, min(self.highest, first_of(slot + 1) - 1))

    def merge(self, Histogram other not None):
        """Add every value of another histogram to this one; exact.

        Args:
            other: a Histogram, which stays as it is.
        """
        self.array += other.array
        self.total += other.total
        self.clamped += other.clamped
        self.sum += other.sum
        self.lowest = min(self.lowest, other.lowest)
        self.highest = max(self.highest, other.highest)

    def __getstate__(self):
        """(counts, clamped, sum, lowest, highest): what `restore` takes. No value is lost."""
        return self.array.copy(), self.clamped, self.sum, self.lowest, self.highest

    def __reduce__(self):
        return restore, self.__getstate__()

    def __eq__(self, other):
        if not isinstance(other, Histogram):
            return NotImplemented
        mine, theirs = self.__getstate__(), other.__getstate__()
        return mine[1:] == theirs[1:] and bool((mine[0] == theirs[0]).all())

    __hash__ = None


def restore(counts, clamped, total_ns, lowest, highest):
    """Rebuild a histogram from what `Histogram.__getstate__` gave.

    Args:
        counts: one int per slot, from slot 0 on; what is left out is 0.
        clamped: how many of the values were longer than HIGHEST.
        total_ns: the sum of all values.
        lowest: the smallest of them; ignored if there is none.
        highest: the largest of them, or 0.

    Raises:
        ValueError: a count is negative, or there are more counts than slots.
    """
    cdef Histogram histogram = Histogram()
    counts = numpy.asarray(counts, dtype=numpy.int64)
    if counts.size > SLOT_COUNT:
        raise ValueError(f"{counts.size} counts do not fit into {SLOT_COUNT} slots")
    if (counts < 0).any():
        raise ValueError("a count is negative")
    histogram.array[: counts.size] = counts
    histogram.total = int(histogram.array.sum())
    histogram.clamped = clamped
    histogram.sum = total_ns
    histogram.lowest = lowest if histogram.total else UINT64_MAX
    histogram.highest = highest
    return histogram
