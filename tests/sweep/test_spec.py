"""A sweep's file: what it may say, and one line on whatever is wrong, before anything is made."""

import pytest

from cl_sparse.cli import main
from tests.sweep.sweeps import GRID, TUNED, loaded, write


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_a_file_says(folder):
    sweep = loaded(folder, TUNED)
    assert (sweep.name, sweep.file, sweep.search) == ("s", "s.yaml", "grid")
    assert (sweep.points_wanted, sweep.point_seeds) == (2, [100, 101])
    assert list(sweep.space_of("quickstart_dense")) == ["lr"]


def changed(base, **changes):
    return {key: value for key, value in {**base, **changes}.items() if value is not ...}


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (changed(GRID, experiments=...), "s.yaml: experiments: is missing"),
        (changed(GRID, experiments=["quickstart_danse"]), "s.yaml: experiments: unknown experiment 'quickstart_danse'"),
        (changed(GRID, seed=[1]), "s.yaml: seed: unknown key, did you mean seeds or select?"),
        (changed(GRID, name="x"), "s.yaml: name: unknown key"),
        (changed(GRID, seeds=...), "s.yaml: seeds are missing: a list, for example [0, 1, 2]; or select and report"),
        (changed(GRID, seeds=3), "s.yaml: seeds: 3 is a whole number: a list is needed"),
        (changed(GRID, seeds=[1, 1]), "s.yaml: seeds: a seed is there twice"),
        (
            changed(TUNED, select={"seeds": [100, 101], "trials": 2, "finalists": 2}),
            "s.yaml: select: finalists must be fewer than the 2 trials, or left out, not 2",
        ),
        (
            changed(TUNED, select={"seeds": [100], "trials": 2, "finalists": 1}),
            "s.yaml: select: finalists run with the seeds after the first, and there is one seed only",
        ),
        (changed(GRID, set={"lrr": 1}), "s.yaml: set.lrr: unknown parameter, did you mean lr?"),
        (changed(GRID, space={"lr": [0.1, -1]}), "s.yaml: space.lr: -1 is out of range: "),
        (changed(GRID, space={"lr": 0.1}), "s.yaml: space.lr: "),
        (
            changed(GRID, space={"lr": {"low": 0.1, "high": 1.0}}),
            "s.yaml: space.lr: a range has no end of",
        ),
        (
            changed(GRID, space={"plugins.replai.mem_size": [1]}),
            "s.yaml: space.plugins.replai.mem_size: unknown plugin 'replai', did you mean replay?",
        ),
        (
            changed(GRID, space={"plugins.replay.name": ["dumb"]}),
            "s.yaml: space.plugins.replay.name: is no argument: the plugin's name, replay, stands in the key",
        ),
        (
            changed(GRID, space={"num_tasks": [2]}),
            "s.yaml: space.num_tasks: unknown parameter, did you mean num_batch?",
        ),
        (
            changed(GRID, space={"lr": {"choose": [0.1], "when": {"lrr": 1}}}),
            "s.yaml: quickstart_dense: when lrr: neither an earlier parameter of the space nor one of the experiment",
        ),
        (changed(GRID, spaces={"cnn": {}}), "s.yaml: spaces.cnn: is none of the sweep's experiments: quickstart_dense"),
        (changed(GRID, search="random"), "s.yaml: trials are missing: how many points search random takes"),
        (
            changed(GRID, search="random", trials=9),
            "s.yaml: quickstart_dense: its space seems to have 4 points only, and trials are 9",
        ),
        (changed(GRID, search="optuna"), "s.yaml: search optuna needs select and report: without, it would choose on"),
        (changed(TUNED, report=...), "s.yaml: select and report go together"),
        (changed(TUNED, report={"seeds": [101, 1]}), "s.yaml: select.seeds and report.seeds share 101: choose on"),
        (
            changed(TUNED, experiments=["plain", "plain_tuned"]),
            "s.yaml: experiments: plain_tuned is what the best of plain goes by: leave one out",
        ),
        (changed(TUNED, seeds=[1]), "s.yaml: seeds and trials stand in select and report"),
        (
            changed(TUNED, select={"seeds": [7], "trials": 3}),
            "s.yaml: quickstart_dense: its grid has 2 points, and trials are 3, the same for every experiment",
        ),
        (
            changed(TUNED, space=..., spaces={"split_digits": {"lr": [0.02, 0.1]}}),
            "s.yaml: quickstart_dense: it has no space, and trials are 2, the same for every experiment",
        ),
        (
            changed(TUNED, select={"seeds": [7], "trials": 2, "split": "test"}),
            "s.yaml: select.split: 'test' is not one of 'validation'",
        ),
        (changed(TUNED, set={"stream_seed": 1}), "s.yaml: set.stream_seed: 1: selection and report would share"),
    ],
)
def test_one_line_on_what_is_wrong(folder, capsys, content, line):
    path = write(folder, content)
    before = sorted(folder.rglob("*"))
    assert main(["sweep", str(path)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"error: {line}")
    assert said.err.count("\n") == 1
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["sweep"], "sweep: FILE is missing: a sweep's YAML file, or --status DIR"),
        (["sweep", "absent.yaml"], "absent.yaml: cannot be read: No such file or directory"),
        (
            ["sweep", "--status", "absent"],
            "absent/manifest.jsonl: cannot be read (No such file or directory): is ",
        ),
        (["sweep", "s.yaml", "--status", "absent"], "--status: goes without FILE"),
        (["sweep", "s.yaml", "--max-hours", "0"], "--max-hours: 0 is out of range: above 0, at most 10000"),
        (["sweep", "s.yaml", "--max-hours", "nan"], "--max-hours: nan is out of range"),
        (["sweep", "s.yaml", "--resume"], "unknown argument '--resume'"),
        (["sweep", "s.yaml", "--results-dir", "s.yaml"], "--results-dir s.yaml: "),
    ],
)
def test_options(folder, capsys, words, line):
    write(folder, GRID)
    assert main(words) == 2
    assert capsys.readouterr().err.startswith(f"error: {line}")
    assert not (folder / "results").exists()
