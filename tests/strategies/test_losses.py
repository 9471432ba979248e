import pytest
import torch

from cl_sparse.errors import UserError
from cl_sparse.strategies.losses import SquaredError


def test_squared_error_and_its_gradient():
    torch.manual_seed(0)
    logits = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    y = torch.tensor([3, 0, 1, 1, 2])
    loss = SquaredError()(logits, y)
    slow = 0.0
    for row, label in zip(logits.detach(), y, strict=True):
        slow += sum((float(value) - (number == int(label))) ** 2 / 2 for number, value in enumerate(row)) / 5
    assert loss.item() == pytest.approx(slow)
    loss.backward()
    torch.testing.assert_close(logits.grad, (logits.detach() - torch.eye(4, dtype=torch.float64)[y]) / 5)


def test_a_learner_is_trained_with_it(make_run, tmp_path):
    run = make_run(scenario="class", loss="squared")
    assert isinstance(run.learner._criterion, SquaredError)
    stats = run.run(tmp_path / "c.pt")
    assert stats["accs"][0][0] > 0.9


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"scenario": "class", "loss_outputs": "current"}, "loss: squared is over all outputs, loss_outputs current"),
        ({"scenario": "task", "heads": "single"}, "loss: squared does not go with one head masked"),
    ],
)
def test_it_is_over_all_outputs(make_run, changes, said):
    with pytest.raises(UserError, match=said):
        make_run(loss="squared", **changes)
