import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from cl_sparse.results import (
    json_text,
    load_result,
    save_result,
)
from cl_sparse.results.plain import plain, unpickle
from tests.result_examples import WHEN, example, same, visible


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
