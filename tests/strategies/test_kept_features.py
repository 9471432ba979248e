import numpy as np
import torch

from cl_sparse.layers.fixed_features import FixedFeatures
from cl_sparse.strategies.kept_features import KeptFeatures

PATCHES = {"name": "patch_code", "filters": 20, "sizes": [4], "winners": 0.2, "mirror": False}


class Doubled(FixedFeatures):
    def __init__(self) -> None:
        super().__init__()
        self.factor, self.seen = torch.nn.Parameter(torch.tensor(2.0), requires_grad=False), 0
        self.width = 3

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen += len(x)
        return self.factor * x


def test_equal_batches_are_computed_once_and_others_are_not_mixed_up():
    features = Doubled()
    kept = KeptFeatures(features)
    x = torch.randn(5, 3)
    for _ in range(3):
        torch.testing.assert_close(kept(x.clone()), 2 * x)
    assert features.seen == 5
    torch.testing.assert_close(kept(x + 1), 2 * x + 2)
    torch.testing.assert_close(kept(x.T.contiguous().T), 2 * x)
    assert features.seen == 10


def test_changed_features_are_computed_anew():
    features = Doubled()
    kept, x = KeptFeatures(features), torch.randn(5, 3)
    kept(x)
    features.load_state_dict({"factor": torch.tensor(3.0)})
    torch.testing.assert_close(kept(x), 3 * x)


def test_no_more_than_so_many_bytes_are_kept():
    features = Doubled()
    kept = KeptFeatures(features, most_bytes=100)  # one batch of 60
    x, y = torch.randn(5, 3), torch.randn(5, 3)
    for _ in range(2):
        kept(x)
        torch.testing.assert_close(kept(y), 2 * y)
    assert features.seen == 15


def test_a_run_encodes_every_sample_once(make_run, tmp_path, monkeypatch):
    plugins = [PATCHES, {"name": "discriminant"}]
    run = make_run(scenario="class", num_batch=5, train_ep=1, plugins=plugins)
    encoded = []
    run.learner.model.features.register_forward_hook(lambda _, inputs, __: encoded.append(len(inputs[0])))
    stats = run.run(tmp_path / "x.pt")
    test = [len(experience.dataset) for experience in run.benchmark.test_stream]
    before = sum(test)  # the untrained net's test, of which nothing is kept
    assert sum(encoded) == before + sum(stats["samples"]) + sum(test)
    monkeypatch.setattr("cl_sparse.strategies.closed_form.KeptFeatures", lambda features: features)
    again = make_run(scenario="class", num_batch=5, train_ep=1, plugins=plugins).run(tmp_path / "y.pt")
    np.testing.assert_array_equal(stats["accs"], again["accs"])
