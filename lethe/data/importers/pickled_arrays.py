"""Read arrays that somebody pickled, without unpickling.

Unpickling runs whatever the file says. This reads the pickle as data instead: `pickletools` lists
its opcodes, and the few that numpy writes for arrays, lists and dictionaries are interpreted here.
Nothing is imported or called by name: the four functions that such a pickle names are recognised
as words, and every other opcode or name is refused. So a file that asks for more than arrays fails.
"""

import io
import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lethe.data.errors import ImportFailedError

_RECONSTRUCT = "numpy.core.multiarray _reconstruct"
_NDARRAY = "numpy ndarray"
_DTYPE = "numpy dtype"
_ENCODE = "_codecs encode"
_CODES = {code: code for code in ("f8", "f4", "i8", "i4")}
_ORDERS = {order: order for order in ("<", ">")}


@dataclass(frozen=True)
class _Name:
    text: str


@dataclass
class _Dtype:
    code: str
    order: str = "<"


@dataclass
class _Array:
    state: tuple[Any, ...] = ()


@dataclass
class _Machine:
    stack: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def since_mark(self) -> list[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def last(self, count: int) -> list[Any]:
        items = self.stack[-count:]
        del self.stack[-count:]
        return items


def read_object_npy(content: bytes) -> Any:
    """The object in an .npy file that holds one pickled object.

    Returns:
        Dictionaries, lists, strings, numbers and arrays of float or int.

    Raises:
        ImportFailedError: if the file holds anything else.
    """
    file = io.BytesIO(content)
    try:
        if np.lib.format.read_magic(file) != (1, 0):
            raise ImportFailedError(_REFUSED)
        np.lib.format.read_array_header_1_0(file)
        outer = _interpret(file.read())
        shape, _, items = _state(outer)
        if shape != () or len(items) != 1:
            raise ImportFailedError(_REFUSED)
        return _plain(items[0])
    except (ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
        raise ImportFailedError(_REFUSED) from error


_REFUSED = (
    "The pickled file holds something else than arrays, so it was not read. Nothing was written. "
    "Get the original again."
)


def _interpret(content: bytes) -> Any:
    machine = _Machine()
    for opcode, argument, _ in pickletools.genops(content):
        if opcode.name == "STOP":
            (result,) = machine.stack
            return result
        step = _STEPS.get(opcode.name)
        if step is None:
            raise ImportFailedError(f"{_REFUSED} (opcode {opcode.name})")
        step(machine, argument)
    raise ImportFailedError(_REFUSED)


def _push(machine: _Machine, value: Any) -> None:
    machine.stack.append(value)


def _name(machine: _Machine, text: str) -> None:
    if text not in {_RECONSTRUCT, _NDARRAY, _DTYPE, _ENCODE}:
        raise ImportFailedError(f"{_REFUSED} (name {text})")
    machine.stack.append(_Name(text))


def _remember(machine: _Machine, key: int) -> None:
    machine.memo[key] = machine.stack[-1]


def _recall(machine: _Machine, key: int) -> None:
    machine.stack.append(machine.memo[key])


def _reduce(machine: _Machine, _: Any) -> None:
    function, arguments = machine.last(2)
    match (function.text, arguments):
        case (name, (_Name(_), (0,), b"b")) if name == _RECONSTRUCT:
            machine.stack.append(_Array())
        case (name, (str(text), "latin1")) if name == _ENCODE:
            machine.stack.append(text.encode("latin1"))
        case (name, (str(code), 0, 1)) if name == _DTYPE:
            machine.stack.append(_Dtype(code))
        case _:
            raise ImportFailedError(_REFUSED)


def _build(machine: _Machine, _: Any) -> None:
    target, state = machine.last(2)
    if isinstance(target, _Array):
        target.state = state
    elif isinstance(target, _Dtype):
        target.order = state[1]
    else:
        raise ImportFailedError(_REFUSED)
    machine.stack.append(target)


def _append(machine: _Machine, _: Any) -> None:
    (item,) = machine.last(1)
    machine.stack[-1].append(item)


def _appends(machine: _Machine, _: Any) -> None:
    items = machine.since_mark()
    machine.stack[-1].extend(items)


def _setitems(machine: _Machine, _: Any) -> None:
    items = machine.since_mark()
    machine.stack[-1].update(zip(items[::2], items[1::2], strict=True))


def _constant(value: Callable[[], Any]) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine.stack.append(value())


def _tuple(count: int) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine.stack.append(tuple(machine.last(count)))


_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda _machine, _version: None,
    "GLOBAL": _name,
    "BINPUT": _remember,
    "LONG_BINPUT": _remember,
    "BINGET": _recall,
    "LONG_BINGET": _recall,
    "BININT": _push,
    "BININT1": _push,
    "BININT2": _push,
    "BINUNICODE": _push,
    "NONE": _constant(lambda: None),
    "NEWTRUE": _constant(lambda: True),
    "NEWFALSE": _constant(lambda: False),
    "EMPTY_TUPLE": _constant(tuple),
    "EMPTY_LIST": _constant(list),
    "EMPTY_DICT": _constant(dict),
    "TUPLE1": _tuple(1),
    "TUPLE2": _tuple(2),
    "TUPLE3": _tuple(3),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.since_mark())),
    "MARK": lambda machine, _: machine.marks.append(len(machine.stack)),
    "REDUCE": _reduce,
    "BUILD": _build,
    "APPEND": _append,
    "APPENDS": _appends,
    "SETITEMS": _setitems,
}


def _state(value: Any) -> tuple[tuple[int, ...], _Dtype, Any]:
    version, shape, dtype, _, data = value.state
    if version != 1 or not isinstance(dtype, _Dtype):
        raise ImportFailedError(_REFUSED)
    return shape, dtype, data


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, _Array):
        shape, dtype, data = _state(value)
        flat = np.frombuffer(data, np.dtype(f"{_ORDERS[dtype.order]}{_CODES[dtype.code]}"))
        return flat.reshape(shape[::-1]).T if value.state[3] else flat.reshape(shape)
    return value
