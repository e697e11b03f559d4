"""A case as YAML values, and back: its steps, its fault, what its device is.

The classes' own field names are the keys; a step is named by its `op`, a fault by its class. What
has its default is left out. Everything that is read is checked by the classes themselves.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from errpath.cases import volume_steps
from errpath.cases.case import Device, MountCase
from errpath.cases.crafted import LogContains
from errpath.cases.steps import Meanwhile, Step
from errpath.errors import DefinitionError, UsageError
from errpath.faults.model import Alloc, Call, Fault, Flush, Read, Write
from errpath.faults.plan import FaultPlan
from errpath.images import Image

__all__ = ["case_from_values", "case_to_values"]

# "return" forces a whole function, the others one call, allocation or request.
_FAULTS: Mapping[str, type[Any]] = {
    "return": FaultPlan,
    "call": Call,
    "alloc": Alloc,
    "read": Read,
    "write": Write,
    "flush": Flush,
}
_DEVICE = ("size", "readonly", "held", "block_size", "node")
_KEYS = ("id", "filesystem", "device", "steps", "seconds", "log", "image")


def _steps() -> dict[str, type[Step]]:
    """The classes of steps by their operation."""
    assert volume_steps is not None
    found: dict[str, type[Step]] = {}

    def walk(cls: type[Step]) -> Iterator[type[Step]]:
        for sub in cls.__subclasses__():
            yield sub
            yield from walk(sub)

    for cls in walk(Step):
        if "op" in vars(cls):
            found[cls.op] = cls
    return found


def case_to_values(case: MountCase) -> dict[str, Any]:
    """The case without its image.

    Raises:
        UsageError: it has what cannot be kept: a check in Python, further devices.
    """
    if case.devices or case.alternatives or case.coverage:
        raise UsageError(f"{case.id}: several devices or alternatives; expected a case with one")
    logs = []
    for check in case.checks:
        if not isinstance(check, LogContains):
            name = getattr(check, "kind", type(check).__name__)
            raise UsageError(f"{case.id}: its check ({name}) is code; expected a case without")
        logs.append(check.text)
    device = {name: _plain(getattr(case.device, name)) for name in _DEVICE}
    values = {
        "id": case.id,
        "filesystem": case.filesystem,
        "device": {name: value for name, value in device.items() if value},
        "steps": [_step_values(step) for step in case.steps],
        "seconds": case.seconds,
        "log": logs,
    }
    return {name: value for name, value in values.items() if value}


def _step_values(step: Step) -> dict[str, Any]:
    values: dict[str, Any] = {"op": step.op}
    for field in dataclasses.fields(step):
        value = getattr(step, field.name)
        if value == field.default or value in ((), ""):
            continue
        values[field.name] = _fault_values(value) if field.name == "fail" else _field_values(value)
    # "" is success, and no default.
    if step.expect == "":
        values["expect"] = ""
    return values


def _field_values(value: Any) -> Any:
    if isinstance(value, Meanwhile):
        steps = [_step_values(step) for step in value.steps]
        return {"at": value.at, "nth": value.nth, "threads": value.threads, "steps": steps}
    return _plain(value)


def _fault_values(fault: Fault) -> dict[str, Any]:
    for name, cls in _FAULTS.items():
        if isinstance(fault, cls):
            names = [field.name for field in dataclasses.fields(cls)]
            return {"type": name, **{one: _plain(getattr(fault, one)) for one in names}}
    raise UsageError(f"{fault.text}: expected a fault that fails something")


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return value


def case_from_values(values: Mapping[str, Any], image: Image | None, where: Path) -> MountCase:
    """The case that `case_to_values` wrote; `where` is for errors.

    Raises:
        DefinitionError: a key is missing, unknown, or has an impossible value.
    """
    try:
        unknown = set(values) - set(_KEYS)
        if unknown:
            raise ValueError(f"{sorted(unknown)[0]}: unknown; expected some of {', '.join(_KEYS)}")
        device = dict(values.get("device", {}))
        if "node" in device:
            device["node"] = tuple(device["node"])
        return MountCase(
            str(values["id"]),
            str(values["filesystem"]),
            Device(image, **device),
            tuple(_step_from(step) for step in _list(values["steps"])),
            seconds=float(values.get("seconds", 20.0)),
            checks=tuple(LogContains(str(text)) for text in _list(values.get("log", []))),
        )
    except KeyError as error:
        raise DefinitionError(f"{where}: {error.args[0]}: missing; expected a kept case") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise DefinitionError(f"{where}: {error}; expected a kept case") from None


def _list(value: Any) -> Sequence[Any]:
    if not isinstance(value, list):
        raise ValueError(f"got {value!r}; expected a list")
    return value


def _step_from(values: Mapping[str, Any]) -> Step:
    own = dict(values)
    name = own.pop("op", None)
    steps = _steps()
    if name not in steps:
        raise ValueError(f"op {name!r}: expected one of {', '.join(sorted(steps))}")
    cls = steps[name]
    if "fail" in own:
        fault = dict(own["fail"])
        kind = fault.pop("type", None)
        if kind not in _FAULTS:
            raise ValueError(f"fail: type {kind!r}: expected one of {', '.join(_FAULTS)}")
        own["fail"] = _FAULTS[kind](**fault)
    if "meanwhile" in own:
        meanwhile = dict(own["meanwhile"])
        steps_then = tuple(_step_from(step) for step in _list(meanwhile.pop("steps")))
        own["meanwhile"] = Meanwhile(**meanwhile, steps=steps_then)
    if "flags" in own:
        own["flags"] = tuple(own["flags"])
    if "options" in own:
        own["options"] = tuple((key, value) for key, value in own["options"])
    return cls(**own)
