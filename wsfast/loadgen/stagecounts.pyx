# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
# (indexes come from `index`, which knows the bounds; one thread owns an engine)
"""What became of the messages of each stage of a schedule.

A message belongs to the stage in which it was due, whenever its answer comes: what a server leaves
for later in one stage does not make the next one look slow.
"""

cimport cython
from libc.stdint cimport UINT64_MAX, uint64_t
from libc.stdlib cimport calloc, free

from wsfast.loadgen.histogram cimport Histogram

__all__ = ["StageCounts"]


@cython.final
cdef class StageCounts:
    """The counts of all stages.

    Args:
        seconds: how long each stage is.

    Raises:
        ValueError: there is none.
    """

    def __cinit__(self, seconds):
        self.seconds = tuple(seconds)
        if not self.seconds:
            raise ValueError("a schedule of no stages has nothing to count")
        self.count = len(self.seconds)
        self.stages = <Stage *>calloc(self.count, sizeof(Stage))
        if self.stages == NULL:
            raise MemoryError(f"no memory for {self.count} stages")
        self.intended, self.actual, self.lag = (
            [Histogram() for _ in self.seconds] for _ in range(3)
        )
        self.stages[self.count - 1].end_ns = UINT64_MAX

    def __dealloc__(self):
        free(self.stages)

    def begin(self, start_ns):
        """The first stage begins at this CLOCK_MONOTONIC time in nanoseconds."""
        cdef size_t place
        passed = 0.0
        for place in range(self.count - 1):
            passed += self.seconds[place]
            self.stages[place].end_ns = start_ns + int(passed * 1e9)

    cdef size_t index(self, uint64_t due_ns) noexcept:
        cdef size_t place = 0
        while due_ns >= self.stages[place].end_ns and place + 1 < self.count:
            place += 1
        return place

    cdef int sent(self, uint64_t due_ns, uint64_t now_ns) except -1:
        cdef size_t place = self.index(due_ns)
        self.stages[place].sent += 1
        (<Histogram>self.lag[place]).record(now_ns - due_ns)
        return 0

    cdef int answered(self, uint64_t due_ns, uint64_t sent_ns, uint64_t now_ns) except -1:
        cdef size_t place = self.index(due_ns)
        self.stages[place].received += 1
        (<Histogram>self.intended[place]).record(now_ns - due_ns)
        (<Histogram>self.actual[place]).record(now_ns - sent_ns)
        return 0

    cdef int censor(self, uint64_t due_ns) except -1:
        cdef size_t place = self.index(due_ns)
        self.stages[place].received -= 1
        self.stages[place].censored += 1
        return 0

    def count_sent(self, uint64_t due_ns, uint64_t now_ns):
        """A message that was due then left now."""
        self.sent(due_ns, now_ns)

    def count_answer(self, uint64_t due_ns, uint64_t sent_ns, uint64_t now_ns):
        """Its answer came."""
        self.answered(due_ns, sent_ns, now_ns)

    def count_censored(self, uint64_t due_ns):
        """What was counted as its answer was the end of the run."""
        self.censor(due_ns)

    def rows(self):
        """Of each stage a dict: sent, received, censored, and its histograms by name."""
        cdef size_t place
        return [
            {
                "sent": self.stages[place].sent,
                "received": self.stages[place].received,
                "censored": self.stages[place].censored,
                "histograms": {
                    "intended": self.intended[place],
                    "actual": self.actual[place],
                    "lag": self.lag[place],
                },
            }
            for place in range(self.count)
        ]
