"""Tables and figures of a study: against a slow reference, with failed runs, and in a document."""

import numpy as np
import pytest
import yaml

from cl_sparse.errors import UserError
from cl_sparse.report.__main__ import main
from cl_sparse.report.settings import recorded, setting
from cl_sparse.report.study import Part, interval, study_table
from cl_sparse.results import save_result
from tests.result_examples import WHEN, finished

RULE = "plugins.dynamic_connectivity.drop"
GRID = {
    "experiments": ["Mixed*"],
    "where": {"plugins.dynamic_connectivity.grow": "random"},
    "numbers": {"best epoch": "per_epoch.test_accuracy.best", "last epoch": "per_epoch.test_accuracy.last"},
    "rows": f"{RULE}.coactivation",
    "columns": f"{RULE}.signed_magnitude",
    "published": {"best epoch": {0: {0: 0.976, 0.2: 0.981}, 1: {0.2: 0.9}}},
}


def run(tau, zeta, seed, curve, grow="random", stopped=None, **config):
    plugin = {"name": "dynamic_connectivity", "drop": {"coactivation": tau, "signed_magnitude": zeta}, "grow": grow}
    config = {"plugins": [{"name": "per_epoch"}, plugin], **config}
    return finished(
        "MixedHeb", seed, accs=[[curve[-1]]], config=config, per_epoch={"test_accuracy": curve}, stopped=stopped
    )


def some():
    for tau, zeta in ((0, 0), (0, 0.2), (0.4, 0)):
        for seed in range(3):
            yield run(tau, zeta, seed, np.array([0.5, 0.9 + 0.01 * seed, 0.8 + tau / 10]))
            yield run(tau, zeta, seed, np.array([0.1, 0.7, 0.6 + 0.1 * tau * seed]), grow="coactivation")
    yield run(0.4, 0.2, 0, np.array([0.5, 0.6, 0.7]))
    yield run(0.4, 0.2, 1, np.array([0.5]), stopped="the loss is nan")


def test_a_pivot_table_holds_each_number_beside_the_published_one():
    lines = study_table(some(), Part.model_validate(GRID)).splitlines()
    best, last = lines[:7], lines[8:]
    assert best == [
        "| coactivation \\ signed_magnitude | 0 | 0.2 |",
        "| --: | --: | --: |",
        "| 0 | .910 ± .010 [.976] | .910 ± .010 [.981] |",
        "| 0.4 | .910 ± .010 | .700 (1 failed) |",
        "| 1 | – | – [.900] |",
        "",
        "best epoch: mean ± standard deviation over the seeds, 10 runs, 1 failed. In brackets: published.",
    ]
    assert last[2:5] == ["| 0 | .800 ± .000 | .800 ± .000 |", "| 0.4 | .840 ± .000 | .700 (1 failed) |", ""]
    assert last[5] == "last epoch: mean ± standard deviation over the seeds, 10 runs, 1 failed."


def test_what_has_not_been_run_is_no_table():
    best, last = study_table([], Part.model_validate(GRID)).split("\n\nbest epoch: ")
    assert best.splitlines()[-1] == "| 1 | – | – [.900] |"
    assert last.splitlines()[1:] == ["", "last epoch: not run."]


def test_results_of_different_settings_are_not_averaged():
    part = Part.model_validate({**GRID, "where": {}})
    with pytest.raises(UserError, match="results that differ in plugins would be averaged: say which under where"):
        study_table(some(), part)
    missing = Part.model_validate({**GRID, "numbers": {"x": "per_epoch.nothing.best"}, "published": {}})
    with pytest.raises(UserError, match=r"a result has no number per_epoch\.nothing\.best"):
        study_table(some(), missing)


def test_differences_are_paired_by_seed():
    part = Part.model_validate(
        {
            "experiments": ["MixedHeb"],
            "where": {f"{RULE}.signed_magnitude": 0},
            "numbers": {"last epoch": "per_epoch.test_accuracy.last"},
            "rows": f"{RULE}.coactivation",
            "compare": "plugins.dynamic_connectivity.grow",
            "values": ["random", "coactivation"],
        }
    )
    text = study_table(some(), part)
    low, high = interval([0.6 - 0.84, 0.64 - 0.84, 0.68 - 0.84])
    assert "| 0 | last epoch | .800 ± .000 | .600 ± .000 | -.200 | -.200 to -.200 | below | 3 |" in text
    expected = f"| 0.4 | last epoch | .840 ± .000 | .640 ± .040 | -.200 | -{-low:.3f} to -{-high:.3f} | below | 3 |"
    assert expected.replace("-0.", "-.") in text
    assert "grow: coactivation minus random at the same seeds" in text


def test_the_interval_is_the_bootstrap_s():
    rng = np.random.default_rng(1)
    differences = rng.normal(0.01, 0.02, 10)
    low, high = interval(list(differences))
    means = np.sort(rng.choice(differences, (20000, 10)).mean(1))
    assert (low, high) == pytest.approx((means[500], means[-500]), abs=1e-3)
    assert interval([0.1, 0.1]) == pytest.approx((0.1, 0.1))
    assert np.isnan(interval([0.1])).all()


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    curves = {
        "experiments": ["MixedHeb"],
        "where": {**GRID["where"], f"{RULE}.coactivation": 0},
        "numbers": {"test accuracy": "per_epoch.test_accuracy"},
        "lines": f"{RULE}.signed_magnitude",
    }
    later = {**curves, "experiments": ["not run yet"]}
    parts = {"grid": GRID, "curves": curves, "later": later, "odd": {"experiments": ["x"]}}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(parts))
    paths = [str(save_result(tmp_path / "results", "m", i, *one, WHEN)) for i, one in enumerate(some())]
    assert main(["--publish", *paths]) == 0
    return tmp_path


def page(project, *parts):
    blocks = (f"<!-- results:begin study {part} -->\n<!-- results:end -->\n" for part in parts)
    path = project / "page.md"
    path.write_text("\n".join(blocks))
    return str(path)


def test_a_document_holds_parts_of_a_study(project):
    path = page(project, "study.yaml grid", "study.yaml curves", "study.yaml later")
    assert main(["--check", path]) == 1
    assert main([path]) == 0
    assert main(["--check", path]) == 0
    text = (project / "page.md").read_text()
    assert ".910 ± .010 [.976]" in text
    assert text.count(".png") == 1
    assert "![test accuracy over epochs](docs/figures/study_curves.png)" in text
    assert (project / "docs" / "figures" / "study_curves.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("study.yaml grd", "study.yaml: no part 'grd', did you mean grid?"),
        ("study.yaml", "goes on with a file and the name of one of its parts"),
        ("none.yaml grid", "none.yaml"),
        ("study.yaml odd", "study.yaml: odd.numbers: is missing"),
    ],
)
def test_what_cannot_be_is_one_line(project, capsys, part, said):
    assert main([page(project, part)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"images": "lr"}, "or lines, or images, or points are needed"),
        ({"lines": "lr"}, "rows and columns, or compare"),
        ({"columns": None}, "rows and columns, or compare"),
        ({"columns": None, "compare": "lr", "values": [1]}, "values: two of lr are needed"),
        ({"published": {"x": {}}}, "published: x is none of the numbers"),
    ],
)
def test_a_part_is_of_one_kind(changes, said):
    with pytest.raises(ValueError, match=said):
        Part.model_validate({**GRID, **changes})


def test_names_of_settings_and_numbers():
    config, stats = run(0.4, 0.2, 0, np.array([0.5, 0.9, 0.7]), stream={"step": 1.5})
    assert setting(config, f"{RULE}.coactivation") == 0.4
    assert setting(config, "plugins.per_epoch.noise") == 0.0
    assert setting(config, "stream.step") == 1.5
    assert setting(config, "lr") == 0.1
    assert setting(config, "plugins.replay.mem_size") is None
    assert setting(config, "plugins.per_epoch.noise.x") is None
    numbers = [recorded(stats, f"per_epoch.test_accuracy.{word}") for word in ("best", "lowest", "last", "0", "-2")]
    assert numbers == [0.9, 0.5, 0.7, 0.5, 0.9]
    table = {"a": [[1.0, 2.0], [3.0, 5.0]]}
    assert recorded(table, "a.-1.mean") == 4
    assert list(recorded(table, "a.columns.1")) == [2, 5]
    assert list(recorded(table, "a.columns.1 / a.columns.0")) == [2, 5 / 3]
    assert recorded(table, "a.0.0 / a.1.1") == 0.2
    for path in ("x", "per_epoch.test_accuracy.7", "per_epoch.test_accuracy.x", "seed.0", "seed / x"):
        with pytest.raises(KeyError):
            recorded(stats, path)
