import contextlib
import json
import math
import os
import pickle
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from cl_sparse.errors import UserError
from cl_sparse.plain import plain, unpickle
from cl_sparse.results import (
    file_name_of,
    find_results,
    json_text,
    load_result,
    parse_file_name,
    prepare_results_dir,
    save_result,
    write_atomically,
)

WHEN = datetime(2026, 11, 21, 6, 45, 0, 123456)
NAN = float("nan")


def same(a, b):
    """Equal in value, type, dtype and shape; NaN equals NaN."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    return a == b or (isinstance(a, float) and math.isnan(a) and math.isnan(b))


def example():
    config = {
        "name": "quickstart",
        "heads": None,
        "lr": 0.1,
        "plugins": [{"name": "replay", "size": 20}],
        "cumul": False,
    }
    stats = {
        "accs": np.array([[0.9, NAN], [0.5, 0.8]]),
        "val_accs": None,
        "on_idxs": {"features.act1": np.arange(4)},
        "unit_use": {"features.act1": np.array([[0.1, 0.25]], dtype=np.float32)},
        "steps": [10, 20],
        "seconds": {"train": [1.5, NAN], "total": math.inf},
        "a/b~c": np.zeros((0, 3), dtype=np.float32),
        "stopped": None,
    }
    return config, stats


def visible(folder):
    return sorted(path.name for path in folder.iterdir())


def test_both_files_give_back_what_was_saved(tmp_path):
    config, stats = example()
    path = save_result(tmp_path / "new" / "results", "quickstart", 3, config, stats, WHEN)
    assert path.name == "quickstart_20261121T064500-123_seed3.pkl"
    assert visible(path.parent) == [path.with_suffix(".json").name, path.name]
    for file in (path, path.with_suffix(".json")):
        assert same(list(load_result(file)), [config, stats])


def test_a_pickle_is_read_without_this_package(tmp_path):
    path = save_result(tmp_path, "quickstart", 0, *example(), WHEN)
    code = """
import pickle, sys
sys.modules["cl_sparse"] = None
config, stats = pickle.load(open(sys.argv[1], "rb"))
assert config["lr"] == 0.1 and stats["accs"].shape == (2, 2) and stats["accs"][1][0] == 0.5
assert not [name for name in sys.modules if name.startswith("torch")]
"""
    subprocess.run([sys.executable, "-I", "-c", code, str(path)], check=True, cwd=tmp_path)


def test_the_json_is_strict_and_its_matrices_are_lists(tmp_path):
    path = save_result(tmp_path, "quickstart", 0, *example(), WHEN).with_suffix(".json")
    content = json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(name))
    assert content["stats"]["accs"] == [[0.9, None], [0.5, 0.8]]
    assert content["stats"]["unit_use"] == {"features.act1": [[0.1, 0.25]]}
    assert content["config"]["heads"] is None


numbers = st.sampled_from(["bool", "int8", "int64", "uint64", "float16", "float32", "float64"]).flatmap(
    lambda dtype: arrays(dtype, array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | numbers,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
dicts = st.dictionaries(st.text(), values, max_size=4)


@settings(deadline=None)
@given(dicts, dicts, st.sampled_from([4, 5]))
def test_round_trip_of_anything_plain(tmp_path_factory, config, stats, protocol):
    folder = tmp_path_factory.mktemp("any")
    for name, data in (
        ("r.pkl", pickle.dumps([config, stats], protocol=protocol)),
        ("r.json", json_text({"config": config, "stats": stats}).encode()),
    ):
        (folder / name).write_bytes(data)
        assert same(list(load_result(folder / name)), [config, stats])


def test_numpy_scalars_tuples_and_foreign_layouts_become_plain():
    odd = {"f": np.float32(0.5), "t": (1, np.int64(2)), "a": np.arange(6, dtype=">i4").reshape(2, 3, order="F")}
    want = {"f": 0.5, "t": [1, 2], "a": np.arange(6, dtype=np.int32).reshape(2, 3, order="F")}
    assert same(plain(odd), want)
    assert same(unpickle(pickle.dumps(odd, protocol=4)), want)
    assert same(unpickle(pickle.dumps(odd, protocol=5)), want)


class Number(int):
    pass


@pytest.mark.parametrize(
    "value",
    [
        Path("x"),
        {1: 2},
        {1, 2},
        b"bytes",
        1j,
        WHEN,
        Number(3),
        np.array([None]),
        np.array(["text"]),
        np.ma.array([1.0]),
        np.array([(1, 2)], dtype=[("a", int), ("b", int)]),
        np.str_("x"),
        print,
    ],
    ids=repr,
)
def test_anything_that_is_not_plain_is_refused_before_a_file_exists(tmp_path, value):
    with pytest.raises(TypeError, match=r"stats\['deep'\]\[0\]"):
        save_result(tmp_path, "quickstart", 0, {}, {"deep": [value]}, WHEN)
    assert visible(tmp_path) == []


# -------------------- hostile, damaged


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


# -------------------- atomic, and names


@pytest.mark.parametrize("failing_call", [1, 2])
def test_nothing_is_left_when_the_last_step_fails(tmp_path, monkeypatch, failing_call):
    real, calls = Path.replace, []

    def replace(self, target):
        calls.append(target)
        if len(calls) == failing_call:
            raise OSError(28, "No space left on device")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(UserError, match="No space left"):
        save_result(tmp_path, "quickstart", 0, *example(), WHEN)
    assert visible(tmp_path) == []


def test_nothing_is_left_when_interrupted(tmp_path, monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_result(tmp_path, "quickstart", 0, *example(), WHEN)
    assert visible(tmp_path) == []


def test_a_killed_writer_leaves_nothing_visible(tmp_path):
    code = """
import os, signal, sys
from datetime import datetime
from pathlib import Path
from cl_sparse import results
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
results.save_result(Path(sys.argv[1]), "quickstart", 0, {}, {}, datetime(2026, 11, 21))
"""
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == -9
    assert find_results(tmp_path) == []
    assert all(name.startswith(".") for name in visible(tmp_path))
    path = save_result(tmp_path, "quickstart", 0, {}, {}, datetime(2026, 11, 21))
    assert find_results(tmp_path) == [path]


def test_a_result_is_never_overwritten(tmp_path):
    paths = [save_result(tmp_path, "quickstart", 0, {"i": i}, {}, WHEN) for i in range(3)]
    assert len(set(paths)) == 3
    assert [load_result(path)[0]["i"] for path in paths] == [0, 1, 2]
    assert find_results(tmp_path) == paths
    paths[0].unlink()  # its JSON still stands
    assert save_result(tmp_path, "quickstart", 0, {"i": 3}, {}, WHEN) not in paths[:1]


def test_results_are_found_by_name_and_in_order_of_seeds(tmp_path):
    for name in ("MLP", "MLP_Sparse"):
        for seed in (10, 2):
            save_result(tmp_path, name, seed, {}, {}, WHEN)
    (tmp_path / "notes.json").write_text("{}")
    (tmp_path / "folder").mkdir()
    assert [parse_file_name(path).seed for path in find_results(tmp_path, "MLP")] == [2, 10]
    assert len(find_results(tmp_path)) == 4
    alone = find_results(tmp_path, "MLP")[0]
    alone.unlink()
    assert find_results(tmp_path, "MLP")[0] == alone.with_suffix(".json")
    with pytest.raises(UserError, match="no such directory"):
        find_results(tmp_path / "none")


@given(st.text())
def test_every_name_becomes_a_valid_file_name(name):
    safe = file_name_of(name)
    assert 0 < len(safe) <= 100
    assert all(c.isascii() and (c.isalnum() or c in "._-") for c in safe)
    assert safe[0] not in ".-"
    assert parse_file_name(Path(f"{safe}_20261121T064500-123_seed-1.pkl")) == (safe, "20261121T064500-123", -1, 0)


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("MLP_1LayerSparse", "MLP_1LayerSparse"),
        ("../../etc/passwd", "etc-passwd"),
        ("a:b\\c*d?", "a-b-c-d-"),
        ("con", "_con"),
        ("LPT1.x", "_LPT1.x"),
        ("", "experiment"),
        ("...", "experiment"),
    ],
)
def test_names(name, safe):
    assert file_name_of(name) == safe


def test_long_names_stay_apart():
    a, b = file_name_of("x" * 300), file_name_of("x" * 299)
    assert a != b
    assert len(a) == len(b) == 100


def test_a_directory_that_cannot_be_written_is_a_user_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"results directory .*file: cannot write"):
        prepare_results_dir(tmp_path / "file")
    with pytest.raises(UserError, match="cannot write"):
        save_result(tmp_path / "file" / "below", "quickstart", 0, {}, {}, WHEN)
    assert prepare_results_dir(tmp_path / "a" / "b").is_dir()
    assert visible(tmp_path / "a" / "b") == []


def test_write_atomically_keeps_the_old_file_when_it_fails(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, b"old")
    write_atomically(path, b"new")

    def fail(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"newer")
    assert path.read_bytes() == b"new"
    assert visible(tmp_path) == ["file"]
