# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
# (the caller keeps count and sizes within their limits; one thread owns a batch)
"""Messages of several sockets that leave with one system call, by io_uring (Linux 6.6).

A load generator spends nine tenths of its time in the kernel, and most of that in send(). The
sends of a batch share one way into the kernel and back, find each other's instructions in the
cache, and name their sockets by a number in a table of the ring, which saves looking the file up.

Nothing is asynchronous: with MSG_DONTWAIT each send is tried once while it is submitted, and its
result is there when the system call returns. So the bytes need to last no longer than that, and
whatever the kernel does not take is the caller's to queue, as after send().

The table holds the files open: a socket that is closed is closed for its peer only when its number
was given to another one, or to none.
"""

from cpython.exc cimport PyErr_SetFromErrno
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

__all__ = ["SendBatch"]

cdef extern from *:
    """
    #include <errno.h>
    #include <stdint.h>
    #include <stdlib.h>
    #include <string.h>
    #include <sys/socket.h>
    #if defined(__linux__) && defined(__has_include)
    #if __has_include(<linux/io_uring.h>)
    #include <linux/io_uring.h>
    #include <sys/mman.h>
    #include <sys/syscall.h>
    #include <unistd.h>
    #endif
    #endif
    #ifdef IORING_SETUP_DEFER_TASKRUN
    #ifndef IORING_SETUP_NO_SQARRAY  /* Linux 6.6; from 6.4 on a file leaves the table at once */
    #define IORING_SETUP_NO_SQARRAY (1U << 16)
    #endif

    typedef struct {
        int fd;
        unsigned *sq_head, *sq_tail, *cq_head, *cq_tail;
        unsigned sq_mask, cq_mask, tail;
        void *rings;
        size_t rings_size, sqes_size;
        struct io_uring_sqe *sqes;
        struct io_uring_cqe *cqes;
    } ws_ring;

    static void ws_ring_close(ws_ring *ring) {
        if (ring == NULL) return;
        if (ring->rings != NULL) munmap(ring->rings, ring->rings_size);
        if (ring->sqes != NULL) munmap(ring->sqes, ring->sqes_size);
        if (ring->fd >= 0) close(ring->fd);
        free(ring);
    }

    static void *ws_ring_map(int fd, size_t size, off_t what) {
        int protection = PROT_READ | PROT_WRITE;
        void *mapped = mmap(NULL, size, protection, MAP_SHARED | MAP_POPULATE, fd, what);
        return mapped == MAP_FAILED ? NULL : mapped;
    }

    /* A ring for so many messages at a time and so many sockets; NULL: errno says why not. */
    static ws_ring *ws_ring_open(unsigned messages, unsigned sockets) {
        struct io_uring_params params = {0};
        int *none = malloc(sockets * sizeof *none), error = 0;
        ws_ring *ring = calloc(1, sizeof *ring);
        if (ring == NULL || none == NULL) {
            free(ring);
            free(none);
            errno = ENOMEM;
            return NULL;
        }
        params.flags =
            IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_NO_SQARRAY;
        ring->fd = (int)syscall(__NR_io_uring_setup, messages, &params);
        if (ring->fd < 0) error = errno;
        if (!error) {
            ring->rings_size =
                params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe);
            ring->sqes_size = params.sq_entries * sizeof(struct io_uring_sqe);
            ring->rings = ws_ring_map(ring->fd, ring->rings_size, IORING_OFF_SQ_RING);
            ring->sqes = ws_ring_map(ring->fd, ring->sqes_size, IORING_OFF_SQES);
            if (ring->rings == NULL || ring->sqes == NULL) error = errno;
        }
        memset(none, -1, sockets * sizeof *none);
        if (!error && syscall(__NR_io_uring_register, ring->fd, IORING_REGISTER_FILES, none,
                              sockets) < 0) {
            error = errno;
        }
        free(none);
        if (error) {
            ws_ring_close(ring);
            errno = error;
            return NULL;
        }
        char *base = ring->rings;
        ring->sq_head = (unsigned *)(base + params.sq_off.head);
        ring->sq_tail = (unsigned *)(base + params.sq_off.tail);
        ring->cq_head = (unsigned *)(base + params.cq_off.head);
        ring->cq_tail = (unsigned *)(base + params.cq_off.tail);
        ring->cqes = (struct io_uring_cqe *)(base + params.cq_off.cqes);
        ring->sq_mask = params.sq_entries - 1;
        ring->cq_mask = params.cq_entries - 1;
        return ring;
    }

    static int ws_ring_assign(ws_ring *ring, unsigned number, int fd) {
        struct io_uring_files_update update = {0};
        update.offset = number;
        update.fds = (uint64_t)(uintptr_t)&fd;
        return syscall(__NR_io_uring_register, ring->fd, IORING_REGISTER_FILES_UPDATE, &update, 1)
               == 1 ? 0 : -1;
    }

    static void ws_ring_add(ws_ring *ring, unsigned number, const void *data, unsigned size,
                            unsigned which) {
        struct io_uring_sqe *entry = &ring->sqes[ring->tail++ & ring->sq_mask];
        memset(entry, 0, sizeof *entry);
        entry->opcode = IORING_OP_SEND;
        entry->flags = IOSQE_FIXED_FILE;
        entry->fd = (int)number;
        entry->addr = (uint64_t)(uintptr_t)data;
        entry->len = size;
        entry->msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL;
        entry->user_data = which;
    }

    /* Sends what was added; each result as of send(), or -errno. */
    static void ws_ring_send(ws_ring *ring, unsigned count, int *results) {
        unsigned head = *ring->cq_head;
        long taken, done = 0;
        __atomic_store_n(ring->sq_tail, ring->tail, __ATOMIC_RELEASE);
        taken = syscall(__NR_io_uring_enter, ring->fd, count, 0, 0, NULL, 0);
        if (taken < (long)count) {  /* those behind were not tried, and are taken back */
            ring->tail = __atomic_load_n(ring->sq_head, __ATOMIC_ACQUIRE);
            __atomic_store_n(ring->sq_tail, ring->tail, __ATOMIC_RELEASE);
        }
        for (unsigned i = 0; i < count; i++) {
            results[i] = (long)i < taken ? -EIO : -EAGAIN;
        }
        while (done < taken) {
            if (head != __atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE)) {
                struct io_uring_cqe *entry = &ring->cqes[head++ & ring->cq_mask];
                results[entry->user_data] = entry->res;
                done++;
            } else if (syscall(__NR_io_uring_enter, ring->fd, 0, 1, IORING_ENTER_GETEVENTS, NULL,
                               0) < 0 && errno != EINTR) {
                break;
            }
        }
        __atomic_store_n(ring->cq_head, head, __ATOMIC_RELEASE);
    }

    #else  /* what lets the same source compile: opening says that there is none */
    typedef struct { int fd; } ws_ring;
    static ws_ring *ws_ring_open(unsigned messages, unsigned sockets) {
        (void)messages, (void)sockets;
        errno = ENOSYS;
        return NULL;
    }
    #define ws_ring_close(ring) ((void)(ring))
    #define ws_ring_assign(ring, number, fd) ((void)(ring), -1)
    #define ws_ring_add(ring, number, data, size, which) ((void)(ring))
    #define ws_ring_send(ring, count, results) ((void)(ring))
    #endif
    """
    ctypedef struct Ring "ws_ring":
        pass
    Ring *ws_ring_open(unsigned int messages, unsigned int sockets)
    void ws_ring_close(Ring *ring) noexcept
    int ws_ring_assign(Ring *ring, unsigned int number, int fd)
    void ws_ring_add(
        Ring *ring, unsigned int number, const void *data, unsigned int size, unsigned int which
    ) noexcept
    void ws_ring_send(Ring *ring, unsigned int count, int *results) noexcept


cdef class SendBatch:
    """A batch of messages, and the table of the sockets that they are for.

    Args:
        sockets: how many the table has room for, 1 to the limit of descriptors.

    Raises:
        OSError: the system has no io_uring that can do this (older than Linux 6.6), forbids it,
            as containers often do, or has no descriptor left.
        ValueError: there is no room for a socket.
    """

    def __cinit__(self, sockets):
        if sockets < 1:
            raise ValueError(f"{sockets} sockets are not 1 or more")
        self.data = <uint8_t *>malloc(BATCH_MESSAGES * MESSAGE_BYTES)
        if self.data == NULL:
            raise MemoryError(f"no memory for {BATCH_MESSAGES * MESSAGE_BYTES} bytes of messages")
        self.ring = ws_ring_open(BATCH_MESSAGES, sockets)
        if self.ring == NULL:
            PyErr_SetFromErrno(OSError)

    def __dealloc__(self):
        ws_ring_close(<Ring *>self.ring)
        free(self.data)

    cdef int assign(self, uint32_t number, int fd) except -1:
        if ws_ring_assign(<Ring *>self.ring, number, fd) < 0:
            PyErr_SetFromErrno(OSError)
        return 0

    cdef void add(self, uint32_t number, const uint8_t *message, size_t size) noexcept:
        cdef uint32_t begin = self.begins[self.count]
        memcpy(self.data + begin, message, size)
        ws_ring_add(
            <Ring *>self.ring, number, self.data + begin, <unsigned int>size, self.count
        )
        self.count += 1
        self.begins[self.count] = begin + <uint32_t>size

    cdef void submit(self) noexcept:
        ws_ring_send(<Ring *>self.ring, self.count, self.results)

    cdef void clear(self) noexcept:
        self.count = 0

    def hold(self, number, fd):
        """Give a number to a socket; for tests and tools, as `send`.

        Args:
            number: 0 to `sockets` - 1.
            fd: its descriptor; -1 takes the number back, and lets go of the file.

        Raises:
            OSError: there is no such number, or no such descriptor.
        """
        self.assign(number, fd)

    def send(self, messages):
        """Send to several sockets at once.

        Args:
            messages: pairs of a number and its bytes.

        Returns:
            For each how many bytes the kernel took, or minus an errno.

        Raises:
            ValueError: they are more than a batch holds, one is too long for it, or a number is
                negative.
        """
        cdef bytes message
        if len(messages) > BATCH_MESSAGES:
            raise ValueError(f"{len(messages)} messages are more than {BATCH_MESSAGES}")
        for number, message in messages:
            if not 0 <= number < 1 << 31:
                raise ValueError(f"the number {number} is not 0 to {(1 << 31) - 1}")
            if len(message) > MESSAGE_BYTES:
                raise ValueError(f"a message of {len(message)} bytes exceeds {MESSAGE_BYTES}")
        for number, message in messages:
            self.add(number, message, <size_t>len(message))
        self.submit()
        results = [self.results[i] for i in range(self.count)]
        self.clear()
        return results
