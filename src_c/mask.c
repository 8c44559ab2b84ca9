/* Masking (RFC 6455 section 5.3): what wsfast.h promises, over the kernels of xor.h. */
#define XOR_LOOKS 0
#include "xor.h"

static ws_xor_kernel *kernel = xor_serial;

void ws_mask_use(int level) {
    kernel = xor_kernel(level);
}

void ws_mask(uint8_t *data, size_t size, uint32_t key) {
    kernel(data, data, size, key);
}

void ws_mask_copy(uint8_t *dst, const uint8_t *src, size_t size, uint32_t key) {
    kernel(dst, src, size, key);
}
