# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
# cython: cdivision=True
# (pointers with sizes checked by hand; divisors are constants or checked; one thread owns one)
"""A message with fields: constant parts, and between them what differs from message to message.

    {"op": "add", "id": {{seq}}, "user": "{{choice ann bob}}", "at": {{time_ns}}}

The text is taken apart once. A message is then written part by part into memory that is there
already: no Python object is made for it. Random fields follow from the seed, the connection and
the sequence number alone, so that the same message can be written again to check its echo.
"""

cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize

import re
import shlex
import time

__all__ = ["FIELDS", "Template"]

cdef enum:
    SHORTEST_TIME_NS = 19         # digits of a Unix time from 2001 to 2286
    ISO_SIZE = 27
    UUID_SIZE = 36

cdef uint64_t GOLDEN = 0x9E3779B97F4A7C15ULL
cdef const char *LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
cdef const char *DIGITS = "0123456789abcdef"

#: Every field: its name, and what follows it.
FIELDS = {
    "seq": "",
    "connection": "",
    "worker": "",
    "time_ns": "",
    "time_us": "",
    "time_ms": "",
    "time_iso": "",
    "random_int": "LOW HIGH",
    "random_string": "LENGTH",
    "random_hex": "LENGTH",
    "uuid": "",
    "choice": "WORD...",
}
KINDS = {
    "seq": SEQUENCE,
    "connection": CONNECTION,
    "worker": WORKER,
    "time_ns": TIME_NS,
    "time_us": TIME_US,
    "time_ms": TIME_MS,
    "time_iso": TIME_ISO,
    "random_int": RANDOM_INT,
    "random_string": RANDOM_STRING,
    "random_hex": RANDOM_HEX,
    "uuid": UUID,
    "choice": CHOICE,
}
MARK = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
LONGEST_RANDOM = 1 << 24


# --- the text ----------------------------------------------------------------------------------


def parse(text):
    """The parts of a text: (where it begins, kind, values) each; see `Template` for errors."""
    parts, done = [], 0
    for found in MARK.finditer(text):
        if found.start() > done:
            parts.append((done, CONSTANT, (text[done:found.start()],)))
        parts.append((found.start(), *parse_field(found[1])))
        done = found.end()
    if "{{" in text[done:]:
        raise ValueError(f"the field that begins with {text[text.index('{{', done):][:20]!r} "
                         "has no end: it needs }}")
    if done < len(text):
        parts.append((done, CONSTANT, (text[done:],)))
    return parts


def parse_field(text):
    """The kind and the values of what stands between the braces."""
    try:
        name, *words = shlex.split(text) or [""]
    except ValueError as error:
        raise ValueError(f"the field {{{{{text}}}}} cannot be read: {error}") from None
    if name not in FIELDS:
        raise ValueError(f"{{{{{text}}}}} is no field; known: {', '.join(FIELDS)}")
    values = tuple(words)
    if name == "choice":
        fits = bool(words)
    else:
        fits = len(words) == len(FIELDS[name].split())
        values = tuple(map(number, words)) if fits else ()
    if not fits or None in values:
        raise ValueError(f"{{{{{text}}}}} should be {{{{{f'{name} {FIELDS[name]}'.strip()}}}}}")
    if name == "random_int" and not -(1 << 63) <= values[0] <= values[1] < 1 << 63:
        raise ValueError(f"{{{{{text}}}}} has no number between: LOW <= HIGH, both of 64 bits")
    if name in ("random_string", "random_hex") and not 1 <= values[0] <= LONGEST_RANDOM:
        raise ValueError(f"{{{{{text}}}}}: the length is not in 1..{LONGEST_RANDOM}")
    return KINDS[name], values


def number(text):
    """The whole number that a word is, or None."""
    return int(text) if re.fullmatch(r"[+-]?\d{1,20}", text, re.ASCII) else None


# --- writing -----------------------------------------------------------------------------------


cdef inline uint64_t next_random(uint64_t *state) noexcept nogil:
    """splitmix64 (Steele, Lea, Flood 2014)."""
    state[0] += GOLDEN
    cdef uint64_t mixed = state[0]
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9ULL
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBULL
    return mixed ^ (mixed >> 31)


cdef inline size_t write_number(uint8_t *out, uint64_t number) noexcept nogil:
    """The decimal digits; returns how many."""
    cdef uint8_t digits[20]
    cdef size_t first = 20
    while True:
        first -= 1
        digits[first] = <uint8_t>(48 + number % 10)
        number //= 10
        if not number:
            break
    memcpy(out, digits + first, 20 - first)
    return 20 - first


cdef inline void write_padded(uint8_t *out, uint64_t number, size_t width) noexcept nogil:
    """The last `width` decimal digits."""
    cdef size_t place = width
    while place:
        place -= 1
        out[place] = <uint8_t>(48 + number % 10)
        number //= 10


cdef size_t write_signed(uint8_t *out, uint64_t number) noexcept nogil:
    """The decimal digits of a number in two's complement, with its sign."""
    if number >> 63 == 0:
        return write_number(out, number)
    out[0] = 45
    return 1 + write_number(out + 1, 0 - number)


cdef size_t write_random(
    uint8_t *out, uint64_t *random, size_t size, const char *letters, int bits
) noexcept nogil:
    """Characters of an alphabet of 2**bits."""
    cdef uint64_t drawn = 0
    cdef size_t place
    cdef int left = 0
    for place in range(size):
        if left < bits:
            drawn, left = next_random(random), 64
        out[place] = <uint8_t>letters[drawn & ((1 << bits) - 1)]
        drawn >>= bits
        left -= bits
    return size


cdef size_t write_uuid(uint8_t *out, uint64_t *random) noexcept nogil:
    """Version 4: 122 random bits (RFC 9562 section 5.4)."""
    cdef uint8_t digits[32]
    cdef size_t place, used = 0
    write_random(digits, random, 32, DIGITS, 4)
    digits[12] = 52
    digits[16] = <uint8_t>DIGITS[8 | (digits[16] & 3)]
    for place in range(32):
        if place == 8 or place == 12 or place == 16 or place == 20:
            out[used] = 45
            used += 1
        out[used] = digits[place]
        used += 1
    return UUID_SIZE


cdef size_t write_iso(uint8_t *out, uint64_t us) noexcept nogil:
    """RFC 3339 in UTC (days to dates as in H. Hinnant, chrono-Compatible Low-Level Algorithms)."""
    cdef uint64_t day = us // 86_400_000_000ULL + 719_468, second = us // 1_000_000 % 86_400
    cdef uint64_t era = day // 146_097, of_era = day % 146_097
    cdef uint64_t year = (
        of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096
    ) // 365
    cdef uint64_t of_year = of_era - (365 * year + year // 4 - year // 100)
    cdef uint64_t month = (5 * of_year + 2) // 153
    write_padded(out + 8, of_year - (153 * month + 2) // 5 + 1, 2)
    month = month + 3 if month < 10 else month - 9
    write_padded(out, year + era * 400 + (month <= 2), 4)
    write_padded(out + 5, month, 2)
    write_padded(out + 11, second // 3600, 2)
    write_padded(out + 14, second // 60 % 60, 2)
    write_padded(out + 17, second % 60, 2)
    write_padded(out + 20, us % 1_000_000, 6)
    out[4] = out[7] = 45
    out[10], out[19], out[26] = 84, 46, 90
    out[13] = out[16] = 58
    return ISO_SIZE


cdef size_t longest(const Part *part, const Span *spans) noexcept nogil:
    """Bytes that a part takes at most."""
    cdef size_t most = 20, place
    if part.kind == CONSTANT or part.kind == CHOICE:
        most = 0
        for place in range(part.span, part.span + part.count):
            most = max(most, spans[place].size)
    elif part.kind == RANDOM_STRING or part.kind == RANDOM_HEX:
        most = part.count
    elif part.kind == TIME_ISO:
        most = ISO_SIZE
    elif part.kind == UUID:
        most = UUID_SIZE
    elif part.kind in (SEQUENCE, CONNECTION, WORKER):
        most = 10
    return most


cdef size_t shortest(const Part *part, const Span *spans) noexcept nogil:
    """Bytes that a part takes at least."""
    cdef size_t least, place
    if part.kind == CONSTANT or part.kind == CHOICE:
        least = spans[part.span].size
        for place in range(part.span, part.span + part.count):
            least = min(least, spans[place].size)
        return least
    if part.kind in (SEQUENCE, CONNECTION, WORKER, RANDOM_INT):
        return 1
    if part.kind in (TIME_NS, TIME_US, TIME_MS):
        return SHORTEST_TIME_NS - 3 * (part.kind - TIME_NS)
    return longest(part, spans)


@cython.final
cdef class Template:
    """A message with fields.

    Args:
        text: constant but for `{{name}}`, or `{{name values}}`, of `FIELDS`. What the fields
            stand for is inserted as it is, without quotation marks.
        seed: of the random fields.
        worker: number of the generator process.

    Raises:
        ValueError: a field is not known, its values are not what it takes, or it has no end; or
            the text is empty.
    """

    def __cinit__(self, str text not None, *, seed=0, worker=0):
        if not text:
            raise ValueError("a template of no text makes no message")
        self.seed = <uint64_t>(seed & 0xFFFFFFFFFFFFFFFF)
        self.worker = worker
        self.epoch_ns = time.time_ns() - time.monotonic_ns()
        self.compile(parse(text))

    def __dealloc__(self):
        free(self.parts)
        free(self.spans)

    cdef int compile(self, list parts) except -1:
        words = [
            word.encode() for _, kind, values in parts if kind in (CONSTANT, CHOICE)
            for word in values
        ]
        cdef size_t place, span = 0, offset = 0
        self.text = b"".join(words)
        self.first = <const uint8_t *>PyBytes_AS_STRING(self.text)
        self.count = len(parts)
        self.parts = <Part *>calloc(len(parts), sizeof(Part))
        self.spans = <Span *>calloc(len(words) + 1, sizeof(Span))
        if self.parts == NULL or self.spans == NULL:
            raise MemoryError(f"no memory for a template of {len(parts)} parts")
        for place, word in enumerate(words):
            self.spans[place] = Span(offset, len(word))
            offset += len(word)
        for place, (_, kind, values) in enumerate(parts):
            span += self.fill(&self.parts[place], kind, values, span)
            self.most += longest(&self.parts[place], self.spans)
            self.least += shortest(&self.parts[place], self.spans)
        return 0

    cdef int fill(self, Part *part, object kind, tuple values, size_t span) except -1:
        """Returns how many spans it takes."""
        part.kind = kind
        self.numbered |= part.kind == SEQUENCE
        self.timed |= part.kind in (TIME_NS, TIME_US, TIME_MS, TIME_ISO)
        if part.kind == CONSTANT or part.kind == CHOICE:
            part.span, part.count = span, <uint64_t>len(values)
            return len(values)
        if part.kind == RANDOM_INT:
            part.low = values[0]
            part.count = <uint64_t>((values[1] - values[0] + 1) & 0xFFFFFFFFFFFFFFFF)
        elif values:
            part.count = values[0]
        return 0

    cdef uint64_t random_of(self, uint32_t sequence, uint32_t number) noexcept nogil:
        cdef uint64_t state = self.seed
        state = next_random(&state) ^ (<uint64_t>number << 32 | sequence)
        return next_random(&state)

    cdef size_t render(
        self, uint8_t *out, uint32_t sequence, uint32_t number, uint64_t due_ns
    ) noexcept nogil:
        cdef uint64_t random = self.random_of(sequence, number)
        cdef size_t place, used = 0
        for place in range(self.count):
            used += self.write(
                &self.parts[place], out + used, sequence, number, due_ns, &random
            )
        return used

    cdef size_t write(
        self,
        const Part *part,
        uint8_t *out,
        uint32_t sequence,
        uint32_t number,
        uint64_t due_ns,
        uint64_t *random,
    ) noexcept nogil:
        cdef Kind kind = part.kind
        cdef uint64_t drawn
        cdef Span span
        if kind == CONSTANT or kind == CHOICE:
            span = self.spans[part.span]
            if kind == CHOICE:
                span = self.spans[part.span + next_random(random) % part.count]
            memcpy(out, self.first + span.offset, span.size)
            return span.size
        if kind == SEQUENCE:
            return write_number(out, sequence)
        if kind == CONNECTION:
            return write_number(out, number)
        if kind == WORKER:
            return write_number(out, self.worker)
        if kind == TIME_NS:
            return write_number(out, self.epoch_ns + due_ns)
        if kind == TIME_US:
            return write_number(out, (self.epoch_ns + due_ns) // 1000)
        if kind == TIME_MS:
            return write_number(out, (self.epoch_ns + due_ns) // 1_000_000)
        if kind == TIME_ISO:
            return write_iso(out, (self.epoch_ns + due_ns) // 1000)
        if kind == RANDOM_INT:
            drawn = next_random(random)
            return write_signed(out, <uint64_t>part.low + (
                drawn % part.count if part.count else drawn
            ))
        if kind == UUID:
            return write_uuid(out, random)
        if kind == RANDOM_HEX:
            return write_random(out, random, part.count, DIGITS, 4)
        return write_random(out, random, part.count, LETTERS, 6)

    def pieces(self, uint32_t sequence, uint32_t number, uint64_t due_ns=0):
        """The parts of one message, a list of bytes in the order in which they stand.

        Args:
            sequence: of the message on its connection.
            number: of the connection.
            due_ns: CLOCK_MONOTONIC when it is meant to leave, in nanoseconds.
        """
        cdef uint64_t random = self.random_of(sequence, number)
        cdef size_t place, size
        cdef bytes room = PyBytes_FromStringAndSize(NULL, self.most + 20)
        cdef uint8_t *out = <uint8_t *>PyBytes_AS_STRING(room)
        found = []
        for place in range(self.count):
            size = self.write(&self.parts[place], out, sequence, number, due_ns, &random)
            found.append(PyBytes_FromStringAndSize(<const char *>out, size))
        return found

    def message(self, uint32_t sequence, uint32_t number, uint64_t due_ns=0):
        """One message as bytes; arguments as for `pieces`."""
        cdef bytes room = PyBytes_FromStringAndSize(NULL, self.most)
        cdef size_t size = self.render(
            <uint8_t *>PyBytes_AS_STRING(room), sequence, number, due_ns
        )
        return room[:size]
