import pytest
import torch

from cl_sparse.layers import SparseWeights


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_masked_weights_stay_zero_through_a_whole_run(make_run, tmp_path, optimizer):
    run = make_run(
        sparsify=True, percent_on_fc=0.2, weight_sparsity_fc=0.3, hidden_layers=2, optimizer=optimizer, lr=0.01
    )
    run.run(tmp_path / "c.pt")
    layers = [m for m in run.learner.model.modules() if isinstance(m, SparseWeights)]
    assert len(layers) == 2
    for layer in layers:
        weight = layer.module.weight
        assert torch.all(weight[layer.zero_mask.bool()] == 0)
        assert (weight != 0).sum(dim=1).max() <= round(0.3 * weight.shape[1])


def test_density_statistics_report_what_is_really_nonzero(make_run, tmp_path):
    run = make_run(sparsify=True, percent_on_fc=0.2, weight_sparsity_fc=0.25, optimizer="adam", lr=0.01)
    density = run.run(tmp_path / "c.pt")["density"]
    hidden = next(iter(density.values()))
    assert hidden == pytest.approx(0.25, abs=0.02)
