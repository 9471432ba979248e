"""A linear layer whose cost follows the inputs that are on, and the optimizer's way to keep its idle rows waiting."""

from collections.abc import Callable
from typing import Any, Protocol, Self, cast

import numpy as np
import torch
from torch import Tensor, nn

from cl_sparse.kernels.arrays import Active, Array, Weights, array
from cl_sparse.layers.winners import Winners

# A sparse gradient with more entries than this share of the weights costs more than a dense one (measured).
_MOST_ENTRIES = 0.5


class LazyRows(Protocol):
    """What an optimizer that puts off the updates of idle inputs attaches to a weight."""

    def catch_up(self, inputs: Array | None = None) -> None:
        """Bring the weights of ``inputs`` (-1 is skipped), or of all of them, up to date."""


class InputMajorWeight(nn.Parameter):
    """A weight of shape (units, inputs) that lies in memory inputs first, so that an input's weights are contiguous.

    Attributes:
        lazy_rows: set by an optimizer that takes sparse gradients and leaves idle inputs' weights behind; None if the
            weights are always current and gradients have to be dense.
    """

    lazy_rows: LazyRows | None = None


def input_major(weight: Tensor) -> InputMajorWeight:
    """Return a parameter with the values of ``weight`` (units, inputs), inputs first in memory."""
    return InputMajorWeight(weight.detach().t().contiguous().t())


class ActiveLinear(nn.Linear):
    """``nn.Linear`` for inputs of which few are on, with its state-dict keys and shapes.

    Given :class:`Winners`, only the weights of the inputs that are on are read, and the weight's gradient has entries
    for them alone. A dense tensor goes the dense way. Weights of inputs that were idle may be out of date, when the
    optimizer is a ``LazySGD``: ``layer.weight``, the state dict and copies are brought up to date first, while
    ``parameters()`` gives the weights as they are.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__(in_features, out_features, bias)
        self._store(self.stored_weight())

    @classmethod
    def of(cls, linear: nn.Linear) -> Self:
        """Return a layer with the weights of ``linear``. No random number is drawn."""
        layer = cls.__new__(cls)
        nn.Module.__init__(layer)
        layer.in_features, layer.out_features = linear.in_features, linear.out_features
        layer._store(linear.weight)
        layer.register_parameter("bias", linear.bias)
        return layer

    def forward(self, x: Tensor | Winners) -> Any:
        """Return the (B, out_features) outputs for a dense tensor (B, in_features) or winners among as many."""
        if not isinstance(x, Winners):
            return super().forward(x)
        if not self._compiles(x.values, x.n):
            return super().forward(x.dense())
        weight = self.current_weight(x.indices)
        apply: Callable[..., Tensor] = _ActiveProduct.apply
        return apply(x.values, weight, self.bias, x.indices)

    def current_weight(self, inputs: Tensor | None = None) -> nn.Parameter:
        """Return the weight, brought up to date for ``inputs`` (long, -1 is skipped) or for all."""
        weight = self.stored_weight()
        lazy_rows: LazyRows | None = getattr(weight, "lazy_rows", None)
        if lazy_rows is not None:
            lazy_rows.catch_up(None if inputs is None else array(inputs).reshape(-1))
        return weight

    def stored_weight(self) -> nn.Parameter:
        """Return the weight as it is; the rows that the last forward pass read are up to date.

        It is an :class:`InputMajorWeight`, unless a parameter has been put in its place (``layer.weight = …``,
        ``load_state_dict(assign=True)``): that gets dense gradients, and is copied at each use if inputs are not first.
        """
        return cast(nn.Parameter, self._parameters["weight"])

    def _compiles(self, values: Tensor, n: int) -> bool:
        """Whether the compiled loops, which check nothing, can work on (B, …) values of ``n`` inputs."""
        same = values.dtype == self.stored_weight().dtype and n == self.in_features
        return same and values.dim() == 2 and fast(values) and fast(self.stored_weight())

    def _store(self, weight: Tensor) -> None:
        self._parameters["weight"] = input_major(weight)

    def __getattr__(self, name: str) -> Any:
        # Whoever asks the layer for its weight gets the current one.
        if name == "weight" and name in self.__dict__.get("_parameters", {}):
            return self.current_weight()
        return super().__getattr__(name)

    def __getstate__(self) -> dict[str, Any]:
        self.current_weight()
        return self.__dict__.copy()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self.current_weight()
        apply: Callable[..., Self] = super()._apply
        return apply(fn, recurse)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        self.current_weight()
        super()._save_to_state_dict(destination, prefix, keep_vars)

    def _load_from_state_dict(self, *arguments: Any) -> None:
        self.current_weight()
        super()._load_from_state_dict(*arguments)


def fast(x: Tensor) -> bool:
    """Whether the compiled loops can work on ``x``; elsewhere the compact layers compute like the dense ones."""
    return x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)


class _ActiveProduct(torch.autograd.Function):
    """(values (B, m), weight (n, inputs), bias (n,)) → (B, n), for inputs given as winners."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, weight: Tensor, bias: Tensor | None, indices: Tensor) -> Tensor:
        ctx.save_for_backward(values, weight, indices)
        ctx.sparse = gives_sparse(weight)
        return active_product(values, weight, bias, indices)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        values, weight, indices = ctx.saved_tensors
        grad = grads[0].contiguous()
        units = torch.arange(grad.shape[1]).expand_as(grad).contiguous()
        return (
            grad_of_inputs(indices, units, grad, weight) if ctx.needs_input_grad[0] else None,
            grad_of_weight(indices, values, units, grad, weight, ctx.sparse) if ctx.needs_input_grad[1] else None,
            grad.sum(0) if ctx.needs_input_grad[2] else None,
            None,
        )


def active_product(values: Tensor, weight: Tensor, bias: Tensor | None, indices: Tensor) -> Tensor:
    """Return the dense outputs (B, n) for winners as inputs."""
    from cl_sparse.kernels import winners as kernels

    kernels.use_torch_threads()
    out = values.new_empty(len(indices), weight.shape[0])
    kernels.product(Active(array(indices), array(values)), linear_arrays(weight, bias), array(out))
    return out


def grad_of_inputs(in_indices: Tensor, out_indices: Tensor, out_grads: Tensor, weight: Tensor) -> Tensor:
    """Return the gradient (B, m) of winners that are inputs, from those of the units that are on."""
    from cl_sparse.kernels import winners as kernels

    grads = out_grads.new_empty(in_indices.shape)
    kernels.use_torch_threads()
    units = Active(array(out_indices), array(out_grads))
    kernels.input_gradient(array(in_indices), units, rows(weight), array(grads))
    return grads


def grad_of_weight(
    in_indices: Tensor, in_values: Tensor, out_indices: Tensor, out_grads: Tensor, weight: Tensor, sparse: bool
) -> Tensor:
    """Return the gradient of the weight: sparse if it may be and that is cheaper, with repeated entries."""
    from cl_sparse.kernels import winners as kernels

    most = in_indices.numel() * out_indices.shape[1]
    if not sparse or most > _MOST_ENTRIES * weight.numel():
        outputs = Winners(out_indices, out_grads, weight.shape[0]).dense()
        return (Winners(in_indices, in_values, weight.shape[1]).dense().t() @ outputs).t()
    places, grads = torch.empty(2, most, dtype=torch.long), in_values.new_empty(most)
    inputs, units = Active(array(in_indices), array(in_values)), Active(array(out_indices), array(out_grads))
    rows_at, columns_at = array(places)
    count = kernels.entries(inputs, units, rows_at, columns_at, array(grads))
    return torch.sparse_coo_tensor(places[:, :count], grads[:count], weight.shape, check_invariants=False)


def rows(weight: Tensor) -> Array:
    """Return the weight (units, inputs) as a contiguous NumPy array (inputs, units), a view of an input-major one."""
    return np.ascontiguousarray(weight.detach().t().numpy())


def linear_arrays(weight: Tensor, bias: Tensor | None) -> Weights:
    """Return weight (units, inputs) and bias, or zeros, as the loops take them."""
    by_input = rows(weight)
    return Weights(by_input, np.zeros(by_input.shape[1], by_input.dtype) if bias is None else array(bias))


def active(winners: Winners) -> Active:
    """Return winners as the loops take them."""
    return Active(array(winners.indices), array(winners.values))


def gives_sparse(weight: Tensor) -> bool:
    """Whether an optimizer takes sparse gradients of the weight; of a parameter put in its place nobody does."""
    return getattr(weight, "lazy_rows", None) is not None
