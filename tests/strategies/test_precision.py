"""Training in bfloat16: what is rounded, and what stays in float32."""

import numpy as np
import pytest
import torch
from torch import nn

from cl_sparse.errors import UserError
from cl_sparse.layers import KWinners, SETLinear, SparseLinear, WinnerLinear
from cl_sparse.plugins import Plugin
from cl_sparse.run.one_run import Observer, Run
from cl_sparse.strategies import Learner
from tests.conftest import small_benchmark, small_config
from tests.learner_examples import LEARNERS


class Watch(Plugin):
    """Keeps the images, logits and labels of training, those of evaluation, and the loss."""

    def __init__(self) -> None:
        super().__init__()
        self.trained, self.tested = [], []

    def after_backward(self, strategy, **kwargs):
        weights = {name: p.detach().clone() for name, p in strategy.model.named_parameters()}
        grads = {name: p.grad.clone() for name, p in strategy.model.named_parameters()}
        self.trained.append((strategy.mb_x, strategy.mb_y, strategy.mb_output.detach(), strategy.loss, weights, grads))

    def after_eval_forward(self, strategy, **kwargs):
        self.tested.append((strategy.mb_x, strategy.mb_output))


def one_task(make_run, **parameters):
    watch = Watch()
    run = make_run(scenario="domain", hidden_layers=2, dropout=0, **parameters)
    run.learner.plugins.append(watch)
    run._train(0)
    return run, watch


def reference(net: nn.Sequential, x: torch.Tensor) -> torch.Tensor:
    """Linear layers of inputs and weights that are rounded to bfloat16, as are their outputs."""
    for layer in net:
        if isinstance(layer, nn.Linear):
            rounded = [part.bfloat16().float() for part in (x, layer.weight, layer.bias)]
            x = nn.functional.linear(*rounded).bfloat16().float()
        else:
            x = layer(x)
    return x


def test_training_multiplies_rounded_numbers_and_tests_do_not(make_run):
    run, watch = one_task(make_run, precision="bf16")
    x, y, logits, loss, weights, grads = watch.trained[3]
    run.learner.model.load_state_dict(weights, strict=False)
    model = run.learner.model
    layers = [m for m in model.modules() if isinstance(m, nn.Linear | nn.ReLU)]
    net = nn.Sequential(nn.Flatten(), *layers)
    torch.testing.assert_close(logits, reference(net, x), atol=2e-2, rtol=0)
    assert logits.dtype == loss.dtype == torch.float32
    assert not torch.equal(logits, net(x))
    assert torch.equal(loss.squeeze(), nn.CrossEntropyLoss()(logits, y))
    model.zero_grad()
    nn.CrossEntropyLoss()(net(x), y).backward()
    for name, exact in model.named_parameters():
        assert exact.dtype == grads[name].dtype == torch.float32
        assert 0 < torch.dist(grads[name], exact.grad) < 0.1 * exact.grad.norm()
    run._test(0)
    x, outputs = watch.tested[-1]
    with torch.no_grad():
        assert torch.equal(outputs, model.eval()(x))


def test_float32_rounds_nothing(make_run):
    run, watch = one_task(make_run)
    x, _, logits, _, weights, _ = watch.trained[3]
    run.learner.model.load_state_dict(weights, strict=False)
    with torch.no_grad():
        assert torch.equal(logits, run.learner.model(x))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_exactly_k_win_among_rounded_numbers(dtype):
    x = torch.rand(50, 500).to(dtype)  # a few hundred different values, so that many tie
    layer = KWinners(500, percent_on=0.1, boost_strength=0)
    assert ((layer(x) != 0).sum(dim=1) == 50).all()
    assert ((layer(x.float()) != 0).sum(dim=1) > 50).any()


@pytest.mark.parametrize(
    "wrong",
    [
        {"sparsify": True, "weight_sparsity_fc": 0.5, "weights": "sparse"},
        {"sparsify": True, "percent_on_fc": 0.1, "compute": "winners"},
    ],
)
def test_what_loops_in_float32_is_refused(wrong):
    with pytest.raises(UserError, match="precision: bf16 goes with weights: masked"):
        small_config(precision="bf16", **wrong)


@pytest.mark.parametrize("wrong", ["fp16", "BF16", torch.bfloat16, None, 16])
def test_an_unknown_precision_is_refused(wrong):
    with pytest.raises(ValueError, match="precision must be float32 or bf16"):
        learner(nn.Linear(3, 2), wrong)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (WinnerLinear(4, 3), "WinnerLinear, computes in float32 alone"),
        (SparseLinear(4, 3, density=0.5), "SparseLinear, computes in float32 alone"),
        (SETLinear(4, 3, epsilon=1), "SETLinear, computes in float32 alone"),
        (nn.Linear(4, 3).double(), "is in torch.float64"),
        (nn.Linear(4, 3).bfloat16(), "is in torch.bfloat16"),
    ],
)
def test_a_net_that_would_compute_otherwise_is_refused(model, said):
    with pytest.raises(ValueError, match=said):
        learner(nn.Sequential(model), "bf16")
    learner(nn.Sequential(model), "float32")


def learner(model, precision):
    return Learner(model=model, optimizer=torch.optim.SGD(model.parameters(), 0.1), precision=precision)


@pytest.mark.parametrize("plugin", ["flexible_width", "sparsified_units", "switched_units"])
def test_as_many_win_behind_a_filter(make_run, plugin):
    run = make_run(
        **{"precision": "bf16", "sparsify": True, "percent_on_fc": 0.1, "weight_sparsity_fc": 1.0, "boost_strength": 0},
        **{"hidden_units": 500, "dropout": 0, "plugins": [{"name": plugin}]},
    )
    counts = []
    for module in run.learner.model.modules():
        if isinstance(module, KWinners):
            module.register_forward_hook(
                lambda m, _, out: counts.append((out != 0).sum(1).max()) if m.training else None
            )
    run._train(0)
    assert counts
    assert max(counts) <= 50


def test_layers_with_loops_are_refused_by_an_experiment(make_run):
    with pytest.raises(UserError, match="SETLinear, computes in float32 alone"):
        make_run(precision="bf16", plugins=[{"name": "set_layers"}])


def test_fixed_features_are_refused(make_run):
    plugins = [{"name": "random_code", "units": 30}, {"name": "ridge"}]
    with pytest.raises(UserError, match="precision: bf16 is for nets that are trained"):
        make_run(precision="bf16", train_ep=1, plugins=plugins)


UNFIT = ("patch_code", "random_code", "set_layers", "set_rbm")
TRAINED = [
    name
    for name, own in LEARNERS.items()
    if own.get("weights") != "sparse" and own.get("compute") != "winners"
    if not any(plugin["name"] in UNFIT for plugin in own.get("plugins", ()))
]


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINED)
def test_every_method_learns_as_well(name, tmp_path):
    found = []
    for precision in ("float32", "bf16"):
        config = small_config(**{**LEARNERS[name], "precision": precision, "dropout": 0})
        run = Run(config, small_benchmark(config, 3), 3, torch.device("cpu"), Observer())
        found.append(np.nanmean(np.asarray(run.run(tmp_path / f"{precision}.pt")["accs"], dtype=float)))
    assert abs(found[1] - found[0]) < 0.1  # of some twenty test samples a task, five tasks
