"""What a fast path stands for: overriding, patching and undoing it are all noticed."""

from __future__ import annotations

import functools
import os
import types
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest

from wsfast.speedups.methods import Globals, Methods, random_source, stand_in


class Base:
    """A base class of the library."""

    def inherited(self) -> str:
        return "base"


class Owner(Base):
    """A class of the library."""

    def __init__(self) -> None:
        self.field = 1

    def first(self) -> str:
        """Says first."""
        return "first"

    @staticmethod
    def second() -> str:
        return "second"


NAMES = ("first", "second", "inherited")


@pytest.fixture
def methods() -> Methods:
    return Methods(Owner, NAMES, ("field",), 1)


def ours(original: Callable[..., Any]) -> Callable[..., Any]:
    return stand_in(lambda *arguments: original(*arguments), original)


# --- classes -----------------------------------------------------------------------------------


def test_an_untouched_instance_is_served(methods: Methods) -> None:
    for _ in range(3):
        assert methods.serves(Owner())


def test_a_subclass_that_overrides_nothing_is_served(methods: Methods) -> None:
    class Sub(Owner):
        def another(self) -> None:
            """Of no concern."""

    assert methods.serves(Sub())
    assert methods.serves(Owner())


@pytest.mark.parametrize("name", NAMES)
def test_a_subclass_that_overrides_is_not(methods: Methods, name: str) -> None:
    sub = type("Sub", (Owner,), {name: lambda self: None})
    assert not methods.serves(sub())
    assert not methods.serves(type("SubSub", (sub,), {})())
    assert methods.serves(Owner())


@pytest.mark.parametrize("name", ["__getattribute__", "__setattr__", "__delattr__"])
def test_attribute_access_of_its_own_is_not(methods: Methods, name: str) -> None:
    sub = type("Sub", (Owner,), {name: lambda *arguments: getattr(object, name)(*arguments)})
    assert not methods.serves(sub())


def test_a_field_that_became_a_property_is_not(methods: Methods) -> None:
    sub = type("Sub", (Owner,), {"field": property(lambda self: 2, lambda self, value: None)})
    assert not methods.serves(sub())


@pytest.mark.parametrize("name", NAMES)
def test_an_instance_that_overrides_is_not(methods: Methods, name: str) -> None:
    instance: Any = Owner()
    setattr(instance, name, lambda: None)
    assert not methods.serves(instance)
    delattr(instance, name)
    assert methods.serves(instance)


def test_more_attributes_are_no_harm(methods: Methods) -> None:
    instance: Any = Owner()
    instance.mine, instance.also_mine = 1, 2
    assert methods.serves(instance)


@pytest.mark.parametrize("name", NAMES)
def test_patching_the_class_is_noticed_and_undoing_it_too(methods: Methods, name: str) -> None:
    instance = Owner()
    for _ in range(3):
        assert methods.serves(instance)
        owner = Base if name == "inherited" else Owner
        with mock.patch.object(owner, name, mock.Mock()):
            assert not methods.serves(instance)
        assert methods.serves(instance)


def test_a_method_that_is_gone_is_noticed(methods: Methods) -> None:
    original = Owner.first
    del Owner.first
    try:
        assert not methods.serves(Owner())
    finally:
        Owner.first = original  # type: ignore[method-assign]
    assert methods.serves(Owner())


def test_classes_in_turns(methods: Methods) -> None:
    class Good(Owner):
        pass

    class Bad(Owner):
        def first(self) -> str:
            return "other"

    for _ in range(3):
        assert methods.serves(Good())
        assert not methods.serves(Bad())
        assert methods.serves(Owner())


def test_our_own_replacement_is_accepted(methods: Methods) -> None:
    with mock.patch.object(Owner, "first", ours(Owner.first)):
        assert methods.serves(Owner())
        with mock.patch.object(Owner, "first", ours(Owner.first)):  # twice
            assert methods.serves(Owner())
    second = vars(Owner)["second"]
    with mock.patch.object(Owner, "second", staticmethod(ours(second.__func__))):
        assert methods.serves(Owner())
    foreign = functools.wraps(Owner.first)(lambda self: "wrapped by somebody else")
    with mock.patch.object(Owner, "first", foreign):
        assert not methods.serves(Owner())


def test_bound_while_replaced() -> None:
    with mock.patch.object(Owner, "first", ours(Owner.first)):
        methods = Methods(Owner, NAMES, (), 1)
        assert methods.serves(Owner())
    assert methods.serves(Owner())


def test_a_wrapper_around_ours_is_none_of_ours() -> None:
    """A tracer's wrapper copies the marks with everything else, and wants to be called."""
    replacement = ours(Owner.first)
    with mock.patch.object(Owner, "first", replacement):
        methods = Methods(Owner, NAMES, (), 1)
        traced = functools.wraps(replacement)(lambda self: replacement(self))
        with mock.patch.object(Owner, "first", traced):
            assert not methods.serves(Owner())
        assert methods.serves(Owner())


def test_unknown_names_must_stay_unknown() -> None:
    methods = Methods(Owner, ("absent",), (), 1)
    assert methods.serves(Owner())
    assert not methods.serves(type("Sub", (Owner,), {"absent": lambda self: None})())


def test_an_instance_without_attributes_of_its_own_is_an_error() -> None:
    methods = Methods(int, ("bit_length",), (), 0)
    with pytest.raises(AttributeError):
        methods.serves(3)


def test_wants_a_class() -> None:
    with pytest.raises(TypeError):
        Methods(None, NAMES, (), 1)  # type: ignore[arg-type]


# --- globals -----------------------------------------------------------------------------------


@pytest.fixture
def module() -> types.ModuleType:
    made = types.ModuleType("library")
    made.first, made.second = len, Owner  # type: ignore[attr-defined]
    return made


def test_rebinding_a_global_is_noticed(module: types.ModuleType) -> None:
    names = Globals(module, "first", "second")
    assert names.unchanged()
    for name in ("first", "second"):
        with mock.patch.object(module, name, object()):
            assert not names.unchanged()
        assert names.unchanged()


def test_a_global_that_is_gone_is_noticed(module: types.ModuleType) -> None:
    names = Globals(module, "first")
    del module.first
    assert not names.unchanged()


def test_our_own_global_is_accepted(module: types.ModuleType) -> None:
    names = Globals(module, "first", "second")
    replacement = ours(len)
    for _ in range(2):
        with mock.patch.object(module, "first", replacement):
            assert names.unchanged()
            assert names.unchanged()
            with mock.patch.object(module, "first", sum):
                assert not names.unchanged()
            assert names.unchanged()
        assert names.unchanged()


def test_other_globals_are_of_no_concern(module: types.ModuleType) -> None:
    names = Globals(module, "first")
    module.second = None  # type: ignore[attr-defined]
    assert names.unchanged()


def test_a_global_that_never_was_is_an_error(module: types.ModuleType) -> None:
    with pytest.raises(KeyError):
        Globals(module, "third")


# --- what replacements look like -----------------------------------------------------------------


def test_a_stand_in_looks_like_the_original() -> None:
    replacement = ours(Owner.first)
    assert replacement.__name__ == "first"
    assert replacement.__qualname__ == "Owner.first"
    assert replacement.__doc__ == "Says first."
    assert replacement.__module__ == __name__
    assert replacement.__wrapped__ is Owner.first  # type: ignore[attr-defined]
    assert replacement.__wsfast__ is Owner.first  # type: ignore[attr-defined]
    assert replacement(Owner()) == "first"


# --- the random source ---------------------------------------------------------------------------


def test_the_random_source_is_the_system_s() -> None:
    assert random_source() is os.urandom


def test_a_random_source_that_is_not_is_refused() -> None:
    with mock.patch("os.urandom", lambda size: b"x" * size):
        with pytest.raises(RuntimeError, match=r"os\.urandom is replaced"):
            random_source()
