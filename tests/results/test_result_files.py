import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_sparse.errors import UserError
from cl_sparse.results import (
    file_name_of,
    find_results,
    load_result,
    parse_file_name,
    prepare_results_dir,
    save_result,
    write_atomically,
)
from tests.result_examples import WHEN, example, visible


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
from cl_sparse.results import files as results
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
