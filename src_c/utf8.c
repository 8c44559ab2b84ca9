/* UTF-8: validation that can stop and go on at any byte, alone and joined with unmasking.
 *
 * What is valid is decided here, a byte at a time; certain.h skips what needs no such look.
 */
#include "certain.h"

enum { BLOCK = 4096 }; /* unmasked text is validated while it is in the first cache */

/* --- serial: the specification -------------------------------------------------------------- */

static size_t feed_serial(ws_utf8_state *state, const uint8_t *data, size_t size) {
    uint8_t lead = state->tail[0];
    unsigned at = state->pending, need = at ? sequence_size(lead) : 0;
    for (size_t i = 0; i < size; i++) {
        if (at == 0) {
            lead = data[i];
            need = sequence_size(lead);
            if (need == 0) return i;
        } else if (!continues(lead, at, data[i])) {
            return i;
        }
        if (at + 1 == need) {
            at = 0;
        } else {
            state->tail[at++] = data[i];
        }
    }
    state->pending = (uint8_t)at;
    return size;
}

/* --- dispatch ------------------------------------------------------------------------------- */

static struct {
    ws_certain_kernel *certain;
    size_t carry_size; /* from this size on the kernel wants the bytes before, not a boundary */
    ws_xor_kernel *unmask;
} kernel = {certain_serial, SIZE_MAX, xor_serial};

void ws_utf8_use(int level) {
    kernel.unmask = xor_kernel(level);
    kernel.certain = certain_kernel(level);
    kernel.carry_size = certain_carries(level) ? CARRY_SIZE : SIZE_MAX;
}

static inline uint32_t load_3(const uint8_t *data) {
    return (uint32_t)data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16;
}

/* --- what wsfast.h promises ----------------------------------------------------------------- */

size_t ws_utf8_validate(const uint8_t *data, size_t size, int *complete) {
    ws_utf8_state state = {{0, 0, 0}, 0};
    size_t valid = kernel.certain(data, size, 0);
    if (valid < size) valid += feed_serial(&state, data + valid, size - valid);
    *complete = valid == size && state.pending == 0;
    return valid;
}

/* Fewer bytes than the kernel needs to be given the ones before. */
static size_t feed_short(ws_utf8_state *state, const uint8_t *data, size_t size) {
    size_t done = 0;
    if (state->pending) { /* to a boundary */
        const size_t missing = sequence_size(state->tail[0]) - (size_t)state->pending;
        const size_t part = missing < size ? missing : size;
        done = feed_serial(state, data, part);
        if (done < part || done == size) return done;
    }
    done += kernel.certain(data + done, size - done, 0);
    return done == size ? done : done + feed_serial(state, data + done, size - done);
}

/* Where texts are cut is not to be predicted: without an error there are no branches here. */
size_t ws_utf8_feed(ws_utf8_state *state, const uint8_t *data, size_t size) {
    if (size < kernel.carry_size) return feed_short(state, data, size);
    const uint32_t tail = load_3(state->tail);
    const size_t certain =
        kernel.certain(data, size, (uint32_t)((uint64_t)tail << (32 - 8 * state->pending)));
    const size_t left = size - certain;
    if (certain == 0 || left > 3) { /* an error, or too little room for the kernel to say no */
        if (certain) state->pending = 0;
        return certain + feed_serial(state, data + certain, left);
    }
    const uint32_t open = load_3(data + size - 3) >> (24 - 8 * left);
    for (size_t i = 0; i < 3; i++) state->tail[i] = (uint8_t)(open >> 8 * i);
    state->pending = (uint8_t)left;
    return left && !sequence_size(state->tail[0]) ? certain : size; /* C0, C1, F5 to FF */
}

int ws_unmask_ascii(uint8_t *dst, const uint8_t *src, size_t size, uint32_t key) {
    for (; size > BLOCK; dst += BLOCK, src += BLOCK, size -= BLOCK) {
        if (!kernel.unmask(dst, src, BLOCK, key)) return 0;
    }
    return kernel.unmask(dst, src, size, key);
}

size_t ws_unmask_utf8(ws_utf8_state *state, uint8_t *dst, const uint8_t *src, size_t size,
                      uint32_t key) {
    size_t valid = 0; /* as long as it equals the offset, no byte was refused */
    for (size_t i = 0; i < size; i += BLOCK) {
        const size_t part = size - i < BLOCK ? size - i : BLOCK;
        const int ascii = kernel.unmask(dst + i, src + i, part, key);
        if (valid < i) continue;
        valid += ascii && !state->pending ? part : ws_utf8_feed(state, dst + i, part);
    }
    return valid;
}
