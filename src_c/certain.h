/* How far a text is certainly valid UTF-8: the rules, and the vector kernels. Private to utf8.c.
 *
 * The serial validator of utf8.c is the specification: it takes a byte at a time, so it can stop
 * anywhere, and knows the exact offset at which a text can no longer become valid. The kernels
 * here only answer a simpler question: how far is this text certainly valid? They return a
 * boundary between two sequences, and the serial validator goes on from there, into the block in
 * which something is wrong. So offsets have one source.
 *
 * A vector kernel decides for 16, 32 or 64 bytes at once, from each byte and the three before it,
 * whether the byte may stand there (J. Keiser, D. Lemire, "Validating UTF-8 In Less Than One
 * Instruction Per Byte", 2020). Every pair of bytes that is an error is an error of one of eight
 * classes, and a class is fixed by three nibbles: high and low of the first byte, high of the
 * second. Three table look-ups give the classes that each nibble allows; what is left after AND
 * is the error. A pair of continuation bytes is an error unless a lead byte two or three places
 * before asks for it. The bytes before are loaded again, from one, two and three bytes earlier:
 * cheaper than shifting two vectors into one.
 *
 * An error shows at the byte where the serial validator fails, but for C0, C1 and F5 to FF, which
 * show one byte later: a boundary always leaves a lead byte at the end behind it.
 */
#ifndef WSFAST_CERTAIN_H
#define WSFAST_CERTAIN_H

#define XOR_LOOKS 1
#include "xor.h"

/* A boundary up to which data[0:size) is valid; data starts with a boundary. The kernels for
 * which certain_carries() holds take a text of CARRY_SIZE or more from anywhere: `before` holds
 * the three bytes before data, the last one highest, or 0. From that size on their answer is
 * exact: if it leaves 3 bytes or fewer, they are the start of a sequence, the lead byte of which
 * is still to be looked at if it stands alone; if it leaves more, there is an error. */
typedef size_t ws_certain_kernel(const uint8_t *data, size_t size, uint32_t before);

enum { CARRY_SIZE = 64 };

/* --- the rules: Unicode 3.9 table 3-7 ------------------------------------------------------- */

/* Bytes in the sequence that `lead` starts; 0 if no sequence starts with it. */
static inline unsigned sequence_size(uint8_t lead) {
    if (lead < 0x80) return 1;
    if (lead < 0xc2) return 0; /* a continuation byte, or an overlong form of ASCII */
    if (lead < 0xe0) return 2;
    if (lead < 0xf0) return 3;
    return lead < 0xf5 ? 4 : 0; /* above U+10FFFF */
}

/* Whether `byte` may be byte number `at` (1 to 3) of the sequence that `lead` starts. */
static inline int continues(uint8_t lead, unsigned at, uint8_t byte) {
    uint8_t low = 0x80, high = 0xbf;
    if (at == 1) {
        if (lead == 0xe0) low = 0xa0;  /* shorter forms exist below U+0800 */
        if (lead == 0xed) high = 0x9f; /* U+D800 to U+DFFF are surrogates */
        if (lead == 0xf0) low = 0x90;  /* shorter forms exist below U+10000 */
        if (lead == 0xf4) high = 0x8f; /* above U+10FFFF */
    }
    return byte >= low && byte <= high;
}

/* --- what the vector kernels share ---------------------------------------------------------- */

#if defined(WS_X86) || defined(WS_ARM)

/* The classes of errors, a bit each: what the first byte is, and the second. */
enum {
    TOO_SHORT = 0x01,   /* a lead byte, then no continuation byte */
    TOO_LONG = 0x02,    /* ASCII, then a continuation byte */
    OVERLONG3 = 0x04,   /* E0, then 80 to 9F */
    SURROGATE = 0x08,   /* ED, then A0 to BF */
    OVERLONG2 = 0x10,   /* C0 or C1, then a continuation byte */
    OVERLONG4 = 0x20,   /* F0, then 80 to 8F; shares its bit with F5 to FF, then 80 to 8F */
    TOO_LARGE = 0x40,   /* F4 to FF, then 90 to BF */
    PAIR = 0x80,        /* two continuation bytes, unless a lead byte asks for them */
    ANY = TOO_SHORT | TOO_LONG | PAIR, /* the low nibble of the first byte does not matter */
    F5_UP = ANY | OVERLONG4 | TOO_LARGE,
    CONTINUED = TOO_LONG | PAIR | OVERLONG2
};

static const uint8_t FIRST_HIGH[16] = {
    TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, /* ASCII */
    PAIR, PAIR, PAIR, PAIR,                       /* 80 to BF */
    TOO_SHORT | OVERLONG2, TOO_SHORT,             /* C0, D0 */
    TOO_SHORT | OVERLONG3 | SURROGATE,            /* E0 */
    TOO_SHORT | OVERLONG4 | TOO_LARGE};           /* F0 */
static const uint8_t FIRST_LOW[16] = {
    ANY | OVERLONG2 | OVERLONG3 | OVERLONG4,      /* C0, E0, F0 */
    ANY | OVERLONG2, ANY, ANY, ANY | TOO_LARGE,   /* C1; F4 */
    F5_UP, F5_UP, F5_UP, F5_UP, F5_UP, F5_UP, F5_UP, F5_UP,
    F5_UP | SURROGATE, F5_UP, F5_UP};             /* ED */
static const uint8_t SECOND_HIGH[16] = {
    TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT,
    CONTINUED | OVERLONG3 | OVERLONG4,            /* 80 to 8F */
    CONTINUED | OVERLONG3 | TOO_LARGE,            /* 90 to 9F */
    CONTINUED | SURROGATE | TOO_LARGE, CONTINUED | SURROGATE | TOO_LARGE, /* A0 to BF */
    TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT};
enum { ASKS2 = 0xe0 - 0x80, ASKS3 = 0xf0 - 0x80 }; /* subtracted, leave bit 7 to such leads */

/* The boundary before an incomplete sequence at the end of data[0:size), else size; size >= 3, and
 * no error was found. A lead byte is incomplete if it asks for more than what follows it. (Where
 * texts are cut is not to be predicted, so there are no branches.) */
static inline size_t boundary(const uint8_t *data, size_t size) {
    const uint8_t *end = data + size;
    return size - (size_t)(1 * (end[-1] >= 0xc0) + 2 * (end[-2] >= 0xe0) + 3 * (end[-3] >= 0xf0));
}

/* Fewer bytes than a vector: leading words of ASCII. */
static inline size_t certain_short(const uint8_t *data, size_t size) {
    size_t i = 0;
    for (uint64_t word; i + 8 <= size; i += 8) {
        memcpy(&word, data + i, 8);
        if (word & 0x8080808080808080) break;
    }
    return i;
}

#endif

/* --- x86-64 --------------------------------------------------------------------------------- */

#if defined(WS_X86)
#if defined(__GNUC__) && !defined(__clang__)
#define KEEP_LOOP _Pragma("GCC unroll 1") /* unrolled, it would not fit the registers */
#else
#define KEEP_LOOP
#endif

/* Bytes of the complete valid sequence at data, or 0. */
static inline size_t sequence_at(const uint8_t *data, size_t size) {
    const unsigned need = sequence_size(data[0]);
    if (need > size) return 0;
    for (unsigned at = 1; at < need; at++) {
        if (!continues(data[0], at, data[at])) return 0;
    }
    return need;
}

/* SSE2 cannot look up nibbles: ASCII in vectors, the rest sequence by sequence. */
static size_t certain_sse2(const uint8_t *data, size_t size, uint32_t before) {
    (void)before;
    size_t i = 0;
    while (i + 16 <= size) {
        if (!_mm_movemask_epi8(load_sse2(data + i))) {
            i += 16;
            continue;
        }
        for (const size_t end = i + 16; i < end;) {
            const size_t step = sequence_at(data + i, size - i);
            if (!step) return i;
            i += step;
        }
    }
    return i;
}

/* --- AVX2 ----------------------------------------------------------------------------------- */

TARGET("avx2") static inline __m256i table_avx2(const uint8_t table[16]) {
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)table));
}

TARGET("avx2") static inline int any_avx2(__m256i errors) {
    return !_mm256_testz_si256(errors, errors);
}

/* Errors in 32 bytes, given the bytes one, two and three places before each of them. */
TARGET("avx2")
static inline __m256i errors_avx2(__m256i text, __m256i back1, __m256i back2, __m256i back3) {
    const __m256i low = _mm256_set1_epi8(0x0f);
    const __m256i first_high = _mm256_and_si256(_mm256_srli_epi16(back1, 4), low);
    const __m256i second_high = _mm256_and_si256(_mm256_srli_epi16(text, 4), low);
    const __m256i first = _mm256_and_si256(
        _mm256_shuffle_epi8(table_avx2(FIRST_HIGH), first_high),
        _mm256_shuffle_epi8(table_avx2(FIRST_LOW), _mm256_and_si256(back1, low)));
    const __m256i second = _mm256_shuffle_epi8(table_avx2(SECOND_HIGH), second_high);
    const __m256i asked = _mm256_or_si256(_mm256_subs_epu8(back2, _mm256_set1_epi8(ASKS2)),
                                          _mm256_subs_epu8(back3, _mm256_set1_epi8(ASKS3)));
    return _mm256_xor_si256(_mm256_and_si256(first, second),
                            _mm256_and_si256(asked, _mm256_set1_epi8((char)PAIR)));
}

/* The same at data[0:32), when data[-3:0) may be read. */
TARGET("avx2") static inline __m256i errors_at_avx2(const uint8_t *data) {
    return errors_avx2(load_avx2(data), load_avx2(data - 1), load_avx2(data - 2),
                       load_avx2(data - 3));
}

/* The same where data starts: the bytes of `before` stand there. */
TARGET("avx2") static inline __m256i errors_start_avx2(const uint8_t *data, uint32_t before) {
    const __m256i text = load_avx2(data);
    const __m256i up = _mm256_inserti128_si256(
        _mm256_castsi128_si256(_mm_set_epi32((int)before, 0, 0, 0)),
        _mm256_castsi256_si128(text), 1);
    return errors_avx2(text, _mm256_alignr_epi8(text, up, 15), _mm256_alignr_epi8(text, up, 14),
                       _mm256_alignr_epi8(text, up, 13));
}

/* `errors` with those of data[0:size), whole vectors. */
TARGET("avx2")
static inline __m256i errors_run_avx2(__m256i errors, const uint8_t *data, size_t size) {
    KEEP_LOOP
    for (size_t i = 0; i < size; i += 32) {
        errors = _mm256_or_si256(errors, errors_at_avx2(data + i));
    }
    return errors;
}

/* Whether data[0:256) is ASCII. */
TARGET("avx2") static inline int ascii_avx2(const uint8_t *data) {
    __m256i text = load_avx2(data);
    for (size_t i = 32; i < 256; i += 32) text = _mm256_or_si256(text, load_avx2(data + i));
    return !_mm256_movemask_epi8(text);
}

/* Whether data[0:256) holds an error; *ascii tells whether the block before it was ASCII, and is
 * set for this one: then only the first vector could show that something is missing. */
TARGET("avx2") static inline int wrong_avx2(const uint8_t *data, int *ascii) {
    const int before = *ascii;
    *ascii = ascii_avx2(data);
    if (*ascii && before) return 0;
    return any_avx2(errors_run_avx2(_mm256_setzero_si256(), data, *ascii ? 32 : 256));
}

/* 16 to 63 bytes, copied between zeros; a text that ends inside a sequence is not certain. */
TARGET("avx2") static size_t certain_copied_avx2(const uint8_t *data, size_t size) {
    uint8_t copy[96] = {0};
    memcpy(copy + 32, data, size);
    const __m256i text = _mm256_or_si256(load_avx2(copy + 32), load_avx2(copy + 64));
    if (!_mm256_movemask_epi8(text)) return size;
    const __m256i errors =
        _mm256_or_si256(errors_at_avx2(copy + 32), errors_at_avx2(copy + 64));
    return any_avx2(errors) ? 0 : boundary(data, size);
}

/* Whether data[at:size) holds an error; the last vector may overlap the ones before. */
TARGET("avx2")
static inline int wrong_end_avx2(__m256i errors, const uint8_t *data, size_t at, size_t size) {
    errors = errors_run_avx2(errors, data + at, (size - at - 1) & ~(size_t)31);
    return any_avx2(_mm256_or_si256(errors, errors_at_avx2(data + size - 32)));
}

TARGET("avx2")
static size_t certain_avx2(const uint8_t *data, size_t size, uint32_t before) {
    if (size < 16) return certain_short(data, size);
    if (size < 64) return certain_copied_avx2(data, size);
    if (size < 256 + 32) {
        const __m256i errors = errors_start_avx2(data, before);
        return wrong_end_avx2(errors, data, 32, size) ? 0 : boundary(data, size);
    }
    int ascii = ascii_avx2(data) & !before;
    if (!ascii) {
        const __m256i errors = errors_start_avx2(data, before);
        if (any_avx2(errors_run_avx2(errors, data + 32, 224))) return 0;
    }
    size_t i = 256 - ((uintptr_t)data & 31); /* aligned; what is checked twice does no harm */
    for (; i + 256 < size; i += 256) {
        if (wrong_avx2(data + i, &ascii)) return boundary(data, i);
    }
    if (ascii && ascii_avx2(data + size - 256)) return size;
    if (wrong_end_avx2(_mm256_setzero_si256(), data, i, size)) return boundary(data, size - 256);
    return boundary(data, size);
}

/* --- AVX-512 -------------------------------------------------------------------------------- */

/* data[0:size), of which at most 64 bytes are read, and zeros; `down` places up. */
TARGET_512 static inline __m512i part_avx512(const uint8_t *data, size_t size, size_t down) {
    const uint64_t bytes = size + down < 64 ? ((uint64_t)1 << (size + down)) - 1 : ~(uint64_t)0;
    return _mm512_maskz_loadu_epi8(bytes >> down << down, data - down);
}

TARGET_512 static inline __m512i table_avx512(const uint8_t table[16]) {
    return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)table));
}

/* `found` with the errors of these 64 bytes, given the bytes one, two and three places before. */
TARGET_512 static inline __m512i errors_avx512(__m512i found, __m512i text, __m512i back1,
                                               __m512i back2, __m512i back3) {
    const __m512i low = _mm512_set1_epi8(0x0f);
    const __m512i first_high = _mm512_and_si512(_mm512_srli_epi16(back1, 4), low);
    const __m512i second_high = _mm512_and_si512(_mm512_srli_epi16(text, 4), low);
    const __m512i classes = _mm512_ternarylogic_epi32( /* a & b & c */
        _mm512_shuffle_epi8(table_avx512(FIRST_HIGH), first_high),
        _mm512_shuffle_epi8(table_avx512(FIRST_LOW), _mm512_and_si512(back1, low)),
        _mm512_shuffle_epi8(table_avx512(SECOND_HIGH), second_high), 0x80);
    const __m512i asked = _mm512_ternarylogic_epi32( /* (a | b) & c */
        _mm512_subs_epu8(back2, _mm512_set1_epi8(ASKS2)),
        _mm512_subs_epu8(back3, _mm512_set1_epi8(ASKS3)), _mm512_set1_epi8((char)PAIR), 0xa8);
    return _mm512_ternarylogic_epi32(found, classes, asked, 0xf6); /* a | (b ^ c) */
}

TARGET_512 static inline __m512i errors_at_avx512(__m512i found, const uint8_t *data) {
    return errors_avx512(found, load_avx512(data), load_avx512(data - 1), load_avx512(data - 2),
                         load_avx512(data - 3));
}

/* The same for the first bytes of data[0:size); the bytes of `before` stand before them. */
TARGET_512 static inline __m512i errors_start_avx512(const uint8_t *data, size_t size,
                                                     uint32_t before) {
    const __m512i carried = _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)before));
    return errors_avx512(
        _mm512_setzero_si512(), part_avx512(data, size, 0),
        _mm512_or_si512(part_avx512(data, size, 1), _mm512_bsrli_epi128(carried, 3)),
        _mm512_or_si512(part_avx512(data, size, 2), _mm512_bsrli_epi128(carried, 2)),
        _mm512_or_si512(part_avx512(data, size, 3), _mm512_bsrli_epi128(carried, 1)));
}

TARGET_512 static inline int any_avx512(__m512i errors) {
    return _mm512_test_epi8_mask(errors, errors) != 0;
}

TARGET_512 static inline int ascii_avx512(const uint8_t *data) {
    return !_mm512_movepi8_mask(
        _mm512_or_si512(_mm512_or_si512(load_avx512(data), load_avx512(data + 64)),
                        _mm512_or_si512(load_avx512(data + 128), load_avx512(data + 192))));
}

TARGET_512
static inline __m512i errors_run_avx512(__m512i errors, const uint8_t *data, size_t size) {
    for (size_t i = 0; i < size; i += 64) errors = errors_at_avx512(errors, data + i);
    return errors;
}

/* As wrong_avx2. */
TARGET_512 static inline int wrong_avx512(const uint8_t *data, int *ascii) {
    const int before = *ascii;
    *ascii = ascii_avx512(data);
    if (*ascii && before) return 0;
    return any_avx512(errors_run_avx512(_mm512_setzero_si512(), data, *ascii ? 64 : 256));
}

/* Whether data[at:size) holds an error; the last vector may overlap the ones before. */
TARGET_512
static inline int wrong_end_avx512(__m512i errors, const uint8_t *data, size_t at, size_t size) {
    errors = errors_run_avx512(errors, data + at, (size - at - 1) & ~(size_t)63);
    return any_avx512(errors_at_avx512(errors, data + size - 64));
}

TARGET_512
static size_t certain_avx512(const uint8_t *data, size_t size, uint32_t before) {
    if (size < 16) return certain_short(data, size);
    if (size <= 64) { /* fewer: a text that ends inside a sequence is not certain */
        if (!before && !_mm512_movepi8_mask(part_avx512(data, size, 0))) return size;
        return any_avx512(errors_start_avx512(data, size, before)) ? 0 : boundary(data, size);
    }
    if (size < 64 + 3) return certain_avx2(data, size, before); /* no room before a last vector */
    if (size < 256 + 64) {
        const __m512i errors = errors_start_avx512(data, size, before);
        return wrong_end_avx512(errors, data, 64, size) ? 0 : boundary(data, size);
    }
    int ascii = ascii_avx512(data) & !before;
    if (!ascii) {
        const __m512i errors = errors_start_avx512(data, size, before);
        if (any_avx512(errors_run_avx512(errors, data + 64, 192))) return 0;
    }
    size_t i = 256 - ((uintptr_t)data & 63); /* aligned; what is checked twice does no harm */
    for (; i + 256 < size; i += 256) {
        if (wrong_avx512(data + i, &ascii)) return boundary(data, i);
    }
    if (ascii && ascii_avx512(data + size - 256)) return size;
    if (wrong_end_avx512(_mm512_setzero_si512(), data, i, size)) return boundary(data, size - 256);
    return boundary(data, size);
}

#endif

/* --- aarch64 -------------------------------------------------------------------------------- */

#if defined(WS_ARM)
/* As errors_at_avx2, for 16 bytes. */
static inline uint8x16_t errors_at_neon(const uint8_t *data) {
    const uint8x16_t back1 = vld1q_u8(data - 1);
    const uint8x16_t first =
        vandq_u8(vqtbl1q_u8(vld1q_u8(FIRST_HIGH), vshrq_n_u8(back1, 4)),
                 vqtbl1q_u8(vld1q_u8(FIRST_LOW), vandq_u8(back1, vdupq_n_u8(0x0f))));
    const uint8x16_t second =
        vqtbl1q_u8(vld1q_u8(SECOND_HIGH), vshrq_n_u8(vld1q_u8(data), 4));
    const uint8x16_t asked = vorrq_u8(vqsubq_u8(vld1q_u8(data - 2), vdupq_n_u8(ASKS2)),
                                      vqsubq_u8(vld1q_u8(data - 3), vdupq_n_u8(ASKS3)));
    return veorq_u8(vandq_u8(first, second), vandq_u8(asked, vdupq_n_u8(PAIR)));
}

static inline uint8x16_t errors_4_neon(const uint8_t *data) {
    return vorrq_u8(vorrq_u8(errors_at_neon(data), errors_at_neon(data + 16)),
                    vorrq_u8(errors_at_neon(data + 32), errors_at_neon(data + 48)));
}

static inline int ascii_4_neon(const uint8_t *data) {
    return vmaxvq_u8(vorrq_u8(vorrq_u8(vld1q_u8(data), vld1q_u8(data + 16)),
                              vorrq_u8(vld1q_u8(data + 32), vld1q_u8(data + 48)))) < 0x80;
}

/* As wrong_avx2, for 64 bytes. */
static inline int wrong_4_neon(const uint8_t *data, int *ascii) {
    const int before = *ascii;
    *ascii = ascii_4_neon(data);
    if (!*ascii) return vmaxvq_u8(errors_4_neon(data)) != 0;
    return !before && vmaxvq_u8(errors_at_neon(data)) != 0;
}

/* The start of a text, up to 64 bytes of it, copied between `before` and zeros. */
static inline int wrong_start_neon(const uint8_t *data, size_t size, uint32_t before) {
    uint8_t copy[80] = {0};
    for (size_t i = 0; i < 4; i++) copy[12 + i] = (uint8_t)(before >> 8 * i);
    memcpy(copy + 16, data, size);
    return vmaxvq_u8(errors_4_neon(copy + 16)) != 0;
}

static size_t certain_neon(const uint8_t *data, size_t size, uint32_t before) {
    if (size < 16) return certain_short(data, size);
    if (size < 64) return wrong_start_neon(data, size, 0) ? 0 : boundary(data, size);
    int ascii = ascii_4_neon(data) & !before;
    if (!ascii && wrong_start_neon(data, 64, before)) return 0;
    if (size < 64 + 3) {
        return vmaxvq_u8(errors_at_neon(data + size - 16)) ? 0 : boundary(data, size);
    }
    for (size_t i = 64; i + 64 < size; i += 64) {
        if (wrong_4_neon(data + i, &ascii)) return boundary(data, i);
    }
    return boundary(data, wrong_4_neon(data + size - 64, &ascii) ? size - 64 : size);
}

#endif

/* --- choosing ------------------------------------------------------------------------------- */

/* Nothing is certain: the serial validator does it all. */
static size_t certain_serial(const uint8_t *data, size_t size, uint32_t before) {
    (void)data, (void)size, (void)before;
    return 0;
}

static ws_certain_kernel *certain_kernel(int level) {
    ws_certain_kernel *kernel = certain_serial;
#if defined(WS_X86)
    if (level >= WS_CPU_SSE2) kernel = certain_sse2;
    if (level >= WS_CPU_AVX2) kernel = certain_avx2;
    if (level >= WS_CPU_AVX512) kernel = certain_avx512;
#elif defined(WS_ARM)
    if (level == WS_CPU_NEON) kernel = certain_neon;
#endif
    (void)level;
    return kernel;
}

/* Whether the kernel of a level takes the bytes before data. */
static int certain_carries(int level) {
    return level >= WS_CPU_AVX2; /* NEON counts higher */
}

#endif
