"""Plain data: what a result may hold, and how it is read back from a pickle or from JSON without trusting the file.

Plain means None, bool, int, float, str, lists, dicts with string keys, and NumPy arrays of numbers or booleans.

Reading a pickle runs whatever the pickle asks for. The reader here resolves a fixed handful of names that NumPy writes
for arrays and scalars, and resolves them to inert classes of its own that only keep what they are given; the arrays are
built from that afterwards. Neither NumPy's unpickling code nor anything else is reachable from the file.
"""

import io
import pickle
import pickletools
from typing import Any

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
        pickle.UnpicklingError: it is damaged, or asks for anything else.
    """
    try:
        _check_sizes(data)
        return plain(_built(_Reader(io.BytesIO(data)).load()), "content")
    except pickle.UnpicklingError:
        raise
    except Exception as error:  # damaged or hostile bytes make the unpickler raise nearly anything
        raise pickle.UnpicklingError(f"{type(error).__name__}: {error}") from error


def _check_sizes(data: bytes) -> None:
    """Refuse a pickle that claims more than it holds: a few damaged bytes could ask for gigabytes of memory."""
    for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):  # refuses lengths beyond the end itself
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and (argument or 0) > count:
            raise pickle.UnpicklingError(f"it stores object {argument} of at most {count}")


class _Inert:
    """Keeps the arguments and the state a pickle gives an object, and does nothing with them."""

    def __init__(self, *args: Any) -> None:
        self.args = args
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Dtype(_Inert):
    """numpy.dtype(code, align, copy), state (version, byte order, …)."""


class _Array(_Inert):
    """_reconstruct(type, shape, code), state (version, shape, dtype, is Fortran, bytes): pickle protocols 2 to 4."""


class _Buffer(_Inert):
    """_frombuffer(bytes, dtype, shape, order): pickle protocol 5."""


class _Scalar(_Inert):
    """scalar(dtype, bytes)."""


class _ArrayType(_Inert):
    """numpy.ndarray, which is only ever an argument of _reconstruct."""


_KNOWN: dict[tuple[str, str], type[_Inert]] = {("numpy", "dtype"): _Dtype, ("numpy", "ndarray"): _ArrayType}
for _core in ("numpy.core", "numpy._core"):  # NumPy 1 and 2
    _KNOWN[f"{_core}.multiarray", "_reconstruct"] = _Array
    _KNOWN[f"{_core}.multiarray", "scalar"] = _Scalar
    _KNOWN[f"{_core}.numeric", "_frombuffer"] = _Buffer


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type[_Inert]:
        try:
            return _KNOWN[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no result contains") from None


def _built(value: Any) -> Any:
    """Replace the inert objects by the numbers and arrays they describe."""
    if type(value) in (list, tuple):
        return [_built(item) for item in value]
    if type(value) is dict:
        return {key: _built(item) for key, item in value.items()}
    if type(value) is _Array:
        _, shape, dtype, fortran, data = value.state
        return _array(data, dtype, shape, "F" if fortran else "C")
    if type(value) is _Buffer:
        data, dtype, shape, order = value.args[:4]
        return _array(data, dtype, shape, order)
    if type(value) is _Scalar:
        dtype, data = value.args
        return _array(data, dtype, (), "C").item()
    return value


def _array(data: Any, dtype: Any, shape: Any, order: Any) -> NDArray[Any]:
    if type(dtype) is not _Dtype or type(data) not in (bytes, bytearray):
        raise pickle.UnpicklingError("it contains an array whose numbers are not stored as bytes")
    code, byte_order = dtype.args[0], dtype.state[1]
    kind = np.dtype(code) if type(code) is str and code[:1] in "biuf" else None
    if kind is None or kind.name not in NUMBER_TYPES or byte_order not in ("<", ">", "|", "="):
        raise pickle.UnpicklingError(f"it contains an array of {code!r}, which are not numbers")
    return np.frombuffer(data, kind.newbyteorder(byte_order)).reshape(shape, order=order)


# -------------------- JSON

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
    """Undo :func:`to_json`."""
    kind = types.get(pointer)
    if kind == "float":
        return _NON_FINITE[value]
    if kind is not None:
        if kind["dtype"] not in NUMBER_TYPES:
            raise ValueError(f"{pointer}: {kind['dtype']!r} is not a type of numbers")
        return np.array(_flat(value), dtype=kind["dtype"]).reshape(kind["shape"])
    if isinstance(value, list):
        return [from_json(item, f"{pointer}/{i}", types) for i, item in enumerate(value)]
    if isinstance(value, dict):
        return {key: from_json(item, f"{pointer}/{_escaped(key)}", types) for key, item in value.items()}
    return value


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
    if isinstance(value, list):
        return [number for item in value for number in _flat(item)]
    return [_NON_FINITE[value] if value is None or isinstance(value, str) else value]
