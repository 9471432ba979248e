"""SET-RBM features: what they learn and record, in an experiment and alone."""

import copy

import numpy as np
import pytest
import torch

from cl_sparse.errors import UserError
from cl_sparse.layers.set_rbm_code import SetRBMCode
from cl_sparse.metrics import square_means

RBM = {"name": "set_rbm", "hidden": 60, "epsilon": 4, "epochs": 5, "batch": 20}
DIGITS = {"num_batch": 1, "scenario": "class", "normalize": "unit", "train_ep": 1}


def fitted(shape=(1, 6, 6), seed=0, **settings):
    torch.manual_seed(seed)
    code = SetRBMCode(shape, **{"hidden": 20, "epsilon": 3.0, "epochs": 3, "batch": 16, **settings})
    code.fit(torch.rand(60, *shape), torch.Generator().manual_seed(seed))
    return code


def test_in_an_experiment(make_run, tmp_path):
    run = make_run(**DIGITS, plugins=[{**RBM, "epochs": 8}, {"name": "discriminant"}])
    stats = run.run(tmp_path / "c.pt")
    found = stats["mechanisms"]["set_rbm"]
    layer = run.learner.model.features.rbm.connections
    assert layer.values.numel() == 4 * (64 + 60) == int(found["connections"].sum())
    assert found["connections"].tolist() == layer.indices[1].bincount(minlength=64).tolist()
    assert found["squares"].shape == (8, 4)
    np.testing.assert_allclose(found["squares"][-1], square_means(found["connections"]))
    np.testing.assert_allclose(found["squares"][:, -1], 4 * (64 + 60) / 64)
    assert found["reconstruction_error"].shape == (8,)
    assert found["reconstruction_error"][-1] < 0.7 * found["reconstruction_error"][0]
    assert stats["accs"][0, 0] > 0.85
    assert stats["multiply_adds"]["features"] == layer.values.numel()
    assert (stats["task_info_train"], stats["task_info_test"]) == ("boundaries", "none")


def test_a_run_is_the_same_again_and_another_seed_another(make_run, tmp_path):
    def connections(seed):
        run = make_run(seed, **DIGITS, train_subset=200, plugins=[RBM, {"name": "discriminant"}])
        return run.run(tmp_path / "c.pt")["mechanisms"]["set_rbm"]["connections"].tolist()

    assert connections(0) == connections(0) != connections(1)


def test_it_evolves_after_every_epoch_but_the_last(monkeypatch):
    calls = []
    monkeypatch.setattr("cl_sparse.layers.set_rbm.SetRBM.evolve", lambda self, *given: calls.append(len(given)))
    fitted(epochs=4)
    assert calls == [2, 2, 2]


def test_weight_decay_shrinks_weights_whatever_the_learning_rate():
    codes = [fitted(lr=1e-9, weight_decay=share, zeta=0.0, epochs=2).rbm.connections for share in (0.0, 0.1)]
    plain, shrunk = (layer.values.detach() for layer in codes)
    torch.testing.assert_close(shrunk, plain * 0.9 ** (2 * 4))  # 60 samples in mini-batches of 16


def test_what_is_learned_is_fixed_and_saved():
    code = fitted()
    assert not any(parameter.requires_grad for parameter in code.parameters())
    other = SetRBMCode((1, 6, 6), hidden=20, epsilon=3.0, epochs=3, batch=16)
    assert not other.fitted
    assert other.statistics() == {}
    other.load_state_dict(code.state_dict())
    x = torch.rand(5, 1, 6, 6)
    for one in (other, copy.deepcopy(code)):
        assert one.fitted
        assert torch.equal(one(x), code(x))
        for name, numbers in code.statistics().items():
            np.testing.assert_array_equal(one.statistics()[name], numbers)
    assert code(x).shape == (5, 20)
    assert 0 <= float(code(x).min()) <= float(code(x).max()) <= 1


def test_what_is_no_square_image_has_no_squares():
    assert "squares" not in fitted((3, 5)).statistics()
    assert fitted((3, 5)).statistics()["connections"].shape == (15,)


def test_inputs_have_to_be_from_0_to_1(make_run):
    with pytest.raises(UserError, match="normalize: set_rbm needs inputs from 0 to 1: choose unit"):
        make_run(**{**DIGITS, "normalize": "standard"}, plugins=[RBM, {"name": "discriminant"}])
    code = SetRBMCode((1, 6, 6), hidden=20, epsilon=3.0)
    with pytest.raises(ValueError, match="set_rbm needs inputs from 0 to 1, not from -1 to 2"):
        code.fit(torch.tensor([[-1.0] * 36, [2.0] * 36]), torch.Generator())
    with pytest.raises(ValueError, match="epsilon must be from 0 to"):
        SetRBMCode((1, 6, 6), hidden=20, epsilon=30.0)


def test_samples_that_do_not_fit_are_one_line(make_run, tmp_path):
    run = make_run(**DIGITS, plugins=[RBM, {"name": "discriminant"}])
    features = run.learner.model.features
    features.fit = lambda samples, generator: SetRBMCode.fit(features, 3 * samples, generator)
    with pytest.raises(UserError, match="set_rbm needs inputs from 0 to 1, not from 0 to 3"):
        run.run(tmp_path / "c.pt")
