"""Products with a sparse matrix, forward and backward, at a cost that follows live synapses and active ends."""

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from cl_sparse.layers.layout import Layout
from cl_sparse.wiring.places import Wiring


class SparseProduct(torch.autograd.Function):
    """y (B, units) = x (B, inputs) · Wᵀ, with W's live values as a 1-D tensor."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, values: Tensor, layout: Layout) -> Tensor:
        """Multiply."""
        ctx.layout = layout
        if not layout.runs_loops(x):
            layout.used["forward"] = "torch"
            ctx.save_for_backward(x, values)
            return _torch_product(layout, values, x.t(), to_majors=layout.by_units).t()
        from cl_sparse.layers import sparse_loops as loops

        on = None if layout.by_units else loops.nonzeros(x, layout.method)
        layout.used["forward"] = "dense" if on is None else "active"
        ctx.save_for_backward(x, values, *(on or ()))
        if on is not None:
            return loops.scatter(layout, values, *on)
        return loops.along_batch(layout, values, x.t(), to_majors=layout.by_units).t()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        """Return the gradients of the inputs and of the live values."""
        x, values, *on = ctx.saved_tensors
        layout, needs = ctx.layout, ctx.needs_input_grad
        if not layout.runs_loops(x):
            return *_torch_gradients(layout, x, values, grad, needs), None
        from cl_sparse.layers import sparse_loops as loops

        if layout.by_units:
            return *loops.gradients_by_units(layout, x, values, grad, needs), None
        return *loops.gradients_by_inputs(layout, x, on, values, grad, needs), None


class WinnersProduct(torch.autograd.Function):
    """y (B, units) = x·Wᵀ for inputs of which the winners are listed, and W by inputs. CPU only."""

    @staticmethod
    def forward(ctx: Any, on: Tensor, coefs: Tensor, values: Tensor, layout: Layout) -> Tensor:
        """Multiply; ``on`` (B, m) are the inputs that are on, -1 for none, ``coefs`` their values."""
        from cl_sparse.layers import sparse_loops as loops

        ctx.layout = layout
        ctx.save_for_backward(on, coefs, values)
        layout.used["forward"] = "active"
        return loops.scatter(layout, values, on, coefs)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor, Tensor, None]:
        """Return the gradients of the winners' values and of the live weights."""
        from cl_sparse.layers import sparse_loops as loops

        on, coefs, values = ctx.saved_tensors
        ctx.layout.used["backward"] = "active"
        of_values, of_coefs = loops.outer(ctx.layout, values, (on, coefs), grad)
        return None, of_coefs, of_values, None


sparse_product: Callable[[Tensor, Tensor, Layout], Tensor] = SparseProduct.apply
winners_product: Callable[[Tensor, Tensor, Tensor, Layout], Tensor] = WinnersProduct.apply


def _torch_product(layout: Layout, values: Tensor, x: Tensor, to_majors: bool) -> Tensor:
    """Return W·x (majors, B) for x (minors, B), or Wᵀ·x (minors, B) for x (majors, B)."""
    wiring, size = layout.wiring, layout.shape
    if not to_majors:
        wiring, order = layout.transposed()
        values, size = values[order], size[::-1]
    if not x.shape[1]:
        return x.new_zeros(size[0], 0)
    return as_csr(wiring, values, size) @ x.contiguous()


def _torch_gradients(
    layout: Layout, x: Tensor, values: Tensor, grad: Tensor, needs: tuple[bool, ...]
) -> tuple[Tensor | None, Tensor | None]:
    of_x = of_values = None
    if needs[0]:
        of_x = _torch_product(layout, values, grad.t(), to_majors=not layout.by_units).t()
        if layout.inputs_on_only:
            of_x = of_x * (x != 0)
    if needs[1] and not len(x):
        of_values = torch.zeros_like(values)
    elif needs[1]:
        majors, minors = (grad, x) if layout.by_units else (x, grad)
        places = as_csr(layout.wiring, torch.zeros_like(values), layout.shape)
        of_values = torch.sparse.sampled_addmm(places, majors.t().contiguous(), minors.contiguous(), beta=0.0).values()
    return of_x, of_values


def products_at(layout: Layout, units: Tensor, inputs: Tensor) -> Tensor:
    """Return Σ over samples of unit · input at the places of a layout by units, (places,); no other is computed.

    Args:
        layout: of the places; ``by_units``.
        units: (B, units), inputs: (B, inputs), of one floating type.
    """
    if not len(units):
        return units.new_zeros(layout.wiring.minors.shape)
    if not layout.runs_loops(units):
        places = as_csr(layout.wiring, units.new_zeros(layout.wiring.minors.shape), layout.shape)
        found: Tensor = torch.sparse.sampled_addmm(places, units.t().contiguous(), inputs.contiguous(), beta=0.0)
        return found.values()
    from cl_sparse.layers import sparse_loops as loops

    products: Tensor = loops.sampled(layout, units.t(), inputs.t())
    return products


def as_csr(wiring: Wiring, values: Tensor, shape: tuple[int, int]) -> Tensor:
    """Return the torch.sparse CSR tensor."""
    _hear_of_beta_state()
    return torch.sparse_csr_tensor(wiring.pointers, wiring.minors, values, shape, check_invariants=False)


@cache
def _hear_of_beta_state() -> None:
    """Let torch give its warning that CSR tensors are in beta state, which it does once per process, to nobody."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.sparse_csr_tensor([0], [], [], (0, 0))
