"""Streams whose targets are numbers: the data, the score in R, and what is refused."""

import re

import numpy as np
import pytest
import torch

from benchmarks import Airfoil, DriftingAdd10
from cl_sparse.cli import main
from cl_sparse.config.model import build_config
from cl_sparse.data.add10 import add10_signal, load_add10
from cl_sparse.errors import UserError
from cl_sparse.plugins.fit import Fit
from cl_sparse.results import find_results, load_complete_result

ADD10 = {
    **{"benchmark": "DriftingAdd10", "num_batch": 3, "loss": "squared", "hidden_units": 60, "dropout": 0.0},
    **{"optimizer": "adam", "lr": 0.01, "weight_decay": 0.0, "mb_size": 50, "train_ep": 15, "scenario": "domain"},
}


def arrays(stream):
    x, y, _ = zip(*(stream.batch(stream.task_ids(task)) for task in range(stream.n_tasks)), strict=True)
    return x, y


def test_the_signal_is_scikit_learns_without_noise():
    x, y = load_add10(200, seed=3, noise=0.0)
    torch.testing.assert_close(add10_signal(x), y, rtol=1e-4, atol=1e-4)


def test_the_function_moves_from_five_inputs_to_the_other_five():
    benchmark = DriftingAdd10(3, samples=500, test_samples=300, noise=0.0, seed=1)
    assert (benchmark.n_outputs, benchmark.input_shape, benchmark.n_tasks) == (1, (10,), 3)
    x, y = arrays(benchmark.tensors["train"])
    raw, _ = zip(*[(inputs, None) for inputs in x], strict=True)
    first = load_add10(500, noise=0.0, seed=_seed(benchmark, 0))[0]
    torch.testing.assert_close(raw[0], (first - first.mean(0)) / first.std(0, correction=0), rtol=1e-4, atol=1e-4)
    inputs = [load_add10(500, noise=0.0, seed=_seed(benchmark, task))[0] for task in range(3)]
    for task, share in enumerate([0.0, 0.5, 1.0]):
        target = (1 - share) * add10_signal(inputs[task]) + share * add10_signal(inputs[task].flip(1))
        stored = y[task] * benchmark.settings["target_deviation"] + add10_signal(inputs[0]).mean()
        torch.testing.assert_close(stored, target, rtol=1e-3, atol=1e-3)
    assert not torch.equal(x[0], x[1])
    np.testing.assert_allclose(benchmark.settings["target_variances"][0], 1.0, atol=0.25)


def test_seeds_draw_other_data_of_one_data_set():
    one, other = DriftingAdd10(2, samples=50, seed=0), DriftingAdd10(2, samples=50, seed=1)
    assert one.fingerprint == other.fingerprint
    assert not torch.equal(one.tensors["train"].x, other.tensors["train"].x)


def _seed(benchmark, task):
    from cl_sparse.seeding import derive_seed

    return derive_seed(benchmark.seed, "add10 train", task) % 2**32


def test_r2_is_that_of_numpy():
    rng = np.random.default_rng(0)
    y, guess = rng.normal(3, 2, 100), rng.normal(3, 2, 100)
    fit = Fit()
    assert np.isnan(fit.r2())
    for part in np.array_split(np.arange(100), 7):
        fit.add(torch.tensor(guess[part]), torch.tensor(y[part]))
    assert fit.r2() == pytest.approx(1 - ((y - guess) ** 2).sum() / ((y - y.mean()) ** 2).sum())


def test_a_run_learns_and_its_matrix_holds_r2(make_run, tmp_path):
    run = make_run(**ADD10, plugins=[{"name": "per_epoch"}], validation=0.1)
    stats = run.run(tmp_path / "c.pt")
    matrix = stats["accs"]
    assert stats["score"] == "r2"
    assert (np.diag(matrix) > 0.8).all()
    assert matrix[2, 0] < 0.3  # other inputs count by then
    x, y = arrays(run.benchmark.tensors["test"])
    with torch.no_grad():
        guess = run.learner.model.eval()(x[2])[:, 0]
    expected = 1 - (y[2] - guess).square().sum() / (y[2] - y[2].mean()).square().sum()
    assert matrix[2, 2] == pytest.approx(float(expected), abs=1e-5)
    assert stats["per_epoch"]["test_accuracy"][-1] == matrix[2, 2]
    assert stats["per_epoch"]["val_accuracy"][-1] == stats["val_accs"][2, 2]
    assert np.isnan(stats["per_epoch"]["test_calibration_error"]).all()


def test_it_resumes_and_every_report_says_r2(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "exps").mkdir()
    lines = [f"  {key}: {value}" for key, value in ADD10.items()]
    grow = "  plugins: [{name: grown_units, units: 5}, {name: sparsified_units}, {name: neuron_gc}]"
    (tmp_path / "exps" / "mine.yaml").write_text("\n".join(["add10:", *lines, grow]))
    assert main(["run", "--name", "add10", "--seeds", "2", "--set", "train_ep=2"]) == 0
    out = capsys.readouterr().out
    assert "ACC, BWT and forgetting are of R², not of accuracies: add10" in out
    assert re.search(r"^add10 .* ± ", out, re.MULTILINE)  # the seeds are one experiment
    _, stats = load_complete_result(find_results(tmp_path / "results")[0])
    assert stats["benchmark"]["target_deviation"] > 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": "cross_entropy"}, "loss: DriftingAdd10 has numbers as targets, no classes: choose squared"),
        ({"scenario": "class"}, "DriftingAdd10 has numbers as targets, no classes: choose domain"),
        ({"strategy": "replay"}, "choose sequential, joint or cumulative"),
        ({"plugins": [{"name": "elastic_weights"}]}, "which elastic_weights needs: leave it out"),
        ({"plugins": [{"name": "sparsified_units", "protect": "important"}]}, "protect: important needs"),
        ({"cnn": True}, "choose false"),
        ({"normalize": "unit"}, "choose standard"),
        ({"dataset": "mnist"}, "DriftingAdd10 always uses data of its own"),
    ],
)
def test_what_is_for_classes_is_refused(change, message):
    with pytest.raises(UserError, match=message):
        build_config("x", {**ADD10, **change})


def test_airfoil_says_where_its_file_belongs(tmp_path):
    with pytest.raises(UserError, match=r"airfoil_self_noise\.dat: not found.*UCI"):
        Airfoil(data_root=tmp_path)
    file = tmp_path / "airfoil" / "airfoil_self_noise.dat"
    file.parent.mkdir()
    for content, said in (
        ("1 2 3\n", "holds 3 columns; six finite numbers a line"),
        ("1 2 .3 4 5 6\n1 2 .1016 4 5 nan\n", "row 2 holds what is no finite number"),
        ("", "is empty"),
    ):
        file.write_text(content)
        with pytest.raises(UserError, match=said):
            Airfoil(data_root=tmp_path)
    rows = np.column_stack([np.random.default_rng(0).uniform(1, 2, (40, 6))])
    np.savetxt(file, rows)
    with pytest.raises(UserError, match=r"0 of 40 rows have a chord of 0\.1016 m"):
        Airfoil(data_root=tmp_path)
    rows[:9, 2] = 0.1016
    np.savetxt(file, rows)
    benchmark = Airfoil(data_root=tmp_path)
    assert benchmark.describe()["samples"] == {"train": [31], "test": [9]}
    with pytest.raises(UserError, match="Airfoil has 1: choose 1"):
        Airfoil(2, data_root=tmp_path)
