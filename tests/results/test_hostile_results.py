import contextlib
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cl_sparse.errors import UserError
from cl_sparse.results import (
    load_result,
    save_result,
)
from tests.result_examples import WHEN, example


class Call:
    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


def hostile_array(payload):
    array = np.empty(1, dtype=object)
    array[0] = payload
    return array


def hostile(victim):
    touch = f"open({str(victim)!r}, 'w')"
    return {
        "os.system": Call(os.system, f"touch {victim}"),
        "eval": Call(eval, touch),
        "exec": Call(exec, touch),
        "open": Call(open, str(victim), "w"),
        "getattr": Call(getattr, Call(__import__, "os"), "system"),
        "subprocess": Call(subprocess.check_call, ["touch", str(victim)]),
        "numpy": Call(np.save, str(victim), [1]),
        "object array": hostile_array(Call(os.system, f"touch {victim}")),
        "harmless object array": hostile_array(1),
        "a class": Path("x"),
    }


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("attack", hostile(Path("victim")))
@pytest.mark.parametrize("bare", [True, False], ids=["bare", "inside"])
def test_a_hostile_pickle_is_refused_and_not_run(tmp_path, attack, protocol, bare):
    victim = tmp_path / "victim"
    value = hostile(victim)[attack]
    path = tmp_path / "bad.pkl"
    path.write_bytes(pickle.dumps(value if bare else [{"a": [value]}, {}], protocol=protocol))
    with pytest.raises(UserError, match=r"bad\.pkl: not a result") as error:
        load_result(path)
    assert "\n" not in str(error.value)
    assert not victim.exists()


DTYPE = b"cnumpy\ndtype\n(S'f8'\nI00\nI01\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntb"


@pytest.mark.parametrize(
    "data",
    [
        b"cnumpy\nndarray\n(I1\ntR.",
        b"cnumpy\nndarray\n(I9999999999999\ntR.",
        b"cnumpy._core.multiarray\n_reconstruct\n}S'x'\nI1\nsb.",
        b"cnumpy._core.multiarray\nscalar\n(N}S'__init__'\nI1\nstb.",
        b"cnumpy._core.multiarray\nscalar\n(" + DTYPE + b"S'12345678'\ntR.",
        b"cnumpy._core.multiarray\n_reconstruct\n(tR(I1\n(I9\nt" + DTYPE + b"I00\nNtb.",
        b"cnumpy._core.multiarray\nscalar.",
        b"(lp0\ng0\na.",
        b"P1\n.",
        b"]r\xff\xff\xff\x0f.",
        b"\x96\xff\xff\xff\xff\x0f\x00\x00\x00.",
        b"\x82\x01.",
        b"",
        b"not a pickle",
    ],
)
def test_malformed_use_of_the_allowed_names_is_refused(tmp_path, data):
    path = tmp_path / "odd.pkl"
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"odd\.pkl"):
        load_result(path)


def test_every_truncation_is_a_user_error(tmp_path):
    path = save_result(tmp_path, "quickstart", 0, *example(), WHEN)
    for file in (path, path.with_suffix(".json")):
        whole = file.read_bytes().rstrip()
        for end in range(0, len(whole), 7):
            file.write_bytes(whole[:end])
            with pytest.raises(UserError, match=file.name):
                load_result(file)


@settings(deadline=None)
@given(st.binary(max_size=60), st.integers(0, 800))
def test_damaged_bytes_never_raise_anything_else(tmp_path_factory, damage, at):
    folder = tmp_path_factory.mktemp("damage")
    whole = pickle.dumps(list(example()), protocol=4)
    path = folder / "x.pkl"
    path.write_bytes(whole[:at] + damage + whole[at + len(damage) :])
    with contextlib.suppress(UserError):
        load_result(path)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.json", b'{"config": {}}'),
        ("a.json", b"[1, 2]"),
        ("a.json", b'{"config": {}, "stats": {"x": NaN}}'),
        ("a.json", b'{"config": {}, "stats": {"x": [1]}, "types": {"/stats/x": {"dtype": "object", "shape": [1]}}}'),
        ("a.json", b'{"config": {}, "stats": {"x": [1]}, "types": {"/stats/x": {"dtype": "int64", "shape": [7]}}}'),
        ("a.json", b'{"config": {}, "stats": {}, "types": []}'),
        ("a.json", b'{"config": [], "stats": {}}'),
        ("a.json", b'{"config": {"a": 1}, "stats": {}, "types": 3}'),
        ("a.json", b"[" * 100_000),
        ("a.pkl", pickle.dumps({"config": 1})),
        ("a.pkl", pickle.dumps([{}, 1])),
    ],
)
def test_other_content_is_a_user_error(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=name):
        load_result(tmp_path / name)


def test_an_absent_file_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match=r"none\.pkl: cannot be read"):
        load_result(tmp_path / "none.pkl")


@pytest.mark.parametrize(
    ("dtype", "numbers", "message"),
    [
        ("int64", "[1.5]", "/stats/x: 1.5 is no int64"),
        ("int64", "[true]", "/stats/x: True is no int64"),
        ("int64", "[null]", "/stats/x: nan is no int64"),
        ("int64", f"[{10**30}]", "/stats/x: 10.* is no int64"),
        ("uint8", "[300]", "/stats/x: 300 is no uint8"),
        ("uint8", "[-1]", "/stats/x: -1 is no uint8"),
        ("bool", "[1]", "/stats/x: 1 is no bool"),
        ("float64", "[true]", "/stats/x: True is no float64"),
        ("float64", '["one"]', "/stats/x: 'one' is not a number"),
        ("float64", "[{}]", "/stats/x: {} is not a number"),
        ("float64", f"[{10**400}]", "/stats/x: 10.* is no float64"),
        ("float64", "[1e999]", "1e999 is more than a number can hold"),
        ("float32", "[1e300]", "/stats/x: holds a number that is too large for float32"),
        ("float32", "[1.0, 2.0]", "/stats/x: 2 numbers, where its shape .1. needs others"),
    ],
)
def test_json_numbers_that_their_type_cannot_hold_are_refused(tmp_path, dtype, numbers, message):
    types = f'{{"/stats/x": {{"dtype": "{dtype}", "shape": [1]}}}}'
    text = f'{{"config": {{}}, "stats": {{"x": {numbers}}}, "types": {types}}}'
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UserError, match=rf"a\.json: .*{message}"):
        load_result(tmp_path / "a.json")


@pytest.mark.parametrize("kind", ["[]", '"f8"', '{"dtype": []}', '{"dtype": "int8", "shape": [-1]}'])
def test_json_types_that_are_none_are_refused(tmp_path, kind):
    (tmp_path / "a.json").write_text(f'{{"config": {{}}, "stats": {{"x": [1]}}, "types": {{"/stats/x": {kind}}}}}')
    with pytest.raises(UserError, match=r"a\.json: .*/stats/x: "):
        load_result(tmp_path / "a.json")


def test_a_number_beyond_all_numbers_is_refused(tmp_path):
    (tmp_path / "a.json").write_text('{"config": {"lr": 1e999}, "stats": {}}')
    with pytest.raises(UserError, match=r"a\.json: .*1e999"):
        load_result(tmp_path / "a.json")


def shared(levels, of):
    value = of([])
    for _ in range(levels):
        value = of([value] * 10)
    return value


def pickled_key(key):
    """A pickle of a dict with a key that Python could not even hash in time."""
    return b"(}" + pickle.dumps(key, protocol=2)[2:-1] + b"K\x01sd."


@pytest.mark.parametrize(
    "data",
    [
        pickle.dumps([{"a": shared(9, list)}, {}]),
        pickle.dumps([{"a": shared(9, tuple)}, {}]),
        pickle.dumps([{"a": [np.zeros(10**5)] * 2000}, {}]),
        pickle.dumps([{"a": ["x" * 10**5] * 2000}, {}]),
        pickled_key(shared(60, tuple)),
        b"\x80\x04(" + pickle.dumps(shared(60, tuple), protocol=2)[2:-1] + b"\x91.",
    ],
    ids=["lists", "tuples", "arrays", "texts", "key", "set"],
)
def test_a_pickle_that_stands_for_far_more_than_it_holds_is_refused_at_once(tmp_path, data):
    # In a process of its own, which can be ended: hashing a nest of tuples cannot be interrupted.
    (tmp_path / "a.pkl").write_bytes(data)
    command = "import sys; from cl_sparse.results import load_result; load_result(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", command, tmp_path / "a.pkl"], capture_output=True, text=True, timeout=60, check=False
    )
    assert "UserError" in done.stderr


def test_what_is_shared_within_reason_is_read(tmp_path):
    row = [0.5] * 100
    (tmp_path / "a.pkl").write_bytes(pickle.dumps([{"rows": [row] * 100, "pair": (1, 2)}, {}]))
    assert load_result(tmp_path / "a.pkl")[0] == {"rows": [row] * 100, "pair": [1, 2]}


def test_a_key_that_is_there_twice_is_refused(tmp_path):
    path = tmp_path / "x_20261121T064500-123_seed0.json"
    path.write_text('{"config": {}, "stats": {"a": 1, "a": 2}, "types": {}}')
    with pytest.raises(UserError, match="the key 'a' is there twice"):
        load_result(path)
