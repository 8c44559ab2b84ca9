"""wsaccel, which other libraries look for by themselves: its names, with ours behind them.

websocket-client, gevent-websocket, lomond, eventlet and autobahn up to 24.4 import wsaccel where
it is installed. `install("wsaccel")`, before they are imported, has them find ours: in place of
the classes of an installed wsaccel, or, where it is not, as the modules themselves. That is for
whom the targets of these libraries do not serve, and so nothing that `install()` does unasked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .target import Level, Originals, Part, Slot, Target, Workload

if TYPE_CHECKING:
    from random import Random
    from types import ModuleType

__all__ = ["TARGET", "patch_autobahn", "patch_ws4py"]

VALIDATOR = "wsaccel.utf8validator:Utf8Validator"
CREATE = "wsaccel.xormask:createXorMasker"


def patch_autobahn() -> None:
    """As `wsaccel.patch_autobahn`, but for the autobahn of today."""
    from . import install

    install("autobahn")


def patch_ws4py() -> None:
    """As `wsaccel.patch_ws4py`."""
    from . import install

    install("ws4py")


def _modules() -> Mapping[str, ModuleType]:
    from . import masker, validator

    package = _module("wsaccel", patch_autobahn=patch_autobahn, patch_ws4py=patch_ws4py)
    package.__dict__.update(__path__=[], __version__="0.6.7")
    xormask = _module(
        "wsaccel.xormask",
        XorMaskerNull=masker.XorMaskerNull,
        XorMaskerSimple=masker.XorMaskerSimple,
        createXorMasker=masker.createXorMasker,
    )
    utf8validator = _module("wsaccel.utf8validator", Utf8Validator=validator.Utf8Validator)
    package.__dict__.update(xormask=xormask, utf8validator=utf8validator)
    return {each.__name__: each for each in (package, xormask, utf8validator)}


def _module(name: str, **members: object) -> ModuleType:
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    module = ModuleType(name, f"What others import as {name}; see {__name__}.")
    module.__spec__ = ModuleSpec(name, None, origin=__name__, is_package="." not in name)
    module.__package__ = name.partition(".")[0]
    module.__dict__.update(members)
    return module


def _package_slots() -> Sequence[Slot]:
    return [
        Slot("wsaccel:patch_autobahn", lambda original: patch_autobahn, parameters=()),
        Slot("wsaccel:patch_ws4py", lambda original: patch_ws4py, parameters=()),
    ]


def _masker_slots() -> Sequence[Slot]:
    from . import masker

    names = ("XorMaskerNull", "XorMaskerSimple", "createXorMasker")
    return [Slot(f"wsaccel.xormask:{name}", _always(getattr(masker, name))) for name in names]


def _always(ours: object) -> Callable[[Any], Any]:
    return lambda original: ours


def _validator_slots() -> Sequence[Slot]:
    from .validator import Utf8Validator

    return [Slot(VALIDATOR, _always(Utf8Validator))]


def _check_package(originals: Originals, level: Level, random: Random) -> None:
    """The functions of the package are called by applications, and patch what they say."""


def _check_maskers(originals: Originals, level: Level, random: Random) -> None:
    from wsaccel import xormask

    from .hoehrmann import compare_maskers

    compare_maskers(originals[CREATE], xormask.createXorMasker, random)


def _check_validator(originals: Originals, level: Level, random: Random) -> None:
    from wsaccel import utf8validator

    from .hoehrmann import compare_validators

    compare_validators(originals[VALIDATOR], utf8validator.Utf8Validator, random)


def _workloads() -> Sequence[Workload]:
    from wsaccel import utf8validator, xormask

    found = []
    for size in (125, 65536):
        data = b"a" * size
        found.append(Workload("validate text", size, _validating(utf8validator, data)))
        found.append(Workload("mask", size, _masking(xormask, data)))
    return found


def _validating(module: ModuleType, data: bytes) -> Callable[[], object]:
    return lambda: module.Utf8Validator().validate(data)


def _masking(module: ModuleType, data: bytes) -> Callable[[], object]:
    return lambda: module.createXorMasker(b"four", len(data)).process(data)


TARGET = Target(
    library="wsaccel",
    package="wsaccel",
    tested=("0.6.4", "0.7"),
    parts=(
        Part("wsaccel", _package_slots, _check_package),
        Part("wsaccel.xormask", _masker_slots, _check_maskers),
        Part("wsaccel.utf8validator", _validator_slots, _check_validator),
    ),
    workloads=_workloads,
    by_default=False,
    note="what others have imported from it before stays as it was",
    modules=_modules,
)
