"""What a killed writer leaves is finished or cleared away by the next one; two writers wait for one another."""

import os
import signal
import threading
from contextlib import suppress

import pytest
from filelock import FileLock

from cl_sparse.errors import UserError
from cl_sparse.results import find_results, load_result, save_result, write_atomically, writing
from tests.result_examples import WHEN, example, same

STEM = "quickstart_20261121T064500-123_seed0"


def left_by_a_kill(folder, moved):
    """Leave a result's two files as a process does that is killed after it gave ``moved`` of them their names."""
    path = save_result(folder, "quickstart", 0, *example(), WHEN)
    hidden = folder / ".writing"
    hidden.mkdir()
    for file in (path.with_suffix(".json"), path)[moved:]:
        file.replace(hidden / file.name)


@pytest.mark.parametrize("moved", [0, 1, 2])
def test_both_files_of_a_result_or_none(tmp_path, moved):
    left_by_a_kill(tmp_path, moved)
    write_atomically(tmp_path / "picture.png", b"")
    whole = [f"{STEM}.json", f"{STEM}.pkl"] if moved else []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["picture.png", *whole]
    for path in find_results(tmp_path):
        assert same(list(load_result(path)), list(example()))


def test_what_half_written_pictures_left_is_cleared_away_and_nothing_else(tmp_path):
    (tmp_path / ".writing").mkdir()
    for name in (f".writing/{STEM}.png", ".writing/accuracy.png", ".mine.tmp", f"{STEM}.tmp"):
        (tmp_path / name).touch()
    write_atomically(tmp_path / "picture.png", b"")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".mine.tmp", "picture.png", f"{STEM}.tmp"]


@pytest.mark.parametrize("name", [".writing", ".writing.lock", "picture.png"])
@pytest.mark.parametrize("target", ["file", "folder"])
def test_no_link_in_a_folder_leads_a_writer_out_of_it(tmp_path, name, target):
    (tmp_path / "folder").mkdir()
    for victim in (tmp_path / "file", tmp_path / "folder" / "file"):
        victim.write_bytes(b"mine")
    results = tmp_path / "results"
    results.mkdir()
    (results / name).symlink_to(tmp_path / target)
    with suppress(OSError):
        write_atomically(results / "picture.png", b"new")
    assert (tmp_path / "file").read_bytes() == (tmp_path / "folder" / "file").read_bytes() == b"mine"
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["file"]


def test_a_writer_waits_for_another(tmp_path):
    with FileLock(tmp_path / ".writing.lock"):
        waiting = threading.Thread(target=write_atomically, args=(tmp_path / "file", b"new"))
        waiting.start()
        waiting.join(0.1)
        assert not (tmp_path / "file").exists()
    waiting.join()
    assert (tmp_path / "file").read_bytes() == b"new"


def test_a_folder_that_is_gone_is_not_made_anew(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "gone" / "file", b"new")
    assert list(tmp_path.iterdir()) == []


def test_a_lock_whose_holder_was_killed_holds_nobody_up(tmp_path):
    child = os.fork()
    if child == 0:
        FileLock(tmp_path / ".writing.lock").acquire()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert (tmp_path / ".writing.lock").exists()
    write_atomically(tmp_path / "file", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_writer_that_never_ends_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "_PATIENCE", 0.1)
    with FileLock(tmp_path / ".writing.lock"), pytest.raises(UserError, match="another process has been writing there"):
        save_result(tmp_path, "quickstart", 0, {}, {}, WHEN)
