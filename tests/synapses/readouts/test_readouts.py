"""Readouts against the batch solution in float64, whatever the order, the batches and the storage."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cl_sparse.errors import SettingError, UserError
from cl_sparse.synapses.readouts import Discriminant, Hebbian, Moments, NearestMean, Readout, RecursiveRidge, Ridge
from cl_sparse.synapses.readouts.choosing import RIDGES, least_cross_validation

D, C, N = 20, 4, 300
READOUTS: dict[str, Callable[[], Readout]] = {
    "discriminant": lambda: Discriminant(D, range(C)),
    "discriminant, chosen": lambda: Discriminant(D, range(C), ridge=None),
    "ridge": lambda: Ridge(D, range(C), ridge=0.05),
    "recursive": lambda: RecursiveRidge(D, range(C), ridge=2.0),
    "nearest mean": lambda: NearestMean(D, range(C)),
    "hebbian": lambda: Hebbian(D, range(C)),
}


@pytest.fixture(autouse=True)
def _double() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def samples(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(C, (N,), generator=generator)
    x = torch.randn(N, D, generator=generator) @ torch.randn(D, D, generator=generator) + 5
    x += 3 * torch.randn(C, D, generator=generator)[y]
    x[:, 3] = 1.0  # does not vary
    return x, y


def solved(readout: Readout, parts: list[tuple[Tensor, Tensor]]) -> Readout:
    for x, y in parts:
        readout.update(x, y)
    readout.solve()
    return readout


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 99), size=st.integers(1, 60), by_class=st.booleans())
@pytest.mark.parametrize("kind", sorted(READOUTS))
def test_order_and_batches_do_not_matter(kind: str, seed: int, size: int, by_class: bool) -> None:
    x, y = samples(seed)
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(N, generator=generator)
    if by_class:
        order = order[y[order].argsort(stable=True)]
    whole = solved(READOUTS[kind](), [(x, y)])
    parts = [(x[rows], y[rows]) for rows in torch.split(order, size)]
    pieces = READOUTS[kind]()
    for number, part in enumerate(parts):
        pieces.update(*part)
        if number % 5 == 4:
            pieces.solve()  # in between, as after a task
    pieces.solve()
    torch.testing.assert_close(pieces.weight, whole.weight, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(pieces.bias, whole.bias, rtol=1e-6, atol=1e-8)


def covariances(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return means, covariance within classes, of all samples, and with one-hot targets."""
    means = torch.stack([x[y == c].mean(0) for c in range(C)])
    within = (x - means[y]).T @ (x - means[y]) / (N - C)
    centred = x - x.mean(0)
    targets = torch.nn.functional.one_hot(y, C).to(x)
    return means, within, centred.T @ centred / N, centred.T @ targets / N


def test_discriminant_and_ridge_are_the_batch_solutions() -> None:
    x, y = samples()
    varies = torch.arange(D) != 3
    means, within, total, with_targets = covariances(x, y)
    found = solved(Discriminant(D, range(C), ridge=0.05), [(x, y)])
    shrunk = (within + 0.05 * torch.diag(within.diagonal()))[varies][:, varies]
    expected = torch.linalg.solve(shrunk, means[:, varies].T).T
    off = found.weight[:, varies] - expected
    torch.testing.assert_close(off, off[:1].expand_as(off))  # alike in all classes: no difference to any decision
    assert not found.weight[:, ~varies].any()
    scores = x[:, varies] @ expected.T - 0.5 * (means[:, varies] * expected).sum(1)
    torch.testing.assert_close(found(x).log_softmax(1), scores.log_softmax(1))

    found = solved(Ridge(D, range(C), ridge=0.05), [(x, y)])
    shrunk = (total + 0.05 * torch.diag(total.diagonal()))[varies][:, varies]
    expected = torch.linalg.solve(shrunk, with_targets[varies]).T
    torch.testing.assert_close(found.weight[:, varies], expected)
    shares = torch.bincount(y) / N
    torch.testing.assert_close(found(x).mean(0), shares)


def test_recursive_ridge_is_the_batch_solution() -> None:
    x, y = samples()
    ones = torch.cat([x, torch.ones(N, 1)], 1)
    targets = torch.nn.functional.one_hot(y, C).to(x)
    joint = torch.linalg.solve(ones.T @ ones + 2 * torch.eye(D + 1), ones.T @ targets)
    found = solved(READOUTS["recursive"](), [(x[i : i + 7], y[i : i + 7]) for i in range(0, N, 7)])
    torch.testing.assert_close(found.weight, joint[:-1].T)
    torch.testing.assert_close(found.bias, joint[-1])


def test_nearest_mean_and_hebbian_are_what_they_say() -> None:
    x, y = samples()
    means = torch.stack([x[y == c].mean(0) for c in range(C)])
    found = solved(NearestMean(D, range(C)), [(x, y)])
    assert torch.equal(found(x).argmax(1), torch.cdist(x, means).argmin(1))
    hebbian = Hebbian(D, range(C), rate=0.5, decay=0.25)
    slow = torch.zeros(C, D)
    for sample, label in zip(x.abs(), y, strict=True):
        slow[label] = 0.75 * slow[label] + 0.5 * sample / sample.max()
    torch.testing.assert_close(solved(hebbian, [(x.abs(), y)]).weight, slow)


def test_cross_validation_is_that_of_the_hat_matrix() -> None:
    x, y = samples()
    moments = Moments(D, C)
    moments.add(x, y)
    moments.close()
    _, _, total, _ = covariances(x, y)
    centred = (x - x.mean(0))[:, torch.arange(D) != 3]
    total = total[torch.arange(D) != 3][:, torch.arange(D) != 3]
    targets = torch.nn.functional.one_hot(y, C).to(x)
    targets = targets - targets.mean(0)
    errors = []
    for ridge in RIDGES:
        hat = centred @ torch.linalg.solve(total + ridge * torch.diag(total.diagonal()), centred.T) / N
        freedom = 1 + hat.trace()
        errors.append(float((targets - hat @ targets).square().sum() / (1 - freedom / N) ** 2))
    assert least_cross_validation(moments) == RIDGES[errors.index(min(errors))]


@pytest.mark.parametrize(("max_bytes", "storage"), [(None, "fp32"), (1000, "int16"), (800, "low rank")])
def test_what_is_carried_fits_and_says_how_it_is_stored(max_bytes: int | None, storage: str) -> None:
    torch.set_default_dtype(torch.float32)
    x, y = (part.to(torch.get_default_dtype()) if part.is_floating_point() else part for part in samples())
    moments = Moments(D, C, max_bytes)
    assert moments.storage == storage
    exact = Moments(D, C)
    for task in range(C):
        for each in (moments, exact):
            each.add(x[y == task], y[y == task])
            each.close()
    carried = sum(buffer.nbytes for buffer in moments.buffers())
    assert carried == (1256 if max_bytes is None else carried)
    assert max_bytes is None or carried <= max_bytes
    torch.testing.assert_close(moments.means, exact.means)
    torch.testing.assert_close(moments.diagonal, exact.diagonal, rtol=1e-3, atol=1e-3)
    scale = exact.diagonal.clamp(min=1e-9).rsqrt()
    off = (moments.scatter().tril(-1) - exact.scatter().tril(-1)) * scale[:, None] * scale
    assert float(off.abs().max()) < {"fp32": 1e-4, "int16": 1e-4, "low rank": 0.5}[storage]


def test_too_few_bytes_are_refused() -> None:
    with pytest.raises(ValueError, match="max_bytes must be at least"):
        Moments(D, C, 500)


@pytest.mark.parametrize("make", [Discriminant, Ridge])
def test_a_ridge_below_the_rounding_is_refused_and_never_chosen(make: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4000, 3, generator=generator) @ torch.randn(3, 300, generator=generator)  # of rank 3
    classes = torch.arange(4000) % 2
    readout = make(300, range(2), ridge=1e-6, max_bytes=110_000)
    readout.update(x + classes[:, None], classes)
    with pytest.raises(SettingError, match="ridge: 1e-06 is less than the rounding") as caught:
        readout.solve()
    assert readout.moments.storage == "int16"
    assert "\n" not in str(caught.value)
    readout.ridge = None
    readout.solve()
    assert (readout(x + classes[:, None]).argmax(1) == classes).float().mean() > 0.9


@pytest.mark.parametrize("make", [Discriminant, Ridge])
def test_a_chosen_ridge_is_never_below_the_rounding(make: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    classes = torch.arange(3000) % 2
    x = torch.randn(3000, 2, generator=generator) @ torch.randn(2, 400, generator=generator)
    x += 1e-3 * torch.randn(3000, 400, generator=generator) + 5 * classes[:, None]
    readout = make(400, range(2), ridge=None, max_bytes=180_000)
    for task in range(2):
        readout.update(x[classes == task], classes[classes == task])
        readout.solve()
    assert readout.moments.storage == "int16"
    assert (readout(x).argmax(1) == classes).float().mean() > 0.9


def test_classes_of_single_samples_have_no_covariance_within() -> None:
    readout = Discriminant(D, range(C))
    readout.update(torch.randn(3, D), torch.arange(3))
    with pytest.raises(UserError, match="a single sample: choose nearest_mean or ridge"):
        readout.solve()


@pytest.mark.parametrize("make", [Discriminant, Ridge])
def test_features_that_hardly_vary_do_not_drown_the_others(make: Any) -> None:
    """Units of a saturated sigmoid: 1, but for rounding."""
    x, y = (part.float() if part.is_floating_point() else part for part in samples())
    hardly = 1 - 3e-7 * torch.rand(N, D, generator=torch.Generator().manual_seed(0)).float()
    torch.set_default_dtype(torch.float32)
    alone = solved(make(D, range(C)), [(x, y)])
    beside = solved(make(2 * D, range(C)), [(torch.cat([x, hardly], 1), y)])
    right = [
        float((readout(data).argmax(1) == y).float().mean())
        for readout, data in ((alone, x), (beside, torch.cat([x, hardly], 1)))
    ]
    assert not beside.weight[:, D:].any()
    assert right[0] > 0.9
    assert right[1] == right[0]


def test_a_saved_readout_goes_on_where_it_was() -> None:
    x, y = samples()
    one, other = Discriminant(D, range(C)), Discriminant(D, range(C))
    one.update(x[:200], y[:200])
    other.load_state_dict(one.state_dict())
    for readout in (one, other):
        solved(readout, [(x[200:], y[200:])])
    assert torch.equal(one.weight, other.weight)


def test_an_output_takes_the_best_of_its_classes_and_unseen_ones_cannot_win() -> None:
    readout = NearestMean(2, [0, 1, 0, 2])
    readout.update(torch.tensor([[0.0, 1.0], [1.0, 0.0], [5.0, 5.0]]), torch.tensor([0, 1, 2]))
    readout.solve()
    logits = readout(torch.tensor([[5.0, 4.9], [0.9, 0.1]]))
    assert logits.argmax(1).tolist() == [0, 1]
    assert logits.isfinite().all()
    assert (logits[:, 2] == torch.finfo(logits.dtype).min).all()
