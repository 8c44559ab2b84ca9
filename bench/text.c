/* Timing loops for masked text that becomes a str, for bench/native.py. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <time.h>

#include "wsfast.h"

enum { KEY = 0x4a3b2c1d };

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static PyObject *straight(const uint8_t *src, size_t size) {
    PyObject *text = PyUnicode_New((Py_ssize_t)size, 127);
    if (text && ws_unmask_ascii(PyUnicode_DATA(text), src, size, KEY)) return text;
    Py_XDECREF(text);
    return NULL;
}

static PyObject *decoded(uint8_t *scratch, const uint8_t *src, size_t size) {
    ws_mask_copy(scratch, src, size, KEY);
    return PyUnicode_DecodeUTF8((const char *)scratch, (Py_ssize_t)size, "strict");
}

/* src is masked ASCII text; both ways must give the same str. */
int check_text(uint8_t *scratch, const uint8_t *src, size_t size) {
    PyObject *a = straight(src, size), *b = decoded(scratch, src, size);
    const int same = a && b && PyUnicode_Compare(a, b) == 0;
    Py_XDECREF(a);
    Py_XDECREF(b);
    return same;
}

double bench_straight(size_t n, uint8_t *scratch, const uint8_t *src, size_t size) {
    (void)scratch;
    const double start = seconds();
    for (size_t i = 0; i < n; i++) Py_XDECREF(straight(src, size));
    return seconds() - start;
}

double bench_decoded(size_t n, uint8_t *scratch, const uint8_t *src, size_t size) {
    const double start = seconds();
    for (size_t i = 0; i < n; i++) Py_XDECREF(decoded(scratch, src, size));
    return seconds() - start;
}
