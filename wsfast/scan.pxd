"""All frames of a buffer at once: nothing to cimport; from C, walk with wsfast.frame."""
