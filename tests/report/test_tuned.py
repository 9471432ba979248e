"""Tables of methods tuned alike, and verdicts on published numbers."""

from datetime import datetime

import pytest

from cl_sparse.errors import UserError
from cl_sparse.report.__main__ import main
from cl_sparse.report.published import load_published, published_table
from cl_sparse.report.tuned import tuned_table
from cl_sparse.results import load_complete_result, save_result

SWEEP = """
experiments: [mine_*]
space: {lr: {low: 0.01, high: 1, log: true}}
spaces: {mine_sparse: {plugins.replay.mem_size: [10, 20], dropout: {choose: [0.0, 0.5], when: {lr: [1]}}}}
search: random
select: {seeds: [100, 101], trials: 3}
report: {seeds: [0, 1]}
"""


@pytest.fixture
def results(tmp_path, result):
    found = []
    for name, plugins in (("mine_dense", []), ("mine_sparse", [{"name": "replay", "mem_size": 20}]), ("other", [])):
        for seed in range(2):
            config, stats = result(name, seed)
            config = {**config, "lr": 0.123456, "dropout": 0.5, "plugins": plugins}
            stats = {**stats, "accs": stats["accs"] * (0.5 if name == "mine_dense" else 1)}
            found.append(load_complete_result(save_result(tmp_path, name, seed, config, stats, datetime(2026, 1, 1))))
    return found


def test_what_was_searched_and_chosen_stands_beside_what_was_reached(tmp_path, results):
    path = tmp_path / "s.yaml"
    path.write_text(SWEEP)
    head, _, first, second, _, caption = tuned_table(results, path).split("\n")[:6]
    assert head.startswith("| method | task info train/test | ACC | BWT |")
    assert first.startswith("| sparse |")
    assert second.startswith("| dense |")
    assert first.endswith(
        "| lr 0.1235, mem_size 20, dropout 0.5 | lr 0.01 to 1 (log), mem_size 10 / 20, dropout 0.0 / 0.5 |"
    )
    assert second.endswith("| lr 0.1235 | lr 0.01 to 1 (log) |")
    assert "3 points (random search) × seeds 100, 101" in caption


def test_it_is_part_of_a_document(tmp_path, results, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.yaml").write_text(SWEEP)
    (tmp_path / "results" / "published").mkdir(parents=True)
    for path in tmp_path.glob("mine_*.json"):
        path.rename(tmp_path / "results" / "published" / path.name)
    document = tmp_path / "a.md"
    document.write_text("<!-- results:begin tuned s.yaml -->\n<!-- results:end -->\n")
    assert main([str(document)]) == 0
    assert "| sparse |" in document.read_text()
    assert main(["--check", str(document)]) == 0
    document.write_text("<!-- results:begin tuned gone.yaml -->\n<!-- results:end -->\n")
    assert main([str(document)]) == 2


def test_a_sweep_that_chooses_nothing_is_refused(tmp_path, results):
    path = tmp_path / "s.yaml"
    path.write_text("experiments: [a]\nseeds: [0]\n")
    with pytest.raises(UserError, match="not a sweep that chooses"):
        tuned_table(results, path)


def test_verdicts(tmp_path, results):
    acc = results[0][1]["accs"][-1].mean()
    path = tmp_path / "n.yaml"
    path.write_text(
        "source: papers\ntolerance: 0.02\nexperiments:\n"
        f"  mine_dense: {{acc: {acc + 0.01:.4f}, runs: 1, source: 'X 2020'}}\n"
        f"  mine_sparse: {{acc: {2 * acc - 0.03:.4f}, runs: 1}}\n  other: {{acc: {2 * acc + 0.03:.4f}, runs: 1}}\n"
        "  gone: {acc: 0.5, runs: 1}\n"
    )
    lines = published_table(results, load_published(path)).split("\n")
    assert lines[0].endswith("| verdict | source |")
    assert lines[2].endswith("| reproduced | X 2020 |")
    assert lines[3].endswith("| above | papers |")
    assert lines[4].endswith("| below | papers |")
    assert lines[5].endswith("| not run | papers |")
