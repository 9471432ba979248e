"""Seeds of the stream and of the net can be varied apart."""

import numpy as np
import pytest
import torch

from cl_sparse.cli import main

PERMUTED = {"benchmark": "PermutedDigits", "num_batch": 2, "train_ep": 1}


def weights(run):
    return torch.cat([p.detach().flatten() for p in run.learner.model.parameters()])


def permutations(run):
    return run.benchmark.permutations


def test_each_decides_its_own(make_run):
    plain = make_run(seed=1, **PERMUTED)
    net, stream = make_run(seed=1, net_seed=2, **PERMUTED), make_run(seed=1, stream_seed=2, **PERMUTED)
    assert not torch.equal(weights(net), weights(plain))
    assert torch.equal(permutations(net), permutations(plain))
    assert torch.equal(weights(stream), weights(plain))
    assert not torch.equal(permutations(stream), permutations(plain))


def test_a_run_is_decided_by_the_two(make_run, tmp_path):
    one = make_run(seed=7, net_seed=1, stream_seed=2, **PERMUTED).run(tmp_path / "a.pt")
    other = make_run(seed=1, stream_seed=2, **PERMUTED).run(tmp_path / "b.pt")
    np.testing.assert_array_equal(one["accs"], other["accs"])
    assert [(s["seed"], s["stream_seed"], s["net_seed"]) for s in (one, other)] == [(7, 2, 1), (1, 2, 1)]


def test_null_is_the_runs_seed(make_run, tmp_path):
    null, said = make_run(seed=3, **PERMUTED), make_run(seed=3, net_seed=3, stream_seed=3, **PERMUTED)
    one, other = null.run(tmp_path / "a.pt"), said.run(tmp_path / "b.pt")
    np.testing.assert_array_equal(one["accs"], other["accs"])
    assert (one["stream_seed"], one["net_seed"]) == (3, 3)


@pytest.mark.parametrize("seeds", [["--seeds", "2"], []])
def test_several_seeds_of_one_and_the_same_run_are_refused(seeds, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = ["run", "--name", "quickstart_dense", *seeds, "--set", "seeds=3", "net_seed=1", "stream_seed=1"]
    assert main(command) == 2
    assert capsys.readouterr().err.startswith("error: quickstart_dense: ")
