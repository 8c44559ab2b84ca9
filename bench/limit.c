/* The limit of the side-by-side runs: an epoll echo server that leaves out all it can.
 *
 *     gcc -O3 -o limit bench/limit.c && ./limit [PORT]
 *
 * One thread, level-triggered epoll; per readiness one recv, one walk over the frames that unmasks
 * them into the output, one send. An incomplete frame is kept for the next recv; what send does
 * not take waits for EPOLLOUT, and nothing is read meanwhile. Frames come back as they came,
 * fragments too; Ping becomes Pong, Close is answered and ends the connection. Not checked: UTF-8,
 * reserved bits and opcodes, the order of fragments. That is for real servers, and the distance
 * to it is what they pay.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RECEIVE = 256 * 1024, MAX_FRAME = 1024 * 1024, EVENTS = 512, PING = 9, CLOSE = 8 };

struct bytes {
    uint8_t *data;
    size_t size, capacity;
};

struct connection {
    int fd;
    int opened;          /* the handshake is over */
    int closing;         /* ends when the queue is sent */
    struct bytes tail;   /* received, incomplete */
    struct bytes queue;  /* not taken by send */
};

static int poller;
static uint8_t incoming[MAX_FRAME + RECEIVE + 16];
static uint8_t outgoing[MAX_FRAME + RECEIVE + 16];

static void fail(const char *what) {
    perror(what);
    exit(1);
}

/* Copies; the memory stays for the next time. `data` may lie within it. */
static void keep(struct bytes *bytes, const uint8_t *data, size_t size) {
    if (size > bytes->capacity) {
        uint8_t *larger = malloc(size);
        if (larger == NULL) fail("malloc");
        free(bytes->data);
        bytes->data = larger;
        bytes->capacity = size;
    }
    if (size) memmove(bytes->data, data, size);
    bytes->size = size;
}

static void end(struct connection *c) {
    close(c->fd);
    free(c->tail.data);
    free(c->queue.data);
    free(c);
}

/* SHA-1 of a message shorter than 120 bytes (FIPS 180-4). */

static uint32_t rotate(uint32_t x, int n) { return x << n | x >> (32 - n); }

static void sha1_block(uint32_t h[5], const uint8_t *block) {
    static const uint32_t k[4] = {0x5A827999, 0x6ED9EBA1, 0x8F1BBCDC, 0xCA62C1D6};
    uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
    for (int i = 0; i < 16; i++) {
        memcpy(&w[i], block + 4 * i, 4);
        w[i] = ntohl(w[i]);
    }
    for (int i = 16; i < 80; i++) w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    for (int i = 0; i < 80; i++) {
        uint32_t choose = (b & c) | (~b & d), parity = b ^ c ^ d;
        uint32_t majority = (b & c) | (b & d) | (c & d);
        uint32_t f = i < 20 ? choose : i >= 40 && i < 60 ? majority : parity;
        uint32_t next = rotate(a, 5) + f + e + k[i / 20] + w[i];
        e = d, d = c, c = rotate(b, 30), b = a, a = next;
    }
    h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
}

static void sha1(const char *text, size_t size, uint8_t digest[20]) {
    uint32_t h[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
    uint8_t padded[128] = {0};
    size_t total = size < 56 ? 64 : 128;
    memcpy(padded, text, size);
    padded[size] = 0x80;
    padded[total - 2] = (uint8_t)(size * 8 >> 8);
    padded[total - 1] = (uint8_t)(size * 8);
    for (size_t at = 0; at < total; at += 64) sha1_block(h, padded + at);
    for (int i = 0; i < 5; i++) {
        h[i] = htonl(h[i]);
        memcpy(digest + 4 * i, &h[i], 4);
    }
}

/* The opening handshake (RFC 6455 section 4.2). */

static void base64_digest(const uint8_t digest[20], char text[29]) {
    static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t in[21] = {0};
    memcpy(in, digest, 20);
    for (int i = 0; i < 7; i++) {
        uint32_t three = (uint32_t)in[3 * i] << 16 | (uint32_t)in[3 * i + 1] << 8 | in[3 * i + 2];
        for (int j = 0; j < 4; j++) text[4 * i + j] = set[three >> (18 - 6 * j) & 63];
    }
    text[27] = '=';
    text[28] = '\0';
}

/* Writes the 101 to `response`; returns the size of the request, 0 if it is incomplete, -1. */
static long shake(const char *request, char response[200]) {
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    const char *rest = strstr(request, "\r\n\r\n");
    if (rest == NULL) return strlen(request) < 8192 ? 0 : -1;
    const char *key = strcasestr(request, "\r\nSec-WebSocket-Key:");
    if (key == NULL || key > rest) return -1;
    key += strlen("\r\nSec-WebSocket-Key:");
    key += strspn(key, " \t");
    if (strcspn(key, " \t\r") != 24) return -1;
    char joined[24 + sizeof guid], accept[29];
    uint8_t digest[20];
    memcpy(joined, key, 24);
    memcpy(joined + 24, guid, sizeof guid);
    sha1(joined, sizeof joined - 1, digest);
    base64_digest(digest, accept);
    snprintf(response, 200,
             "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Accept: %s\r\n\r\n", accept);
    return rest + 4 - request;
}

/* Frames (RFC 6455 section 5.2). */

/* Eight bytes at a time: gcc -O3 makes vectors of it. The key has been repeated to eight bytes. */
static void unmask(uint8_t *restrict out, const uint8_t *restrict in, size_t size, uint64_t key) {
    size_t at = 0;
    for (; at + 8 <= size; at += 8) {
        uint64_t word;
        memcpy(&word, in + at, 8);
        word ^= key;
        memcpy(out + at, &word, 8);
    }
    for (; at < size; at++, key >>= 8) out[at] = in[at] ^ (uint8_t)key;
}

static size_t write_header(uint8_t *out, uint8_t first, uint64_t size) {
    out[0] = (first & 15) == PING ? first + 1 : first;
    if (size < 126) return out[1] = (uint8_t)size, 2;
    out[1] = size < 65536 ? 126 : 127;
    int width = size < 65536 ? 2 : 8;
    for (int i = 0; i < width; i++) out[2 + i] = (uint8_t)(size >> 8 * (width - 1 - i));
    return 2 + (size_t)width;
}

/* Echoes the frames of in[0..size) to *out; returns how many bytes of them were complete. */
static size_t walk(struct connection *c, const uint8_t *in, size_t size, uint8_t **out) {
    size_t at = 0;
    while (size - at >= 6 && !c->closing) {
        uint64_t payload = in[at + 1] & 127;
        size_t width = payload < 126 ? 0 : payload == 126 ? 2 : 8;
        if (size - at < 6 + width) break;
        if (width) payload = 0;
        for (size_t i = 0; i < width; i++) payload = payload << 8 | in[at + 2 + i];
        if (!(in[at + 1] & 128) || payload > MAX_FRAME - 14) {
            c->closing = 1;
            break;
        }
        if (size - at < 6 + width + payload) break;
        uint32_t key;
        memcpy(&key, in + at + 2 + width, 4);
        *out += write_header(*out, in[at], payload);
        unmask(*out, in + at + 6 + width, payload, (uint64_t)key << 32 | key);
        *out += payload;
        c->closing = (in[at] & 15) == CLOSE;
        at += 6 + width + payload;
    }
    return at;
}

/* The loop. */

static void watch(struct connection *c, int operation, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = c};
    if (epoll_ctl(poller, operation, c->fd, &event) < 0) fail("epoll_ctl");
}

/* Sends; what is left is queued. Returns -1 if the connection is at its end. */
static int transmit(struct connection *c, const uint8_t *data, size_t size) {
    ssize_t sent = size ? send(c->fd, data, size, MSG_NOSIGNAL) : 0;
    if (sent < 0 && errno != EAGAIN) return -1;
    size_t taken = sent < 0 ? 0 : (size_t)sent;
    size_t queued = c->queue.size;
    keep(&c->queue, data + taken, size - taken);
    if (!queued != !c->queue.size) watch(c, EPOLL_CTL_MOD, queued ? EPOLLIN : EPOLLOUT);
    return c->closing && !c->queue.size ? -1 : 0;
}

static int on_readable(struct connection *c) {
    size_t size = c->tail.size, done = 0;
    if (size) memcpy(incoming, c->tail.data, size);
    ssize_t got = recv(c->fd, incoming + size, RECEIVE, 0);
    if (got <= 0) return got < 0 && errno == EAGAIN ? 0 : -1;
    size += (size_t)got;
    uint8_t *out = outgoing;
    if (!c->opened) {
        incoming[size] = '\0';
        long head = shake((char *)incoming, (char *)outgoing);
        if (head < 0) return -1;
        done = (size_t)head;
        c->opened = head > 0;
        out += c->opened ? strlen((char *)outgoing) : 0;
    }
    if (c->opened) done += walk(c, incoming + done, size - done, &out);
    keep(&c->tail, incoming + done, size - done);
    return transmit(c, outgoing, (size_t)(out - outgoing));
}

static int on_ready(struct connection *c) {
    return c->queue.size ? transmit(c, c->queue.data, c->queue.size) : on_readable(c);
}

static void on_connection(int listener) {
    int fd, on = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct connection *c = calloc(1, sizeof *c);
        if (c == NULL) fail("calloc");
        c->fd = fd;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        watch(c, EPOLL_CTL_ADD, EPOLLIN);
    }
}

static int listen_on(uint16_t port) {
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    socklen_t size = sizeof at;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(fd, 4096) < 0) fail("listen");
    getsockname(fd, (struct sockaddr *)&at, &size);
    printf("listening on ws://127.0.0.1:%d/\n", ntohs(at.sin_port));
    fflush(stdout);
    return fd;
}

int main(int argc, char **argv) {
    struct epoll_event events[EVENTS];
    int listener = listen_on((uint16_t)(argc > 1 ? atoi(argv[1]) : 0));
    if ((poller = epoll_create1(EPOLL_CLOEXEC)) < 0) fail("epoll_create1");
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event) < 0) fail("epoll_ctl");
    for (;;) {
        int ready = epoll_wait(poller, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            struct connection *c = events[i].data.ptr;
            if (c == NULL) on_connection(listener);
            else if (on_ready(c) < 0) end(c);
        }
    }
}
