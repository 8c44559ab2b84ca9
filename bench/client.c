/* The limit of load generators: a closed loop of echoes that leaves out all it can.
 *
 *     gcc -O3 -o client bench/client.c && ./client PORT CONNECTIONS SECONDS
 *
 * One thread, level-triggered epoll; per readiness one recv and one send of a frame that was built
 * before the run, always the same with the same mask. Bytes are counted, and nothing else: no
 * latency, no check of what comes back, no sequence numbers. Prints the number of messages, the
 * CPU time of the process in seconds, and the seconds of the run, from the first message on.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PAYLOAD = 20, ANSWER = PAYLOAD + 2, FRAME = PAYLOAD + 6, EVENTS = 512 };

static const char request[] =
    "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
static uint8_t frame[FRAME];
static char incoming[1 << 16];

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static double seconds_of(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Connects, and reads the 101 byte by byte, so that nothing behind it is lost. */
static int open_connection(uint16_t port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    size_t got = 0;
    int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address)) fail("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (send(fd, request, sizeof request - 1, 0) < 0) fail("send");
    while (got < 4 || memcmp(incoming + got - 4, "\r\n\r\n", 4)) {
        if (got == sizeof incoming || recv(fd, incoming + got, 1, 0) != 1) fail("handshake");
        got++;
    }
    return fd;
}

int main(int count, char **words) {
    if (count != 4) {
        fprintf(stderr, "usage: client PORT CONNECTIONS SECONDS\n");
        return 2;
    }
    int poller = epoll_create1(0), connections = atoi(words[2]);
    struct epoll_event event, events[EVENTS];
    uint64_t bytes = 0;
    int *fds = calloc((size_t)connections, sizeof *fds);
    if (fds == NULL) fail("calloc");
    for (int i = 0; i < connections; i++) fds[i] = open_connection((uint16_t)atoi(words[1]));
    frame[0] = 0x82;
    frame[1] = 0x80 | PAYLOAD;
    for (int i = 2; i < FRAME; i++) frame[i] = (uint8_t)(i * 37);
    double begun = seconds_of(CLOCK_MONOTONIC), end = begun + atof(words[3]);
    double cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    for (int i = 0; i < connections; i++) {
        event.events = EPOLLIN;
        event.data.fd = fds[i];
        if (epoll_ctl(poller, EPOLL_CTL_ADD, fds[i], &event)) fail("epoll_ctl");
        if (send(fds[i], frame, FRAME, 0) != FRAME) fail("send");
    }
    while (seconds_of(CLOCK_MONOTONIC) < end) {
        int ready = epoll_wait(poller, events, EVENTS, 100);
        for (int i = 0; i < ready; i++) {
            ssize_t size = recv(events[i].data.fd, incoming, sizeof incoming, MSG_DONTWAIT);
            if (size <= 0) fail("recv");
            bytes += (uint64_t)size;
            if (send(events[i].data.fd, frame, FRAME, 0) != FRAME) fail("send");
        }
    }
    printf("%llu %.6f %.6f\n", (unsigned long long)(bytes / ANSWER),
           seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu, seconds_of(CLOCK_MONOTONIC) - begun);
    return 0;
}
