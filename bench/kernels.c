/* Timing loops around the kernels, for bench/native.py: Python's call costs more than they do. */
#include <time.h>

#include "wsfast.h"

typedef int other_validator(const char *data, size_t size);

enum { PIECE = 4096, RING = 16384, KEY = 0x4a3b2c1d };

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Reached through a pointer that the compiler cannot see through, as the kernels are. */
static void *(*volatile copy)(void *, const void *, size_t) = memcpy;

/* Small blocks take turns, so that no call reads what the call before it still has to write. */
static size_t next(size_t at, size_t size) {
    at += size;
    return at + size > RING ? 0 : at;
}

double bench_memcpy(size_t n, uint8_t *dst, const uint8_t *src, size_t size) {
    const double start = seconds();
    for (size_t i = 0, at = 0; i < n; i++, at = next(at, size)) copy(dst + at, src + at, size);
    return seconds() - start;
}

double bench_mask(size_t n, uint8_t *dst, const uint8_t *src, size_t size) {
    (void)src;
    const double start = seconds();
    for (size_t i = 0, at = 0; i < n; i++, at = next(at, size)) ws_mask(dst + at, size, KEY);
    return seconds() - start;
}

double bench_mask_copy(size_t n, uint8_t *dst, const uint8_t *src, size_t size) {
    const double start = seconds();
    for (size_t i = 0, at = 0; i < n; i++, at = next(at, size)) {
        ws_mask_copy(dst + at, src + at, size, KEY);
    }
    return seconds() - start;
}

double bench_validate(size_t n, uint8_t *dst, const uint8_t *src, size_t size) {
    int complete;
    (void)dst;
    const double start = seconds();
    for (size_t i = 0; i < n; i++) {
        if (ws_utf8_validate(src, size, &complete) != size) return -1;
    }
    return seconds() - start;
}

double bench_feed(size_t n, uint8_t *dst, const uint8_t *src, size_t size) {
    (void)dst;
    const double start = seconds();
    for (size_t i = 0; i < n; i++) {
        ws_utf8_state state = {{0, 0, 0}, 0};
        for (size_t at = 0; at < size; at += PIECE) {
            const size_t part = size - at < PIECE ? size - at : PIECE;
            if (ws_utf8_feed(&state, src + at, part) != part) return -1;
        }
    }
    return seconds() - start;
}

double bench_unmask_utf8(size_t n, uint8_t *dst, const uint8_t *src, size_t size) {
    const double start = seconds();
    for (size_t i = 0; i < n; i++) {
        ws_utf8_state state = {{0, 0, 0}, 0};
        if (ws_unmask_utf8(&state, dst, src, size, 0) != size) return -1;
    }
    return seconds() - start;
}

/* Another library's validator, to compare with. */
double bench_other(size_t n, other_validator *validate, const uint8_t *src, size_t size) {
    const double start = seconds();
    for (size_t i = 0; i < n; i++) {
        if (!validate((const char *)src, size)) return -1;
    }
    return seconds() - start;
}
