"""Natives: callables compiled from C have no code to swap, so a Python stand-in takes their place."""

import functools
import sys
from collections.abc import Callable
from types import (
    BuiltinFunctionType,
    ClassMethodDescriptorType,
    FunctionType,
    MethodDescriptorType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any
from weakref import WeakKeyDictionary

from pytest_resilience.errors import TargetError

__tracebackhide__ = True  # for pytest: a traceback ends at the user's own line

Owner = ModuleType | type

_OURS = "pytest_resilience"
_IMMUTABLE_TYPE = 1 << 8  # Py_TPFLAGS_IMMUTABLETYPE
_NATIVE = (BuiltinFunctionType, ClassMethodDescriptorType, MethodDescriptorType, WrapperDescriptorType)


class Slot:
    """The place of a native callable, and the Python function that stands in for it while a tap is attached.

    The stand-in only passes the call on; taps reach it as they reach any Python function. So code that kept
    it (`from time import sleep` during a fault) goes on working after the fault.
    """

    def __init__(self, owner: Owner, name: str, native: Callable[..., Any]) -> None:
        self._owner = owner
        self._name = name
        self._native = native
        self._inherited = name not in vars(owner)
        self._was_taken = False
        self.stand_in = _stand_in(native)
        self.placed = _like(native, owner, self.stand_in)

    def take(self) -> None:
        """Put the stand-in at the native's place and at its aliases in modules."""
        self._was_taken = True
        if vars(self._owner).get(self._name) is not self.placed:
            try:
                setattr(self._owner, self._name, self.placed)
            except (AttributeError, TypeError) as refusal:
                where = f"{self._owner.__name__}.{self._name}"
                fix = "Name the Python function that calls it."
                raise TargetError(f"{where} cannot be replaced ({refusal}). {fix}") from refusal
            self._swap_aliases(self._native, self.stand_in)

    def give_back(self) -> None:
        """Restore the native everywhere; doing it again changes nothing."""
        if not self._was_taken:
            return
        if vars(self._owner).get(self._name) is self.placed:
            if self._inherited:
                delattr(self._owner, self._name)
            else:
                setattr(self._owner, self._name, self._native)
        self._swap_aliases(self.stand_in, self._native)

    def _swap_aliases(self, old: object, new: object) -> None:
        if not isinstance(self._owner, ModuleType):
            return
        for module_name, module in tuple(sys.modules.items()):
            names = getattr(module, "__dict__", None)
            if type(names) is dict and not module_name.startswith(_OURS):
                for name in [name for name, value in tuple(names.items()) if value is old]:
                    names[name] = new


_SLOTS: WeakKeyDictionary[Owner, dict[str, Slot]] = WeakKeyDictionary()
"""One slot per place in this process, whoever asks: two stand-ins for one native would undo each other."""


def is_native(found: object) -> bool:
    """Tell whether `found`, read from its owner without binding, is compiled and can have a stand-in."""
    return isinstance(found, _NATIVE)


def is_immutable(owner: Owner) -> bool:
    """Tell whether nothing can be set on `owner`."""
    return isinstance(owner, type) and bool(owner.__flags__ & _IMMUTABLE_TYPE)


def slot_behind(found: object) -> Slot | None:
    """Return the slot whose stand-in `found` is, if it is one."""
    slots = (slot for by_name in tuple(_SLOTS.values()) for slot in by_name.values())
    return next((slot for slot in slots if found is slot.stand_in or found is slot.placed), None)


def slot_for(owner: Owner, name: str, native: Callable[..., Any]) -> Slot:
    """Return the slot of `native`, which was found on `owner` under `name`."""
    return _SLOTS.setdefault(owner, {}).setdefault(name, Slot(owner, name, native))


def _stand_in(native: Callable[..., Any]) -> FunctionType:
    def stand_in(*args: Any, **kwargs: Any) -> Any:
        return native(*args, **kwargs)

    functools.update_wrapper(stand_in, native)
    assert isinstance(stand_in, FunctionType)
    return stand_in


def _like(native: object, owner: Owner, stand_in: FunctionType) -> object:
    """Wrap the stand-in so that it binds as the native did."""
    if isinstance(native, ClassMethodDescriptorType):
        return classmethod(stand_in)
    if isinstance(native, BuiltinFunctionType) and isinstance(owner, type):
        return staticmethod(stand_in)
    return stand_in
