# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
# (indices stay below the sizes of the tuples that they index; no free-threaded build caches)
"""What a fast path stands for, and whether it still does: methods of a class, names of a module.

A fast path does at once what the library does by calling its own methods one after another. A
subclass that overrides one of them, an application or a test that puts something else in its
place, must be heard. So before every call the fast path asks whether they all still are what
they were; if not, the library's own code runs and calls whatever is there.

That costs no lookup as long as nothing changes: CPython numbers the states of a class, for its
own method cache, and gives a class that is changed, or whose bases are, another number.
"""

cimport cython
from cpython.dict cimport PyDict_Contains, PyDict_GetItem, PyDict_Size
from cpython.ref cimport PyObject

import functools
import os
import types

__all__ = ["Globals", "Methods", "random_source", "stand_in"]


cdef extern from *:
    """
    /* 0: not numbered. A number belongs to one class in one state. */
    static inline unsigned int ws_type_version(PyObject *type)
    {
    #if defined(Py_GIL_DISABLED) || defined(PYPY_VERSION)
        (void)type;
        return 0;
    #else
    #if PY_VERSION_HEX < 0x030C0000
        if (!PyType_HasFeature((PyTypeObject *)type, Py_TPFLAGS_VALID_VERSION_TAG)) {
            return 0;
        }
    #endif
        return ((PyTypeObject *)type)->tp_version_tag;
    #endif
    }
    """
    unsigned int ws_type_version(object type)
    object PyObject_GenericGetDict(object instance, void *context)


cdef object _MISSING = object()

#: What would read or write attributes in a way of its own.
cdef tuple _ACCESS = ("__getattribute__", "__setattr__", "__delattr__")


cdef object found_in(object owner, str name):
    """The attribute as it stands in the class or the first base that has it."""
    for each in owner.__mro__:
        if name in each.__dict__:
            return genuine(each.__dict__[name])
    return _MISSING


cdef bint is_ours(object value) except -1:
    """Not so a tracer's wrapper around ours: it copies or forwards the marks, and wraps ours."""
    marked = getattr(value, "__wsfast__", None)
    return marked is not None and marked is getattr(value, "__wrapped__", None)


cdef object genuine(object value):
    """The library's own function, if the value is what we have put in its place."""
    if isinstance(value, (staticmethod, classmethod)):
        value = value.__func__
    while is_ours(value):
        value = value.__wrapped__
        if isinstance(value, (staticmethod, classmethod)):
            value = value.__func__
    return value


@cython.final
cdef class Methods:
    """Methods of a class that a fast path stands for.

    Args:
        owner: the class, unchanged but for our own replacements.
        names: of the methods that the original calls.
        fields: of the attributes that the fast path reads in an instance's own `__dict__`; a
            subclass that makes one of them a property, as an example, is not served.
        usual: how many attributes an instance has after its __init__.
    """

    def __cinit__(self, owner not None, tuple names not None, tuple fields, Py_ssize_t usual):
        self._names = names
        self._usual = usual
        self._checked = tuple(dict.fromkeys((*names, *fields, *_ACCESS)))
        self._expected = tuple([found_in(owner, name) for name in self._checked])

    cdef bint kept(self, object owner) except -1:
        cdef unsigned int version = ws_type_version(owner)
        return (version != 0 and version == self._version) or self._compare(owner)

    cdef bint _compare(self, object owner) except -1:
        cdef unsigned int version
        cdef Py_ssize_t i
        getattr(owner, "__wsfast__", None)  # has the class numbered, if it is not yet
        version = ws_type_version(owner)
        for i in range(len(self._checked)):
            if found_in(owner, <str>self._checked[i]) is not self._expected[i]:
                return False
        self._version = version
        return True

    cdef dict attributes(self, object instance):
        cdef dict own
        if not self.kept(type(instance)):
            return None
        own = <dict>PyObject_GenericGetDict(instance, NULL)
        if PyDict_Size(own) != self._usual:
            for name in self._names:
                if PyDict_Contains(own, name):
                    return None
        return own

    def serves(self, instance):
        """Whether no method of the instance is overridden, by its class or in the instance."""
        return self.attributes(instance) is not None


@cython.final
cdef class Globals:
    """Names of a module that a fast path stands for.

    Args:
        module: whose globals they are.
        names: of functions, classes or anything else; rebinding one of them is noticed.
    """

    def __cinit__(self, module, *names):
        self._namespace = module.__dict__
        self._names = names
        self._accepted = tuple([self._namespace[name] for name in names])
        self._genuine = tuple([genuine(value) for value in self._accepted])

    cdef bint kept(self) except -1:
        cdef tuple accepted = self._accepted
        cdef Py_ssize_t i
        for i in range(len(self._names)):
            if PyDict_GetItem(self._namespace, self._names[i]) != <PyObject *>accepted[i]:
                return self._compare()
        return True

    cdef bint _compare(self) except -1:
        cdef tuple current = tuple([self._namespace.get(name, _MISSING) for name in self._names])
        cdef Py_ssize_t i
        for i in range(len(self._names)):
            if genuine(current[i]) is not self._genuine[i]:
                return False
        self._accepted = current
        return True

    def unchanged(self):
        """Whether every name still holds what it held, or what we have put in its place."""
        return self.kept()


def stand_in(replacement, original):
    """Give a replacement the name, docstring and signature of what it stands for.

    Args:
        replacement: a function.
        original: a function.

    Returns:
        The replacement. Its `__wrapped__` and its `__wsfast__` are the original.
    """
    functools.update_wrapper(replacement, original)
    replacement.__wsfast__ = original
    return replacement


def random_source():
    """`os.urandom`, which a fast path may pool as long as it is that.

    Raises:
        RuntimeError: somebody has put something else in its place.
    """
    if not isinstance(os.urandom, types.BuiltinFunctionType):
        raise RuntimeError("os.urandom is replaced")
    return os.urandom
