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


def test_density_statistics_count_live_positions_whatever_their_values(make_run):
    run = make_run(sparsify=True, percent_on_fc=0.2, weight_sparsity_fc=0.25, optimizer="adam", lr=0.01)
    (hidden,) = (layer for layer in run.learner.model.modules() if isinstance(layer, SparseWeights))
    with torch.no_grad():
        hidden.module.weight[:, :8] = 0  # live or not: pixels of which nothing is expected yet
    for group in run.learner.optimizer.param_groups:
        group["lr"] = 0.0
    run._train(0)
    (name,) = (name for name, layer in run.learner.model.named_modules() if layer is hidden)
    assert set(run.probe.statistics()["density"][name]) == {16 / 64}
