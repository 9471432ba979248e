"""Packs: thousands of results in a file per experiment, read like single files, and nothing lost on the way."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cl_sparse.cli import main
from cl_sparse.errors import UserError
from cl_sparse.results import find_results, load_result, pack_results, save_result
from tests.commands import Failing
from tests.result_examples import WHEN, example, same, visible

QUICK = ["--set", "train_ep=1", "train_subset=100", "test_subset=50", "num_batch=2", "hidden_units=50"]


def save(folder: Path, *seeds: int, name: str = "net") -> None:
    for seed in seeds:
        config, stats = example()
        save_result(folder, name, seed, {**config, "name": name}, {**stats, "seed": seed}, WHEN)


def test_a_pack_gives_back_what_the_files_did(tmp_path):
    save(tmp_path, 0, 1)
    save(tmp_path, 0, name="other+net")
    before = {path.stem: load_result(path) for path in find_results(tmp_path)}
    assert {path.name: n for path, n in pack_results(tmp_path).items()} == {
        "net.results.jsonl": 2,
        "other-net.results.jsonl": 1,
    }
    assert visible(tmp_path) == ["net.results.jsonl", "other-net.results.jsonl"]
    after = {path.stem: load_result(path) for path in find_results(tmp_path)}
    assert list(after) == list(before)
    assert all(same(list(after[stem]), list(before[stem])) for stem in before)
    assert [path.stem for path in find_results(tmp_path, "net")] == [stem for stem in before if stem.startswith("net")]
    assert pack_results(tmp_path) == {}


def test_the_same_results_make_the_same_bytes_and_what_is_added_comes_last(tmp_path):
    save(tmp_path / "a", 0, 1, 2)
    save(tmp_path / "b", 1, 0)
    pack_results(tmp_path / "a")
    pack_results(tmp_path / "b")
    first = (tmp_path / "b" / "net.results.jsonl").read_bytes()
    save(tmp_path / "b", 2)
    pack_results(tmp_path / "b")
    whole = (tmp_path / "b" / "net.results.jsonl").read_bytes()
    assert whole == (tmp_path / "a" / "net.results.jsonl").read_bytes()
    assert whole.startswith(first)
    assert whole.count(b"\n") == 3


def test_pandas_reads_it(tmp_path):
    pandas = pytest.importorskip("pandas")
    save(tmp_path, 0, 1)
    pack_results(tmp_path)
    frame = pandas.read_json(tmp_path / "net.results.jsonl", lines=True)
    assert [stats["seed"] for stats in frame["stats"]] == [0, 1]


def test_nothing_is_removed_before_the_pack_is_whole(tmp_path, monkeypatch):
    save(tmp_path, 0)
    before = visible(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", Failing(os.fsync, "*.results.jsonl*"))
        with pytest.raises(UserError, match=r"cannot pack net\.results\.jsonl \(No space left on device\)"):
            pack_results(tmp_path)
    assert visible(tmp_path) == before
    with monkeypatch.context() as patch:  # killed after the pack is written
        patch.setattr(Path, "unlink", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            pack_results(tmp_path)
    assert len(find_results(tmp_path)) == 1
    pack_results(tmp_path)
    assert visible(tmp_path) == ["net.results.jsonl"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[:-20],
        lambda data: data + b"x\n",
        lambda data: data + data,
        lambda data: data.replace(b'"file": "net', b'"file": "../net'),
        lambda data: b"\x00" * 100,
    ],
)
def test_a_damaged_pack_is_one_line(tmp_path, spoil):
    save(tmp_path, 0)
    pack_results(tmp_path)
    pack = tmp_path / "net.results.jsonl"
    pack.write_bytes(spoil(pack.read_bytes()))
    with pytest.raises(UserError, match=r"net\.results\.jsonl:\d: is no line of packed results"):
        find_results(tmp_path)


def test_what_a_line_holds_is_not_trusted(tmp_path):
    save(tmp_path, 0)
    pack_results(tmp_path)
    (path,) = find_results(tmp_path)
    pack = tmp_path / "net.results.jsonl"
    pack.write_bytes(pack.read_bytes().replace(b'"config": {', b'"config": [{').replace(b"}, ", b"}], ", 1))
    with pytest.raises(UserError, match=r"seed0\.json: not a result"):
        load_result(path)
    with pytest.raises(UserError, match="there is no such result"):
        load_result(pack / "other.json")
    with pytest.raises(UserError, match="cannot be read"):
        load_result(tmp_path / "absent.results.jsonl" / "a.json")


def test_packed_results_are_finished_runs_and_rows_of_tables(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = ["run", "--name", "quickstart_dense", *QUICK, "--resume", "--seeds"]
    assert main([*command, "2"]) == 0
    assert main(["pack", "results"]) == 0
    assert "results/quickstart_dense.results.jsonl: 2 results" in capsys.readouterr().out
    assert main([*command, "3"]) == 0
    out = capsys.readouterr().out
    assert out.count("finished earlier") == 2
    assert "over 3 seeds" in out
    assert main(["pack", "results"]) == 0
    assert len(find_results(tmp_path / "results")) == 3
    assert main(["pack", "results"]) == 0
    assert "nothing to pack" in capsys.readouterr().out
    assert main(["pack", "absent"]) == 2


@pytest.mark.parametrize("stem", ["my exp", "é", "x" * 190])
def test_a_name_that_a_pack_cannot_hold_is_refused_and_kept(tmp_path, stem):
    path = save_result(tmp_path, "net", 0, *example(), WHEN).with_suffix(".json")
    path.with_suffix(".pkl").unlink()
    path = path.rename(tmp_path / f"{stem}_20261121T064500-123_seed0.json")
    with pytest.raises(UserError, match="a pack takes names of at most 200 letters"):
        pack_results(tmp_path)
    assert path.exists()
    assert not list(tmp_path.glob("*.jsonl"))


def test_two_that_pack_one_folder_lose_nothing(tmp_path):
    for seed in range(8):
        save_result(tmp_path, "net", seed, *example(), WHEN)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: pack_results(tmp_path), range(8)))
    assert len(find_results(tmp_path)) == 8


def test_a_pack_itself_is_no_result(tmp_path):
    save(tmp_path, 0, 1)
    (pack,) = pack_results(tmp_path)
    with pytest.raises(UserError, match="holds several results: find_results"):
        load_result(pack)
