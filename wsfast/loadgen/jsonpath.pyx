# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
# cython: cdivision=True
# (every pointer is compared with the end of the text before it is read; the divisor is a constant)
"""A value in a JSON text, found by its path without making an object.

The text is walked once, from its begin to the value; what is beside the path is skipped. A text
that is not JSON may give any answer, within its bounds: whoever sent it is not believed anyway.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport UINT64_MAX, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memchr, memcmp

import re

__all__ = ["JsonPath"]

cdef enum:
    QUOTE = 34                    # "
    COMMA = 44
    ZERO = 48
    NINE = 57
    COLON = 58
    OPEN_ARRAY = 91
    BACKSLASH = 92
    CLOSE_ARRAY = 93
    OPEN_OBJECT = 123
    CLOSE_OBJECT = 125


cdef const char *ESCAPES = '"\\/bfnrt'
cdef const char *MEANT = '"\\/\b\f\n\r\t'
cdef uint32_t NO_UNIT = 0xFFFFFFFF


cdef inline const uint8_t *skip_space(const uint8_t *at, const uint8_t *end) noexcept nogil:
    """Behind the white space (RFC 8259 section 2)."""
    while at < end and at[0] <= 32 and at[0] in (32, 9, 10, 13):
        at += 1
    return at


cdef const uint8_t *skip_string(const uint8_t *at, const uint8_t *end) noexcept nogil:
    """Behind the closing quotation mark of the string whose opening one is at `at`."""
    at += 1
    while at < end:
        if at[0] == QUOTE:
            return at + 1
        at += 2 if at[0] == BACKSLASH else 1
    return end


cdef const uint8_t *skip_value(const uint8_t *at, const uint8_t *end) noexcept nogil:
    """Behind the value at `at`: at the comma, or at the bracket that ends what it is in."""
    cdef size_t depth = 0
    while at < end:
        if at[0] == QUOTE:
            at = skip_string(at, end)
            continue
        if at[0] == OPEN_OBJECT or at[0] == OPEN_ARRAY:
            depth += 1
        elif at[0] == CLOSE_OBJECT or at[0] == CLOSE_ARRAY:
            if depth == 0:
                return at
            depth -= 1
        elif at[0] == COMMA and depth == 0:
            return at
        at += 1
    return end


cdef int hex_digit(uint8_t digit) noexcept nogil:
    """The value of a hexadecimal digit, or -1."""
    if ZERO <= digit <= NINE:
        return digit - ZERO
    digit |= 32
    return digit - 87 if 97 <= digit <= 102 else -1


cdef uint32_t read_unit(const uint8_t *at, const uint8_t *end) noexcept nogil:
    r"""The UTF-16 unit of the four digits behind \u; NO_UNIT: they are none."""
    cdef uint32_t unit = 0
    cdef int place, digit
    if end - at < 4:
        return NO_UNIT
    for place in range(4):
        digit = hex_digit(at[place])
        if digit < 0:
            return NO_UNIT
        unit = unit << 4 | <uint32_t>digit
    return unit


cdef int encode(uint32_t point, uint8_t *out) noexcept nogil:
    """UTF-8 of a code point; returns its size."""
    if point < 0x80:
        out[0] = <uint8_t>point
        return 1
    if point < 0x800:
        out[0] = <uint8_t>(0xC0 | point >> 6)
        out[1] = <uint8_t>(0x80 | (point & 0x3F))
        return 2
    if point < 0x10000:
        out[0] = <uint8_t>(0xE0 | point >> 12)
        out[1] = <uint8_t>(0x80 | (point >> 6 & 0x3F))
        out[2] = <uint8_t>(0x80 | (point & 0x3F))
        return 3
    out[0] = <uint8_t>(0xF0 | (point >> 18 & 7))
    out[1] = <uint8_t>(0x80 | (point >> 12 & 0x3F))
    out[2] = <uint8_t>(0x80 | (point >> 6 & 0x3F))
    out[3] = <uint8_t>(0x80 | (point & 0x3F))
    return 4


cdef const uint8_t *unescape(
    const uint8_t *at, const uint8_t *end, uint8_t *out, int *size
) noexcept nogil:
    """The bytes that the escape at `at` stands for; returns what is behind it, or NULL."""
    cdef uint32_t point, low
    cdef const char *found
    if end - at < 2:
        return NULL
    if at[1] != 117:
        found = <const char *>memchr(ESCAPES, at[1], 8)
        if found == NULL:
            return NULL
        out[0], size[0] = <uint8_t>MEANT[found - ESCAPES], 1
        return at + 2
    point = read_unit(at + 2, end)
    if point == NO_UNIT:
        return NULL
    at += 6
    if 0xD800 <= point < 0xDC00 and end - at >= 6 and at[0] == BACKSLASH and at[1] == 117:
        low = read_unit(at + 2, end)
        if 0xDC00 <= low < 0xE000:
            point = 0x10000 + ((point - 0xD800) << 10 | (low - 0xDC00))
            at += 6
    size[0] = encode(point, out)
    return at


@cython.final
cdef class JsonPath:
    r"""Where in a JSON text a value is.

    Args:
        text: names and indexes with dots between: `id`, `data.0.seq`; a dot in a name is `\.`, a
            backslash `\\`.

    Raises:
        ValueError: there is no step, or one is empty.
    """

    def __cinit__(self, str text not None):
        found = [
            re.sub(r"\\(.)", r"\1", step)
            for step in re.findall(r"(?:^|\.)((?:[^\\.]|\\.|\\$)*)", text)
        ]
        if not all(found) or not found:
            raise ValueError(f"{text!r} is no path like id or data.0.seq")
        self.text = text
        self.names = "".join(found).encode()
        self.first = <const uint8_t *>PyBytes_AS_STRING(self.names)
        self.count = len(found)
        self.steps = <Step *>calloc(self.count, sizeof(Step))
        if self.steps == NULL:
            raise MemoryError(f"no memory for a path of {self.count} steps")
        cdef size_t place, offset = 0
        for place, name in enumerate(found):
            size = len(name.encode())
            is_index = re.fullmatch("0|[1-9][0-9]{0,17}", name) is not None
            self.steps[place] = Step(offset, size, is_index, int(name) if is_index else 0)
            offset += size

    def __dealloc__(self):
        free(self.steps)

    cdef const uint8_t *find(self, const uint8_t *text, const uint8_t *end) noexcept nogil:
        cdef const uint8_t *at = skip_space(text, end)
        cdef const Step *step
        cdef size_t place
        for place in range(self.count):
            step = &self.steps[place]
            if at == NULL or at >= end:
                return NULL
            if at[0] == OPEN_OBJECT:
                at = self.find_name(at, end, step)
            elif at[0] == OPEN_ARRAY and step.is_index:
                at = find_index(at, end, step.index)
            else:
                return NULL
        return at if at != NULL and at < end else NULL

    cdef const uint8_t *find_name(
        self, const uint8_t *at, const uint8_t *end, const Step *step
    ) noexcept nogil:
        cdef const uint8_t *name
        cdef bint found
        while True:
            at = skip_space(at + 1, end)      # behind the brace, or a comma
            if at >= end or at[0] != QUOTE:
                return NULL
            name = at + 1
            at = skip_string(at, end)
            found = self.is_name(name, at - 1, step)
            at = skip_space(at, end)
            if at >= end or at[0] != COLON:
                return NULL
            at = skip_space(at + 1, end)
            if found:
                return at
            at = skip_value(at, end)
            if at >= end or at[0] != COMMA:
                return NULL

    cdef bint is_name(
        self, const uint8_t *at, const uint8_t *end, const Step *step
    ) noexcept nogil:
        """Whether the inside of a string, to `end`, is the name of the step."""
        cdef const uint8_t *name = self.first + step.offset
        cdef const uint8_t *behind = name + step.size
        cdef uint8_t meant[4]
        cdef int size
        while at < end:
            size = 1
            if at[0] == BACKSLASH:
                at = unescape(at, end, meant, &size)
                if at == NULL:
                    return False
            else:
                meant[0] = at[0]
                at += 1
            if behind - name < size or memcmp(name, meant, <size_t>size) != 0:
                return False
            name += size
        return name == behind

    cdef bint read_number(
        self, const uint8_t *text, const uint8_t *end, uint64_t *number
    ) noexcept nogil:
        cdef const uint8_t *at = self.find(text, end)
        cdef bint quoted
        cdef const uint8_t *first
        cdef uint64_t found = 0
        if at == NULL:
            return False
        quoted = at[0] == QUOTE
        at += quoted
        first = at
        while at < end and ZERO <= at[0] <= NINE:
            if found > (UINT64_MAX - (at[0] - ZERO)) // 10:
                return False
            found = found * 10 + (at[0] - ZERO)
            at += 1
        if at == first or (quoted and (at >= end or at[0] != QUOTE)):
            return False
        if not quoted and at < end and at[0] in (43, 45, 46, 69, 101):  # + - . E e
            return False
        number[0] = found
        return True

    def number_in(self, bytes text not None):
        """The whole number that is there, plain or as a string of digits, or None."""
        cdef const uint8_t *first = <const uint8_t *>PyBytes_AS_STRING(text)
        cdef uint64_t found
        if self.read_number(first, first + PyBytes_GET_SIZE(text), &found):
            return found
        return None

    def value_in(self, bytes text not None):
        """The text of the value that is there, or None."""
        cdef const uint8_t *first = <const uint8_t *>PyBytes_AS_STRING(text)
        cdef const uint8_t *end = first + PyBytes_GET_SIZE(text)
        cdef const uint8_t *at = self.find(first, end)
        if at == NULL:
            return None
        return text[at - first:skip_value(at, end) - first].strip()


cdef const uint8_t *find_index(
    const uint8_t *at, const uint8_t *end, uint64_t index
) noexcept nogil:
    """The value of that index in the array at `at`, or NULL."""
    at = skip_space(at + 1, end)
    if at >= end or at[0] == CLOSE_ARRAY:
        return NULL
    while index:
        at = skip_value(at, end)
        if at >= end or at[0] != COMMA:
            return NULL
        at = skip_space(at + 1, end)
        index -= 1
    return at
