"""Between tensors and the compiled loops: allocation, the choice of loop, NumPy views."""

import numpy as np
import torch
from torch import Tensor

from cl_sparse.kernels import live as kernels
from cl_sparse.kernels.arrays import Active, Array, Found, Matrix, array
from cl_sparse.kernels.threads import use_torch_threads
from cl_sparse.layers.layout import Layout

On = tuple[Tensor, Tensor]

# Up to this share of non-zeros the loops over what is on are faster than those along the batch. Measured with
# `python -m perf loops`, batch 128, float32.
FEW_ON = 0.1
# From this many products (samples × units) on, dense inputs are multiplied unit by unit and only candidates are kept;
# below, the products fit the cache and selecting afterwards is faster (measured).
STREAM_FROM = 1 << 20


def nonzeros(x: Tensor, method: str = "auto") -> On | None:
    """Return what is not zero in x (B, n): ids (B, m), -1 for an empty entry, and values (B, m).

    None if too much of it is not zero for the active loops to pay (unless ``method`` is "active"), or if ``method`` is
    "dense".
    """
    if method == "dense":
        return None
    dense = array(x.contiguous())
    counts = np.zeros(dense.shape[0], np.int64)
    use_torch_threads()
    kernels.count_nonzero(dense, counts)
    if method != "active" and counts.sum() > FEW_ON * dense.size:
        return None
    most = int(counts.max(initial=0))
    on, coefs = torch.empty(len(counts), most, dtype=torch.long), x.new_empty(len(counts), most)
    kernels.list_nonzero(dense, on.numpy(), coefs.numpy())
    return on, coefs


def scatter(layout: Layout, values: Tensor, on: Tensor, coefs: Tensor) -> Tensor:
    """Return (B, minors): the values of the active majors' synapses, times the coefficients, summed at their ends."""
    out = values.new_zeros(on.shape[0], layout.shape[1])
    use_torch_threads()
    kernels.scatter(active(on, coefs), matrix(layout, values), out.numpy())
    return out


def along_batch(layout: Layout, values: Tensor, x: Tensor, to_majors: bool) -> Tensor:
    """Return W·x (majors, B) for x (minors, B), or Wᵀ·x (minors, B) for x (majors, B), whatever is zero."""
    out = values.new_zeros(layout.shape[0 if to_majors else 1], x.shape[1])
    loop = kernels.gather if to_majors else kernels.spread
    loop(use_torch_threads(), matrix(layout, values), array(x.contiguous()), out.numpy())
    return out


def sampled(layout: Layout, majors: Tensor, minors: Tensor) -> Tensor:
    """Return (nnz,) the products of majors (majors, B) and minors (minors, B) at the live places."""
    ends = array(majors.contiguous()), array(minors.contiguous())
    out = majors.new_empty(layout.wiring.minors.shape)
    kernels.sample(use_torch_threads(), *arrays(layout), *ends, out.numpy())
    return out


def outer(
    layout: Layout, values: Tensor, on: On, minors: Tensor | None = None, minors_on: On | None = None
) -> tuple[Tensor, Tensor]:
    """Return the gradients of the values (nnz,) and of the coefficients (B, m) of the majors that are on.

    Args:
        layout: where the synapses are.
        values: their weights (nnz,).
        on: the majors that are on and their coefficients.
        minors: the minors' side, dense (B, minors); or
        minors_on: those of it that are not zero.
    """
    ids, coefs = on
    nothing = ids.new_empty(len(ids), 0), coefs.new_empty(len(ids), 0)
    dense = coefs.new_empty(0, layout.shape[1]) if minors is None else minors.contiguous()
    others = active(*(minors_on or nothing))
    of_values, of_coefs = torch.zeros_like(values), torch.zeros_like(coefs, memory_format=torch.contiguous_format)
    parts, synapses = use_torch_threads(), matrix(layout, values)
    kernels.outer(parts, active(ids, coefs), array(dense), others, synapses, of_values.numpy(), of_coefs.numpy())
    return of_values, of_coefs


def added_up(ids: Tensor, coefs: Tensor, n: int) -> Tensor:
    """Return (n,) the sum of the coefficients (B, m) of each of n units; ids (B, m), -1 is skipped."""
    from cl_sparse.kernels import winners

    out = coefs.new_empty(n)
    winners.add_up(array(ids.contiguous()), array(coefs.contiguous()), out.numpy())
    return out


def streamed(
    layout: Layout,
    values: Tensor,
    bias: Tensor,
    x: Tensor,
    ids: Tensor | None,
    factor: Tensor,
    k: int,
    break_ties: bool,
) -> tuple[Tensor, Tensor, Tensor] | None:
    """Find the winners (B, k) of bias + x·Wᵀ, ranked by value · factor.

    None if something is not finite, or if there are ties that are not to be broken.

    Args:
        layout: by inputs if the inputs are listed, else by units.
        values: the live weights (nnz,).
        bias: (units,).
        x: (B, inputs) dense, or the values (B, m) of the listed inputs.
        ids: the listed inputs (B, m), -1 for an empty entry; None if x is dense.
        factor: (units,).
        k: number of winners.
        break_ties: whether exactly k win, the ones of lowest index among those that tie.

    Returns:
        Winners, their values (B, k), and the share of the samples (units,) that each unit is a positive winner of.
    """
    from cl_sparse.kernels import live_winners as search
    from cl_sparse.kernels.selection import CLEAR, NOT_FINITE

    best = torch.empty(len(x), k, dtype=torch.long), x.new_empty(len(x), k), torch.zeros_like(factor)
    if not k or not len(x):
        return best
    found, synapses, parts = Found(*map(array, best)), matrix(layout, values), use_torch_threads()
    offset, scale = array(bias), array(factor)
    if ids is not None:
        state = search.winners_by_inputs(parts, active(ids, x), synapses, offset, scale, found)
    elif len(x) * len(bias) <= STREAM_FROM:
        y = x.new_empty(len(x), len(bias)).numpy()
        kernels.gather_by_sample(parts, synapses, offset, array(x.t().contiguous()), y)
        state = search.winners_of_dense(parts, y, scale, found)
    else:
        state = search.winners_by_units(parts, array(x.t().contiguous()), synapses, offset, scale, found)
    return best if state == CLEAR or (break_ties and state != NOT_FINITE) else None


def gradients_by_units(
    layout: Layout, x: Tensor, values: Tensor, grad: Tensor, needs: tuple[bool, ...]
) -> tuple[Tensor | None, Tensor | None]:
    """Return the gradients of x and of the values of a layer whose majors are its units."""
    on = nonzeros(grad, layout.method)
    layout.used["backward"] = "dense" if on is None else "active"
    if on is not None:
        of_x = scatter(layout, values, *on) if needs[0] else None
        return of_x, outer(layout, values, on, x)[0] if needs[1] else None
    of_x = along_batch(layout, values, grad.t(), to_majors=False).t() if needs[0] else None
    return of_x, sampled(layout, grad.t(), x.t()) if needs[1] else None


def gradients_by_inputs(
    layout: Layout, x: Tensor, on: list[Tensor], values: Tensor, grad: Tensor, needs: tuple[bool, ...]
) -> tuple[Tensor | None, Tensor | None]:
    """Return the gradients of x and of the values of a layer whose majors are its inputs; ``on`` is empty or a pair."""
    layout.used["backward"] = "active" if on else "dense"
    of_x = of_values = None
    if on and (needs[1] or layout.inputs_on_only):
        of_values, of_coefs = outer(layout, values, (on[0], on[1]), grad)
        of_x = to_dense(on[0], of_coefs, layout.shape[0]) if layout.inputs_on_only else None
    elif needs[1]:
        of_values = sampled(layout, x.t(), grad.t())
    if needs[0] and of_x is None:
        of_x = along_batch(layout, values, grad.t(), to_majors=True).t()
        if layout.inputs_on_only:
            of_x = of_x * (x != 0)
    return of_x if needs[0] else None, of_values if needs[1] else None


def to_dense(ids: Tensor, coefs: Tensor, n: int) -> Tensor:
    """Return the (B, n) tensor with the entries that are listed, 0 elsewhere."""
    # Empty entries write into one column more, which is then cut off.
    wide = coefs.new_zeros(len(ids), n + 1)
    return wide.scatter_(1, torch.where(ids < 0, n, ids), coefs)[:, :n]


def arrays(layout: Layout) -> tuple[Array, Array]:
    """Return pointers and minors; minors without sign, which spares the loops Python's negative indices."""
    minors = layout.wiring.minors.numpy()
    return layout.wiring.pointers.numpy(), minors.view(np.uint32 if minors.itemsize == 4 else np.uint64)


def matrix(layout: Layout, values: Tensor) -> Matrix:
    """Return the live synapses as the loops take them."""
    return Matrix(*arrays(layout), array(values))


def active(ids: Tensor, values: Tensor) -> Active:
    """Return what is listed as the loops take it."""
    return Active(array(ids.contiguous()), array(values.contiguous()))
