"""Plain data: what a result may hold, and how it is read back from a pickle or from JSON without trusting the file.

Plain means None, bool, int, float, str, lists, dicts with string keys, and NumPy arrays of numbers or booleans.

Reading a pickle runs whatever the pickle asks for. The reader here resolves a fixed handful of names that NumPy writes
for arrays and scalars, and resolves them to inert classes of its own that only keep what they are given; the arrays are
built from that afterwards. Neither NumPy's unpickling code nor anything else is reachable from the file.
"""

import io
import math
import pickle
import pickletools
import reprlib
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

NUMBER_TYPES = ("bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)))
NUMBER_TYPES += ("float16", "float32", "float64")


def plain(value: Any, where: str = "") -> Any:
    """Copy ``value`` as plain data: tuples become lists, NumPy scalars become Python's, arrays become contiguous.

    Args:
        value: anything.
        where: how an error names the value, e.g. "stats".

    Raises:
        TypeError: something in it is not plain; the message says where.
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, np.generic) and value.dtype.name in NUMBER_TYPES:
        return value.item()
    if type(value) is np.ndarray and value.dtype.name in NUMBER_TYPES:
        return np.array(value, dtype=value.dtype.newbyteorder("="), order="C")
    if type(value) in (list, tuple):
        return [plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if type(value) is dict:
        for key in value:
            if type(key) is not str:
                raise TypeError(f"{where or 'value'}: the key {key!r} is not a string")
        return {key: plain(item, f"{where}[{key!r}]") for key, item in value.items()}
    kind = f"an array of {value.dtype}" if type(value) is np.ndarray else f"a {type(value).__qualname__}"
    raise TypeError(f"{where or 'value'} is {kind}: a result holds plain Python and NumPy numbers only")


# -------------------- pickle


def unpickle(data: bytes) -> Any:
    """Read a pickle that holds nothing but plain data.

    Raises:
        pickle.UnpicklingError: it is damaged, asks for anything else, or stands for far more than it holds.
    """
    try:
        _check_opcodes(data)
        return plain(_Builder(len(data)).built(_Reader(io.BytesIO(data)).load()), "content")
    except pickle.UnpicklingError:
        raise
    except Exception as error:  # damaged or hostile bytes make the unpickler raise nearly anything
        raise pickle.UnpicklingError(f"{type(error).__name__}: {error}") from error


SETS = ("EMPTY_SET", "ADDITEMS", "FROZENSET")


def _check_opcodes(data: bytes) -> None:
    """Refuse sets, and a pickle that claims more than it holds: a few bytes could ask for gigabytes of memory."""
    for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):  # refuses lengths beyond the end itself
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and (argument or 0) > count:
            raise pickle.UnpicklingError(f"it stores object {argument} of at most {count}")
        if opcode.name in SETS:
            raise pickle.UnpicklingError("it contains a set, which no result contains")


class Inert:
    """Keeps the arguments and the state a pickle gives an object, and does nothing with them."""

    def __init__(self, *args: Any) -> None:
        self.args = args
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Dtype(Inert):
    """numpy.dtype(code, align, copy), state (version, byte order, …)."""


class _Array(Inert):
    """_reconstruct(type, shape, code), state (version, shape, dtype, is Fortran, bytes): pickle protocols 2 to 4."""


class _Buffer(Inert):
    """_frombuffer(bytes, dtype, shape, order): pickle protocol 5."""


class _Scalar(Inert):
    """scalar(dtype, bytes)."""


class _ArrayType(Inert):
    """numpy.ndarray, which is only ever an argument of _reconstruct."""


_KNOWN: dict[tuple[str, str], type[Inert]] = {("numpy", "dtype"): _Dtype, ("numpy", "ndarray"): _ArrayType}
for _core in ("numpy.core", "numpy._core"):  # NumPy 1 and 2
    _KNOWN[f"{_core}.multiarray", "_reconstruct"] = _Array
    _KNOWN[f"{_core}.multiarray", "scalar"] = _Scalar
    _KNOWN[f"{_core}.numeric", "_frombuffer"] = _Buffer


Load = Callable[[Any], None]


def with_plain_keys(dispatch: Mapping[int, Load], types: tuple[type, ...]) -> dict[int, Load]:
    """Return what an unpickler does for each code, such that it refuses keys of other types before it hashes them."""
    codes = (
        (pickle.SETITEM, slice(-2, -1)),
        (pickle.SETITEMS, slice(None, None, 2)),
        (pickle.DICT, slice(None, None, 2)),
    )
    return dict(dispatch) | {code[0]: _checked(dispatch[code[0]], keys, types) for code, keys in codes}


def _checked(load: Load, keys: slice, types: tuple[type, ...]) -> Load:
    def checked(reader: Any) -> None:
        for key in reader.stack[keys]:
            if type(key) not in types:
                raise pickle.UnpicklingError(f"it has a key that is a {type(key).__name__}, not text")
        load(reader)

    return checked


class _Reader(pickle._Unpickler):
    """Python's own unpickler in Python, which lets a key be looked at before it is hashed.

    Hashing a nest of shared tuples takes for ever.
    """

    dispatch: ClassVar = with_plain_keys(pickle._Unpickler.dispatch, (str,))

    def find_class(self, module: str, name: str) -> type[Inert]:
        try:
            return _KNOWN[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no result contains") from None


_REPEATED_ITEMS = 10**6
_REPEATED_BYTES = 2**27


class _Builder:
    """Replaces the inert objects by the numbers and arrays they describe.

    An object that is referred to several times is built as often, and may itself refer to others: beyond what ``size``
    bytes can hold, only so much is built.
    """

    def __init__(self, size: int) -> None:
        self._items, self._bytes = size + _REPEATED_ITEMS, size + _REPEATED_BYTES

    def built(self, value: Any) -> Any:
        """Return the plain value."""
        self._spend(len(value) if type(value) is str else 0)
        if type(value) in (list, tuple):
            return [self.built(item) for item in value]
        if type(value) is dict:
            return {self.built(key): self.built(item) for key, item in value.items()}
        if type(value) is _Array:
            _, shape, dtype, fortran, data = value.state
            return self._array(data, dtype, shape, "F" if fortran else "C")
        if type(value) is _Buffer:
            data, dtype, shape, order = value.args[:4]
            return self._array(data, dtype, shape, order)
        if type(value) is _Scalar:
            dtype, data = value.args
            return self._array(data, dtype, (), "C").item()
        return value

    def _array(self, data: Any, dtype: Any, shape: Any, order: Any) -> NDArray[Any]:
        array = _array(data, dtype, shape, order)
        self._spend(array.nbytes)
        return array

    def _spend(self, n_bytes: int) -> None:
        self._items -= 1
        self._bytes -= n_bytes
        if self._items < 0 or self._bytes < 0:
            raise pickle.UnpicklingError("it repeats itself without end: it stands for far more than it holds")


def _array(data: Any, dtype: Any, shape: Any, order: Any) -> NDArray[Any]:
    if type(dtype) is not _Dtype or type(data) not in (bytes, bytearray):
        raise pickle.UnpicklingError("it contains an array whose numbers are not stored as bytes")
    code, byte_order = dtype.args[0], dtype.state[1]
    kind = np.dtype(code) if type(code) is str and code[:1] in "biuf" else None
    if kind is None or kind.name not in NUMBER_TYPES or byte_order not in ("<", ">", "|", "="):
        raise pickle.UnpicklingError(f"it contains an array of {code!r}, which are not numbers")
    return np.frombuffer(data, kind.newbyteorder(byte_order)).reshape(shape, order=order)


# -------------------- JSON

_EXACT = 2**53  # whole numbers that a float holds exactly
_NON_FINITE = {None: float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


def to_json(value: Any, pointer: str, types: dict[str, Any]) -> Any:
    """Turn plain data into what strict JSON can say: NaN → null, infinities → "Infinity", arrays → nested lists.

    Args:
        value: plain data.
        pointer: JSON pointer of the value (RFC 6901), e.g. "/stats".
        types: is filled with what JSON cannot say: pointer → {"dtype", "shape"} of an array, "float" of a number
            that is not finite. :func:`from_json` needs it to give back exactly the same.
    """
    if isinstance(value, float) and not np.isfinite(value):
        types[pointer] = "float"
        return _finite(value)
    if isinstance(value, np.ndarray):
        types[pointer] = {"dtype": value.dtype.name, "shape": list(value.shape)}
        return _nested(value)
    if isinstance(value, list):
        return [to_json(item, f"{pointer}/{i}", types) for i, item in enumerate(value)]
    if isinstance(value, dict):
        return {key: to_json(item, f"{pointer}/{_escaped(key)}", types) for key, item in value.items()}
    return value


def from_json(value: Any, pointer: str, types: dict[str, Any]) -> Any:
    """Undo :func:`to_json`.

    Raises:
        ValueError: a number is not of the type that ``types`` says, or there are more or fewer than it says.
    """
    kind = types.get(pointer)
    if kind == "float":
        return _number(value, pointer)
    if kind is not None:
        return _typed_array(value, pointer, kind)
    if isinstance(value, list):
        return [from_json(item, f"{pointer}/{i}", types) for i, item in enumerate(value)]
    if isinstance(value, dict):
        return {key: from_json(item, f"{pointer}/{_escaped(key)}", types) for key, item in value.items()}
    return value


def _typed_array(value: Any, pointer: str, kind: Any) -> NDArray[Any]:
    if not isinstance(kind, dict) or kind.get("dtype") not in NUMBER_TYPES:
        raise ValueError(f"{pointer}: {reprlib.repr(kind)} is not a type of numbers")
    dtype, shape = np.dtype(kind["dtype"]), kind.get("shape")
    numbers = [_number(item, pointer) for item in _flat(value)]
    if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError(f"{pointer}: {reprlib.repr(shape)} is not the shape of an array")
    if math.prod(shape) != len(numbers):
        raise ValueError(f"{pointer}: {len(numbers)} numbers, where its shape {reprlib.repr(shape)} needs others")
    for number in numbers:
        if not _is_a(number, dtype):
            raise ValueError(f"{pointer}: {reprlib.repr(number)} is no {dtype}")
    with np.errstate(over="ignore"):
        array = np.array(numbers, dtype=dtype)
    if dtype.kind == "f" and np.isinf(array).sum() != np.isinf(numbers).sum():
        raise ValueError(f"{pointer}: holds a number that is too large for {dtype}")
    return array.reshape(shape)


def _number(value: Any, pointer: str) -> Any:
    """Return the number that ``value`` is or stands for."""
    if value is None or isinstance(value, str):
        if value in _NON_FINITE:
            return _NON_FINITE[value]
    elif isinstance(value, bool | int | float):
        return value
    raise ValueError(f"{pointer}: {reprlib.repr(value)} is not a number")


def _is_a(number: Any, dtype: np.dtype[Any]) -> bool:
    if dtype.kind == "b":
        return type(number) is bool
    if dtype.kind in "iu":
        return type(number) is int and np.iinfo(dtype).min <= number <= np.iinfo(dtype).max
    return type(number) is float or (type(number) is int and abs(number) <= _EXACT)


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _finite(value: Any) -> Any:
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if np.isfinite(value):
        return value
    return None if np.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _nested(array: NDArray[Any]) -> Any:
    if array.dtype.kind == "f":
        if array.dtype.itemsize < 8:  # the shortest decimals that give the same float32: .1, not .10000000149011612
            array = array.astype(str).astype(np.float64)
        if not np.isfinite(array).all():
            return _finite(array.tolist())
    return array.tolist()


def _flat(value: Any) -> list[Any]:
    return [number for item in value for number in _flat(item)] if isinstance(value, list) else [value]
