# cython: language_level=3, freethreading_compatible=True, cdivision=True
# (every divisor is a positive double)
"""When messages are due: constant or Poisson arrivals at a rate that may ramp.

The schedule is fixed before the first message and never moves: what a stall held back is due when
it was due. It is kept as a count of messages, not as a time, because a rate that ramps is then a
matter of one square root: after s seconds of a stage that begins at rate r with slope a, the
stage has seen r s + a s^2 / 2 messages. Equal steps of that count are a steady load; steps drawn
from the exponential distribution with mean 1 are a Poisson process of the same rate (Cinlar,
Introduction to Stochastic Processes, 1975, section 4.7: time change).
"""

cimport cython
from libc.math cimport INFINITY, log, sqrt
from libc.stdint cimport UINT64_MAX, uint64_t

__all__ = ["Schedule"]

ARRIVALS = {"constant": STEADY, "poisson": POISSON}


@cython.final
cdef class Schedule:
    """The times at which messages are due, one after the other.

    Args:
        stages: (seconds, rate) pairs: within so many seconds the rate goes in a straight line
            from where it was to so many messages a second. The last one may be endless (inf).
        rate: where the first stage starts, in messages a second; None: at its own rate.
        arrivals: "constant" or "poisson".
        phase: 0 to 1; the first message of a constant load is due when so much of it has passed.
        seed: of the Poisson gaps.

    Raises:
        ValueError: a duration is not positive, a rate negative, an endless stage ramps or is not
            the last one, the phase is not in 0..1, or the arrivals are neither.
    """

    def __init__(self, stages, *, rate=None, str arrivals="constant", double phase=0.0, seed=0):
        if arrivals not in ARRIVALS:
            raise ValueError(f"arrivals {arrivals!r} are neither {' nor '.join(ARRIVALS)}")
        if not 0.0 <= phase < 1.0:
            raise ValueError(f"a phase of {phase} is not in 0..1")
        self.rate = stages[0][1] if rate is None else rate
        check_stages(stages, self.rate)
        self.arrivals = ARRIVALS[arrivals]
        self.random = <uint64_t>(seed & UINT64_MAX)
        self.stages = tuple(reversed(stages))
        self.next_ns = UINT64_MAX
        self.enter_stage()
        self.position = phase if self.arrivals == STEADY else self.gap()

    def begin(self, start_ns):
        """The first stage starts at this CLOCK_MONOTONIC time in nanoseconds."""
        self.start_ns = start_ns
        self.settle()

    def take(self, count):
        """The next times in nanoseconds: a list of so many, or fewer at the end."""
        times = []
        while len(times) < count and self.next_ns != UINT64_MAX:
            times.append(self.next_ns)
            self.advance()
        return times

    cdef int advance(self) except -1:
        self.position += self.gap()
        return self.settle()

    cdef double gap(self) noexcept:
        """Messages from one to the next: 1, or exponentially distributed with that mean."""
        if self.arrivals == STEADY:
            return 1.0
        # splitmix64 (Steele, Lea, Flood 2014), its upper 53 bits as a number in (0, 1]
        self.random += 0x9E3779B97F4A7C15ULL
        cdef uint64_t mixed = self.random
        mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9ULL
        mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBULL
        mixed ^= mixed >> 31
        return -log(<double>((mixed >> 11) + 1) * (1.0 / 9007199254740992.0))

    cdef int settle(self) except -1:
        """Turn the position into a time, over the ends of stages."""
        cdef double seconds
        while self.position >= self.expected:
            self.position -= self.expected
            self.passed += self.length
            self.rate += self.slope * self.length
            if not self.enter_stage():
                self.next_ns = UINT64_MAX
                return 0
        # the root of r s + a s^2 / 2 = position that does not cancel
        seconds = self.rate + sqrt(self.rate * self.rate + 2.0 * self.slope * self.position)
        seconds = 2.0 * self.position / seconds if seconds > 0.0 else 0.0
        self.next_ns = self.start_ns + <uint64_t>((self.passed + seconds) * 1e9)
        return 0

    cdef bint enter_stage(self) except -1:
        if not self.stages:
            return False
        seconds, rate = self.stages[-1]
        self.stages = self.stages[:-1]
        self.length = seconds
        if self.length == INFINITY:
            self.slope = 0.0
            self.expected = INFINITY if self.rate > 0.0 else 0.0
        else:
            self.slope = (<double>rate - self.rate) / self.length
            self.expected = (self.rate + <double>rate) / 2.0 * self.length
        return True


def check_stages(stages, double rate):
    """Refuse stages that no schedule can follow; see Schedule."""
    before = rate
    for number, (seconds, goal) in enumerate(stages, 1):
        if not seconds > 0:
            raise ValueError(f"stage {number} lasts {seconds} s: a stage takes time")
        if not 0 <= goal < INFINITY or not 0 <= before < INFINITY:
            raise ValueError(f"stage {number} goes to {goal} messages/s: a rate is 0 or more")
        if seconds == INFINITY and (number != len(stages) or goal != before or not goal):
            raise ValueError(f"stage {number} is endless: only a last, steady one may be")
        before = goal
