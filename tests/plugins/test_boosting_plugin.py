import pytest

from cl_sparse.layers import KWinners

BOOSTED = {"sparsify": True, "percent_on_fc": 0.1, "boost_strength": 2.0, "boost_strength_factor": 0.5}


def strengths(model):
    return [float(m.boost_strength) for m in model.modules() if isinstance(m, KWinners)]


def test_strength_decays_once_per_epoch(make_run, tmp_path):
    run = make_run(**BOOSTED, train_ep=3, train_ep_inc=1)
    run.run(tmp_path / "c.pt")
    assert strengths(run.learner.model) == pytest.approx([2.0 * 0.5 ** (3 + 4)])


def test_only_the_net_in_training_decays(make_run, tmp_path):
    run = make_run(**BOOSTED, train_ep=2, strategy="independent")
    run.run(tmp_path / "c.pt")
    assert strengths(run.learner.model) == pytest.approx([2.0 * 0.5**2] * 5)


def test_iterations_count_the_samples_trained_on(make_run, tmp_path):
    run = make_run(**BOOSTED)
    stats = run.run(tmp_path / "c.pt")
    layer = next(m for m in run.learner.model.modules() if isinstance(m, KWinners))
    assert layer.learning_iterations == sum(stats["samples"])
