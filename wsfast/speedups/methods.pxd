# Whether methods and globals are still those that a fast path stands for.


# Methods of a class, checked once per state of the class.
cdef class Methods:
    cdef tuple _names              # of the methods: an instance must not have them itself
    cdef tuple _checked            # those, the fields, and what would change attribute access
    cdef tuple _expected           # what the class had under these names; one per name
    cdef Py_ssize_t _usual         # attributes of a fresh instance
    cdef unsigned int _version     # of the class that was found unchanged last; 0: none

    # Whether the class has them all unchanged.
    cdef bint kept(self, object owner) except -1

    # The slow half of `kept`.
    cdef bint _compare(self, object owner) except -1

    # The instance's own __dict__; None if its class, or itself, overrides a method.
    cdef dict attributes(self, object instance)


# Names of a module.
cdef class Globals:
    cdef dict _namespace           # the module's
    cdef tuple _names              # what is looked up in it
    cdef tuple _accepted           # what they hold, ours included, since it was last looked at
    cdef tuple _genuine            # the library's own, one per name

    # Whether all of them are unchanged, but for our own replacements.
    cdef bint kept(self) except -1

    # The slow half of `kept`: something was rebound, by us or by somebody else.
    cdef bint _compare(self) except -1
