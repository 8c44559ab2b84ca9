/* The kernels that XOR a payload with a four-byte key (RFC 6455 section 5.3), and say whether what
 * comes out is ASCII. Private to mask.c and utf8.c. Each compiles its own, because the module of
 * the one does not link the other, and says by XOR_LOOKS whether it wants to know: if not, the
 * compiler drops the ORs, which cost a nanosecond a call.
 *
 * The vector kernels share one plan. The first and the last vector of the data are loaded and
 * XORed before anything is stored, and stored after everything else; the loop between them starts
 * where dst is aligned (stores that straddle cache lines cost a quarter of the speed) and need not
 * care where the data ends. What they have in common is written twice, with the same bytes. This
 * works in place and when moving down (dst < src), because every load comes before any store that
 * could reach it: the loop stores a block below what it still has to load, and the two ends are in
 * registers since the start. Each vector of a turn of the loop has its own OR: one for all would
 * be a chain through the turns, twice as slow as the stores.
 */
#ifndef WSFAST_XOR_H
#define WSFAST_XOR_H

#include "wsfast.h"

#if defined(__x86_64__) || defined(_M_X64)
#define WS_X86
#include <immintrin.h>
#elif defined(__aarch64__)
#define WS_ARM
#include <arm_neon.h>
#endif

#if defined(_MSC_VER) && !defined(__clang__)
#define TARGET(isa) /* MSVC compiles every intrinsic anywhere */
#else
#define TARGET(isa) __attribute__((target(isa)))
#endif
#define TARGET_512 TARGET("avx512f,avx512bw")

/* dst may be src, or below it with any overlap. With XOR_LOOKS, 1 if all of dst is ASCII. */
typedef int ws_xor_kernel(uint8_t *dst, const uint8_t *src, size_t size, uint32_t key);

/* --- serial: the specification -------------------------------------------------------------- */

static int xor_serial(uint8_t *dst, const uint8_t *src, size_t size, uint32_t key) {
    uint8_t bytes[4], seen = 0;
    memcpy(bytes, &key, 4);
    for (size_t i = 0; i < size; i++) {
        dst[i] = (uint8_t)(src[i] ^ bytes[i & 3]);
        seen |= dst[i];
    }
    return XOR_LOOKS && seen < 0x80;
}

/* --- what the vector kernels share ---------------------------------------------------------- */

#if defined(WS_X86) || defined(WS_ARM)

/* Bytes to the first aligned vector of dst; 0 if there is too little data to gain by it. */
static inline size_t to_aligned(const uint8_t *dst, size_t size, size_t vector) {
    return size < 256 ? 0 : (size_t)(0 - (uintptr_t)dst) & (vector - 1);
}

/* Fewer than 16 bytes: two overlapping words. */
static inline int xor_short(uint8_t *dst, const uint8_t *src, size_t size, uint32_t key) {
    if (size >= 8) {
        const uint32_t turned = ws_rotate_key(key, size);
        uint64_t first, last;
        memcpy(&first, src, 8);
        memcpy(&last, src + size - 8, 8);
        first ^= (uint64_t)key << 32 | key;
        last ^= (uint64_t)turned << 32 | turned;
        memcpy(dst, &first, 8);
        memcpy(dst + size - 8, &last, 8);
        return XOR_LOOKS && !((first | last) & 0x8080808080808080);
    }
    if (size >= 4) {
        uint32_t first, last;
        memcpy(&first, src, 4);
        memcpy(&last, src + size - 4, 4);
        first ^= key;
        last ^= ws_rotate_key(key, size);
        memcpy(dst, &first, 4);
        memcpy(dst + size - 4, &last, 4);
        return XOR_LOOKS && !((first | last) & 0x80808080);
    }
    return xor_serial(dst, src, size, key);
}
#endif

/* --- x86-64 --------------------------------------------------------------------------------- */

#if defined(WS_X86)

static inline __m128i load_sse2(const uint8_t *src) {
    return _mm_loadu_si128((const __m128i *)src);
}

static inline __m128i xor_sse2(const uint8_t *src, uint32_t key) {
    return _mm_xor_si128(load_sse2(src), _mm_set1_epi32((int)key));
}

static inline void store_sse2(uint8_t *dst, __m128i vector) {
    _mm_storeu_si128((__m128i *)dst, vector);
}

static int xor_all_sse2(uint8_t *dst, const uint8_t *src, size_t size, uint32_t key) {
    if (size < 16) return xor_short(dst, src, size, key);
    size_t i = to_aligned(dst, size, 16);
    const __m128i first = xor_sse2(src, key);
    const __m128i last = xor_sse2(src + size - 16, ws_rotate_key(key, size));
    __m128i seen = _mm_or_si128(first, last), seen_b = seen, seen_c = seen, seen_d = seen;
    key = ws_rotate_key(key, i);
    for (; i + 64 < size; i += 64) {
        const __m128i a = xor_sse2(src + i, key);
        const __m128i b = xor_sse2(src + i + 16, key);
        const __m128i c = xor_sse2(src + i + 32, key);
        const __m128i d = xor_sse2(src + i + 48, key);
        seen = _mm_or_si128(seen, a);
        seen_b = _mm_or_si128(seen_b, b);
        seen_c = _mm_or_si128(seen_c, c);
        seen_d = _mm_or_si128(seen_d, d);
        store_sse2(dst + i, a);
        store_sse2(dst + i + 16, b);
        store_sse2(dst + i + 32, c);
        store_sse2(dst + i + 48, d);
    }
    for (; i + 16 < size; i += 16) {
        const __m128i a = xor_sse2(src + i, key);
        seen = _mm_or_si128(seen, a);
        store_sse2(dst + i, a);
    }
    store_sse2(dst, first);
    store_sse2(dst + size - 16, last);
    seen = _mm_or_si128(_mm_or_si128(seen, seen_b), _mm_or_si128(seen_c, seen_d));
    return XOR_LOOKS && !_mm_movemask_epi8(seen);
}

TARGET("avx2") static inline __m256i load_avx2(const uint8_t *src) {
    return _mm256_loadu_si256((const __m256i *)src);
}

TARGET("avx2") static inline __m256i xor_avx2(const uint8_t *src, uint32_t key) {
    return _mm256_xor_si256(load_avx2(src), _mm256_set1_epi32((int)key));
}

TARGET("avx2") static inline void store_avx2(uint8_t *dst, __m256i vector) {
    _mm256_storeu_si256((__m256i *)dst, vector);
}

TARGET("avx2") static inline __m256i or_avx2(__m256i a, __m256i b) {
    return _mm256_or_si256(a, b);
}

TARGET("avx2")
static int xor_all_avx2(uint8_t *dst, const uint8_t *src, size_t size, uint32_t key) {
    if (size < 32) return xor_all_sse2(dst, src, size, key);
    size_t i = to_aligned(dst, size, 32);
    const __m256i first = xor_avx2(src, key);
    const __m256i last = xor_avx2(src + size - 32, ws_rotate_key(key, size));
    __m256i seen = or_avx2(first, last), seen_b = seen, seen_c = seen, seen_d = seen;
    key = ws_rotate_key(key, i);
    for (; i + 128 < size; i += 128) {
        const __m256i a = xor_avx2(src + i, key);
        const __m256i b = xor_avx2(src + i + 32, key);
        const __m256i c = xor_avx2(src + i + 64, key);
        const __m256i d = xor_avx2(src + i + 96, key);
        seen = or_avx2(seen, a);
        seen_b = or_avx2(seen_b, b);
        seen_c = or_avx2(seen_c, c);
        seen_d = or_avx2(seen_d, d);
        store_avx2(dst + i, a);
        store_avx2(dst + i + 32, b);
        store_avx2(dst + i + 64, c);
        store_avx2(dst + i + 96, d);
    }
    for (; i + 32 < size; i += 32) {
        const __m256i a = xor_avx2(src + i, key);
        seen = or_avx2(seen, a);
        store_avx2(dst + i, a);
    }
    store_avx2(dst, first);
    store_avx2(dst + size - 32, last);
    seen = or_avx2(or_avx2(seen, seen_b), or_avx2(seen_c, seen_d));
    return XOR_LOOKS && !_mm256_movemask_epi8(seen);
}

TARGET_512 static inline __m512i load_avx512(const uint8_t *src) {
    return _mm512_loadu_si512(src);
}

TARGET_512 static inline __m512i xor_avx512(const uint8_t *src, uint32_t key) {
    return _mm512_xor_si512(load_avx512(src), _mm512_set1_epi32((int)key));
}

TARGET_512
static int xor_all_avx512(uint8_t *dst, const uint8_t *src, size_t size, uint32_t key) {
    if (size < 256) return xor_all_avx2(dst, src, size, key); /* streams of short frames */
    size_t i = to_aligned(dst, size, 64);
    const __m512i first = xor_avx512(src, key);
    const __m512i last = xor_avx512(src + size - 64, ws_rotate_key(key, size));
    __m512i seen = _mm512_or_si512(first, last), seen_b = seen;
    key = ws_rotate_key(key, i);
    for (; i + 128 < size; i += 128) {
        const __m512i a = xor_avx512(src + i, key);
        const __m512i b = xor_avx512(src + i + 64, key);
        seen = _mm512_or_si512(seen, a);
        seen_b = _mm512_or_si512(seen_b, b);
        _mm512_storeu_si512(dst + i, a);
        _mm512_storeu_si512(dst + i + 64, b);
    }
    for (; i + 64 < size; i += 64) {
        const __m512i a = xor_avx512(src + i, key);
        seen = _mm512_or_si512(seen, a);
        _mm512_storeu_si512(dst + i, a);
    }
    _mm512_storeu_si512(dst, first);
    _mm512_storeu_si512(dst + size - 64, last);
    return XOR_LOOKS && !_mm512_movepi8_mask(_mm512_or_si512(seen, seen_b));
}
#endif

/* --- aarch64 -------------------------------------------------------------------------------- */

#if defined(WS_ARM)

static inline uint8x16_t xor_neon(const uint8_t *src, uint32_t key) {
    return veorq_u8(vld1q_u8(src), vreinterpretq_u8_u32(vdupq_n_u32(key)));
}

static int xor_all_neon(uint8_t *dst, const uint8_t *src, size_t size, uint32_t key) {
    if (size < 16) return xor_short(dst, src, size, key);
    size_t i = to_aligned(dst, size, 16);
    const uint8x16_t first = xor_neon(src, key);
    const uint8x16_t last = xor_neon(src + size - 16, ws_rotate_key(key, size));
    uint8x16_t seen = vorrq_u8(first, last), seen_b = seen, seen_c = seen, seen_d = seen;
    key = ws_rotate_key(key, i);
    for (; i + 64 < size; i += 64) {
        const uint8x16_t a = xor_neon(src + i, key);
        const uint8x16_t b = xor_neon(src + i + 16, key);
        const uint8x16_t c = xor_neon(src + i + 32, key);
        const uint8x16_t d = xor_neon(src + i + 48, key);
        seen = vorrq_u8(seen, a);
        seen_b = vorrq_u8(seen_b, b);
        seen_c = vorrq_u8(seen_c, c);
        seen_d = vorrq_u8(seen_d, d);
        vst1q_u8(dst + i, a);
        vst1q_u8(dst + i + 16, b);
        vst1q_u8(dst + i + 32, c);
        vst1q_u8(dst + i + 48, d);
    }
    for (; i + 16 < size; i += 16) {
        const uint8x16_t a = xor_neon(src + i, key);
        seen = vorrq_u8(seen, a);
        vst1q_u8(dst + i, a);
    }
    vst1q_u8(dst, first);
    vst1q_u8(dst + size - 16, last);
    seen = vorrq_u8(vorrq_u8(seen, seen_b), vorrq_u8(seen_c, seen_d));
    return XOR_LOOKS && vmaxvq_u8(seen) < 0x80;
}
#endif

/* --- choosing ------------------------------------------------------------------------------- */

static ws_xor_kernel *xor_kernel(int level) {
    ws_xor_kernel *kernel = xor_serial;
#if defined(WS_X86)
    if (level >= WS_CPU_SSE2) kernel = xor_all_sse2;
    if (level >= WS_CPU_AVX2) kernel = xor_all_avx2;
    if (level >= WS_CPU_AVX512) kernel = xor_all_avx512; /* 1.4 times as fast in the first cache of
                                                            a Zen 5, and nowhere slower */
#elif defined(WS_ARM)
    if (level == WS_CPU_NEON) kernel = xor_all_neon;
#else
    (void)level;
#endif
    return kernel;
}

#endif
