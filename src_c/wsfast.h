/* The kernels of wsfast: pointers and lengths, nothing else.
 *
 * Contracts, for every function below:
 *  - no byte outside [data, data + size) is read or written; size may be 0, data then NULL;
 *  - no alignment is asked for;
 *  - `key` holds the four bytes of the masking key in wire order, as memcpy from the frame leaves
 *    them; the first byte of the data meets the first byte of the key (ws_rotate_key for others);
 *  - nothing allocates, blocks, or fails for any reason but the ones stated.
 */
#ifndef WSFAST_H
#define WSFAST_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* --- choosing a kernel ---------------------------------------------------------------------- */

/* Levels in rising order. A level means: the best kernel that needs no more than this. */
enum ws_cpu { WS_CPU_SERIAL, WS_CPU_SSE2, WS_CPU_AVX2, WS_CPU_AVX512, WS_CPU_NEON };

int ws_cpu_has(int level);            /* 1 if this machine runs kernels of that level */
int ws_cpu_best(void);                /* the highest level that this machine runs */
const char *ws_cpu_name(int level);   /* "serial", "sse2" ...; NULL if there is no such level */
void ws_mask_use(int level);          /* fill mask.c's table; ws_cpu_has(level) must hold */
void ws_utf8_use(int level);          /* the same for utf8.c */

/* --- masking, RFC 6455 section 5.3 ---------------------------------------------------------- */

/* The key for data that starts `offset` bytes into the payload. */
static inline uint32_t ws_rotate_key(uint32_t key, size_t offset) {
    const uint64_t twice = (uint64_t)key << 32 | key;
    const unsigned bits = 8 * (unsigned)(offset & 3);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return (uint32_t)(twice << bits >> 32);
#else
    return (uint32_t)(twice >> bits);
#endif
}

/* XOR data with the key, in place. */
void ws_mask(uint8_t *data, size_t size, uint32_t key);

/* XOR src with the key into dst. dst == src is allowed; so is dst < src with any overlap
 * (moving down); no other overlap is. */
void ws_mask_copy(uint8_t *dst, const uint8_t *src, size_t size, uint32_t key);

/* --- UTF-8, Unicode 3.9 table 3-7, RFC 3629 ------------------------------------------------- */

/* A validator between two calls; all zero is the start. `pending` > 0 says that the text so far
 * ends inside a sequence; tail holds the bytes of that sequence. */
typedef struct {
    uint8_t tail[3];
    uint8_t pending;
} ws_utf8_state;

/* size if data is valid and complete, else the offset of the first byte that cannot continue a
 * valid text (size too, with *complete = 0, if data ends inside a sequence). */
size_t ws_utf8_validate(const uint8_t *data, size_t size, int *complete);

/* Continue with data: size if all of it can be continued to a valid text, else the offset in
 * data of the first byte that cannot. After a failure the state is unspecified. */
size_t ws_utf8_feed(ws_utf8_state *state, const uint8_t *data, size_t size);

/* Unmask src into dst (dst == src allowed, otherwise no overlap). 1 if every unmasked byte is
 * ASCII; else 0, and what dst holds is unspecified. key 0 copies. */
int ws_unmask_ascii(uint8_t *dst, const uint8_t *src, size_t size, uint32_t key);

/* Unmask src into dst (dst == src allowed, otherwise no overlap) and feed the result: returns as
 * ws_utf8_feed. All of dst is written, also on failure. */
size_t ws_unmask_utf8(ws_utf8_state *state, uint8_t *dst, const uint8_t *src, size_t size,
                      uint32_t key);

#endif
