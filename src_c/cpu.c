/* Which kernels this machine runs. */
#include "wsfast.h"

static const char *const NAMES[] = {"serial", "sse2", "avx2", "avx512", "neon"};
enum { LEVELS = sizeof NAMES / sizeof NAMES[0] };

#if defined(__x86_64__) || defined(_M_X64)
#if defined(_MSC_VER)
#include <immintrin.h>
#include <intrin.h>
static void cpuid(unsigned leaf, unsigned out[4]) {
    __cpuidex((int *)out, (int)leaf, 0);
}
static uint64_t xgetbv(void) {
    return _xgetbv(0);
}
#else
#include <cpuid.h>
static void cpuid(unsigned leaf, unsigned out[4]) {
    __cpuid_count(leaf, 0, out[0], out[1], out[2], out[3]);
}
static uint64_t xgetbv(void) {
    uint32_t low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return ((uint64_t)high << 32) | low;
}
#endif

enum {
    OSXSAVE = 1 << 27,                           /* leaf 1, ecx */
    AVX2 = 1 << 5,                               /* leaf 7, ebx */
    AVX512F_BW = 1 << 16 | 1 << 30,              /* leaf 7, ebx */
    XCR0_AVX = 0x06,                             /* the system saves xmm and ymm */
    XCR0_AVX512 = 0xe6                           /* and the mask and zmm registers */
};

/* A kernel may run if the processor has the instructions and the system saves the registers. */
static int detect(void) {
    unsigned basic[4], extended[4];
    cpuid(0, basic);
    if (basic[0] < 7) return WS_CPU_SSE2;
    cpuid(1, basic);
    if (!(basic[2] & OSXSAVE)) return WS_CPU_SSE2;
    cpuid(7, extended);
    const uint64_t saved = xgetbv();
    if (!(extended[1] & AVX2) || (saved & XCR0_AVX) != XCR0_AVX) return WS_CPU_SSE2;
    if ((extended[1] & AVX512F_BW) != AVX512F_BW) return WS_CPU_AVX2;
    return (saved & XCR0_AVX512) == XCR0_AVX512 ? WS_CPU_AVX512 : WS_CPU_AVX2;
}
#elif defined(__aarch64__)
static int detect(void) {
    return WS_CPU_NEON; /* part of the base architecture */
}
#else
static int detect(void) {
    return WS_CPU_SERIAL;
}
#endif

int ws_cpu_best(void) {
    static int best = -1; /* racing threads would store the same value */
    if (best < 0) best = detect();
    return best;
}

int ws_cpu_has(int level) {
    const int best = ws_cpu_best();
    if (level < 0 || level >= LEVELS) return 0;
    if (best == WS_CPU_NEON) return level == WS_CPU_NEON || level == WS_CPU_SERIAL;
    return level <= best;
}

const char *ws_cpu_name(int level) {
    return level < 0 || level >= LEVELS ? NULL : NAMES[level];
}
