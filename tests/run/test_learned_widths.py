"""A net that begins with the widths that another one's has learned."""

import numpy as np
import pytest

from cl_sparse.cli import main
from cl_sparse.config.model import build_config
from cl_sparse.errors import UserError
from cl_sparse.results import find_results, load_result
from cl_sparse.run.learned_widths import with_learned_widths

EXPS = """
both: {group: [copy, small]}
small:
  benchmark: SplitDigits
  num_batch: 1
  scenario: class
  train_ep: 3
  hidden_layers: 2
  hidden_units: 40
  dropout: 0
  optimizer: adam
  lr: 0.01
  weight_decay: 0
  plugins: [{name: sparsified_units, strength: 0.05, filter_lr: 0.1}, {name: neuron_gc}]
copy: {inherits: small, plugins: [], widths_from: small}
longer: {inherits: small, train_ep: 1, mb_size: 16, plugins: [], widths_from: small}
conv: {inherits: small, cnn: true, conv_channels: [6, 7], kernel_size: 3, hidden_layers: 1}
conv_copy: {inherits: conv, plugins: [], widths_from: conv}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "exps").mkdir()
    (tmp_path / "exps" / "mine.yaml").write_text(EXPS)
    return tmp_path


def hidden(folder, name, seed):
    (path,) = [path for path in find_results(folder / "results", name) if f"seed{seed}" in path.name]
    _, stats = load_result(path)
    return [n for layer, n in stats["units"][-1].items() if layer.startswith("features.")]


@pytest.mark.parametrize("jobs", [[], ["--jobs", "2"]])
def test_one_command_trains_both_and_each_seed_has_its_own_widths(folder, jobs):
    assert main(["run", "--name", "both", "--seeds", "2", "--quiet", *jobs]) == 0
    for seed in (0, 1):
        widths = hidden(folder, "small", seed)
        assert hidden(folder, "copy", seed) == widths
        assert max(widths) < 40
    (path, _) = find_results(folder / "results", "copy")
    config, stats = load_result(path)
    assert (config["widths_from"], config["widths"], config["hidden_units"]) == ("small", None, 40)
    assert not np.isnan(stats["accs"]).any()


def test_a_cnn_s_channels_are_taken_too(folder):
    assert main(["run", "--name", "conv", "conv_copy", "--seed", "0", "--quiet"]) == 0
    widths = hidden(folder, "conv", 0)
    assert len(widths) == 3
    assert hidden(folder, "conv_copy", 0) == widths


def test_without_the_other_s_result_nothing_runs(folder, capsys):
    assert main(["run", "--name", "copy", "--seed", "0"]) == 2
    error = capsys.readouterr().err
    assert "copy.widths_from: small has no finished result with seed 0" in error
    assert error.rstrip().endswith("run it first, or name both")
    assert main(["run", "--name", "small", "--seed", "0", "--quiet"]) == 0
    assert main(["run", "--name", "copy", "--seed", "1"]) == 2
    assert main(["run", "--name", "copy", "--seed", "0", "--quiet"]) == 0


def test_what_differs_in_more_than_widths_is_no_control(folder, capsys):
    assert main(["run", "--name", "small", "--seed", "0", "--quiet"]) == 0
    assert main(["run", "--name", "longer", "--seed", "0"]) == 2
    assert "the one there has other values of mb_size" in capsys.readouterr().err


def test_a_sweep_refuses_it(folder, capsys):
    (folder / "s.yaml").write_text("experiments: [copy]\nseeds: [0]\n")
    assert main(["sweep", "s.yaml", "--executor", "local"]) == 2
    assert "copy takes its widths from a result of small, which has many in a sweep" in capsys.readouterr().err


def test_no_experiment_is_changed_that_names_none(folder):
    config = build_config("x", {"benchmark": "SplitDigits"})
    assert with_learned_widths(config, 0, folder / "results") is config
    with pytest.raises(UserError, match="goes without widths"):
        build_config("x", {"benchmark": "SplitDigits", "widths": [3], "widths_from": "y"})
