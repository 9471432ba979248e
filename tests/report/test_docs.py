from datetime import datetime
from pathlib import Path

import pytest

from cl_sparse.report.__main__ import main
from cl_sparse.report.published import load_published, published_table
from cl_sparse.results import load_result, save_result

WHEN = datetime(2026, 11, 21)
ROOT = Path(__file__).resolve().parents[2]
NUMBERS = """
source: a paper
experiments:
  dense: {acc: 0.657, runs: 1, rerun: 0.621, settings: {train_ep: 2, train_subset: null}}
  sparse: {acc: 0.866, runs: 3}
"""


@pytest.fixture
def project(tmp_path, monkeypatch, result):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "published_numbers.yaml").write_text(NUMBERS)
    for seed in range(3):
        path = save_result(tmp_path / "results", "dense", seed, *result("dense", seed), WHEN)
        assert main(["--publish", str(path)]) == 0
    return tmp_path


def document(project, *parts, name="README.md"):
    blocks = (f"<!-- results:begin {part} -->\nold\n<!-- results:end -->\n\nbetween\n" for part in parts)
    path = project / name
    path.write_text("# Title\n\n" + "".join(blocks))
    return path


def test_published_results_are_json_without_their_bulk(project):
    paths = sorted((project / "results" / "published").iterdir())
    assert len(paths) == 3
    assert {path.suffix for path in paths} == {".json"}
    _, stats = load_result(paths[0])
    _, whole = load_result(project / "results" / f"{paths[0].stem}.pkl")
    assert set(whole) - set(stats) == {"unit_use", "on_idxs"}
    assert (stats["accs"] == whole["accs"]).all()


def test_a_document_is_rewritten_once_and_then_current(project, capsys):
    path = document(project, "all", "published", "figure dense")
    assert main(["--check", str(path)]) == 1
    assert "stale" in capsys.readouterr().err
    assert "old" in path.read_text()
    assert main([str(path)]) == 0
    assert main(["--check", str(path)]) == 0
    text = path.read_text()
    assert "old" not in text
    assert text.count("between") == 3
    assert text.startswith("# Title\n")
    assert "| dense | PermutedMNIST |" in text
    assert "![Mean accuracy on the tasks so far](docs/figures/dense.png)" in text
    assert main([str(path)]) == 0
    assert path.read_text() == text


def test_a_figure_against_a_quantity_is_drawn(project):
    path = document(project, "against bytes den* none", name="docs/results.md")
    assert main(["--check", str(path)]) == 1
    assert not (project / "docs" / "figures").exists()
    assert main([str(path)]) == 0
    assert "![Accuracy against bytes](figures/bytes_den_none.png)" in path.read_text()
    assert main(["--check", str(path)]) == 0


def test_sizes_and_a_figure_of_them_are_parts(project):
    path = document(project, "sizes dense", "synapses dense", name="docs/results.md")
    assert main([str(path)]) == 0
    assert "| experiment | ACC |" in path.read_text()
    assert "![Live synapses after each task](figures/synapses_dense.png)" in path.read_text()
    assert main(["--check", str(path)]) == 0


def test_a_missing_figure_is_stale(project):
    path = document(project, "figure", name="docs/results.md")
    assert main([str(path)]) == 0
    assert "(figures/all.png)" in path.read_text()
    (project / "docs" / "figures" / "all.png").unlink()
    assert main(["--check", str(path)]) == 1


def test_a_new_result_makes_a_document_stale(project, result):
    path = document(project, "all")
    main([str(path)])
    save_result(project / "results" / "published", "sparse", 0, *result("sparse"), WHEN)
    assert main(["--check", str(path)]) == 1


def test_patterns_choose_experiments(project, result):
    save_result(project / "results" / "published", "other", 0, *result("other"), WHEN)
    path = document(project, "all oth* none")
    main([str(path)])
    assert "| other |" in path.read_text()
    assert "| dense |" not in path.read_text()


def test_a_document_without_parts_needs_no_results(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.md").write_text("plain")
    assert main(["--check", "a.md"]) == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<!-- results:begin all -->\n", "has no <!-- results:end -->"),
        ("<!-- results:begin all -->\n<!-- results:begin all -->\n<!-- results:end -->\n", "of its own"),
        (
            "<!-- results:begin nonsense -->\n<!-- results:end -->\n",
            "unknown part: use published, tuned, all, capacity, noise, compressed, sizes, differences, figure, "
            "synapses, study, against",
        ),
        (
            "<!-- results:begin against -->\n<!-- results:end -->\n",
            "goes on with bytes or synapses or winners, then patterns",
        ),
        ("<!-- results:begin against size x -->\n<!-- results:end -->\n", "goes on with bytes or synapses or winners"),
        ("<!-- results:begin against bytes -->\n<!-- results:end -->\n", "then patterns of experiments"),
    ],
)
def test_a_broken_document_is_left_alone(project, capsys, text, message):
    path = project / "README.md"
    path.write_text(text)
    assert main([str(path)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert path.read_text() == text


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("docs/published_numbers.yaml", "experiments: {}", "source: Field required"),
        ("docs/published_numbers.yaml", "source: x\nexperiments: {a: {acc: 2, runs: 1}}", r"experiments.a.acc"),
        ("docs/published_numbers.yaml", "a: [", "not YAML"),
        ("docs/published_numbers.yaml", "!!python/object:os.system x", "not YAML"),
        ("docs/published_numbers.yaml", "source: !!int x", "not YAML"),
        ("docs/published_numbers.yaml", f"source: {'9' * 5000}", "not YAML"),
        ("docs/published_numbers.yaml", "[" * 5000, "not YAML"),
        ("results/published/x_20261121T000000-000_seed9.json", "{", "not a result"),
    ],
)
def test_a_broken_source_is_one_line(project, capsys, name, content, message):
    (project / name).write_text(content)
    path = document(project, "published")
    assert main([str(path)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert Path(name).name in error
    assert error.count("\n") == 1


def test_absent_files_are_one_line(project, capsys):
    assert main(["none.md"]) == 2
    assert main(["--publish", "none.pkl"]) == 2
    assert main([str(document(project, "published")), "--numbers", "none.yaml"]) == 2
    assert capsys.readouterr().err.count("cannot be read") == 3


def test_ours_stands_beside_published(project, result):
    numbers = load_published(project / "docs" / "published_numbers.yaml")
    runs = [result("dense", seed, accs=[[0.6 + 0.1 * seed]], config={"train_subset": None}) for seed in range(3)]
    lines = published_table(runs, numbers).splitlines()
    assert lines[2] == (
        "| dense | domain, single, none/none | .700 ± .100 | 3 | .657 (1 run; re-run .621) | +.043 | 318k | 2 | 121 |"
    )
    assert lines[3] == "| sparse | – | – | – | .866 (3 runs) | – | – | – | – |"
    assert lines[5] == "ours: mean ± standard deviation over the seeds. Published: a paper."


def test_other_settings_than_the_published_ones_are_said(project, result):
    numbers = load_published(project / "docs" / "published_numbers.yaml")
    text = published_table([result("dense", config={"train_ep": 1, "train_subset": 500})], numbers)
    assert "| dense [1] |" in text
    assert "[1] dense was run here with train_ep 1 (published: 2), train_subset 500 (published: None)" in text


def test_the_shipped_numbers_load_and_name_known_parameters():
    numbers = load_published(ROOT / "docs" / "published_numbers.yaml")
    assert numbers.experiments["MLP_1LayerSparse"].acc == 0.866
    assert set(numbers.experiments) == {
        "MLP_1Layer",
        "MLP_1LayerSparse",
        "MLP_2Layers",
        "MLP_2LayersSparse",
        "CNN",
        "CNNSparse",
    }
    from cl_sparse.config import ExperimentConfig

    for number in numbers.experiments.values():
        assert set(number.settings) <= set(ExperimentConfig.model_fields)
