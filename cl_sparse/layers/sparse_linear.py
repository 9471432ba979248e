"""A linear layer that stores its live synapses and nothing else."""

import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from cl_sparse.layers.layout import Layout
from cl_sparse.layers.sparse_product import sparse_product, winners_product
from cl_sparse.layers.sparse_state import BY_INPUTS, BY_UNITS, places, sparse_state
from cl_sparse.layers.sparse_weights import SparseWeights
from cl_sparse.layers.winners import Winners
from cl_sparse.wiring.moved import replace_data
from cl_sparse.wiring.places import Wiring, draw_inputs, index_type, wiring_of
from cl_sparse.wiring.rewire import Rewired, rewired

Inputs = Literal["any", "winners"]
Method = Literal["auto", "dense", "active", "torch"]


class SparseLinear(nn.Module):
    """y = x·Wᵀ + b with a sparse W: only live synapses have a value, a gradient and optimizer state.

    The values are one parameter of shape (nnz,), so any optimizer works, at a cost of nnz. Nothing of size inputs ×
    units is ever held. Values and bias start uniform in ±1/√(live inputs of the unit), as ``normalize_sparse_weights``
    draws them.

    A gradient hook, ``layer.values.register_hook(lambda grad: grad * rates)``, is a learning rate per synapse for SGD
    without weight decay, and for that alone: Adam and its like divide the factor out again, and weight decay is added
    after the hook, at the full rate. The rates have to be put into the new order when synapses move.

    ``inputs`` decides in which order the synapses are stored, which is what makes the products fast:

    - "any": by unit (CSR; buffers ``crow_indices``, ``col_indices``). The forward product costs B·nnz, in vector
      operations along the batch; the backward pass looks only at the units with a gradient, where those are few.
    - "winners": by input (CSC; ``ccol_indices``, ``row_indices``), for inputs of which few are not 0, dense tensors or
      :class:`Winners`. Both passes touch only the synapses of these, and **inputs that are 0 get no gradient**: behind
      k-winners and dropout it would be discarded.

    On the CPU the loops are compiled by Numba at first use; elsewhere the products are torch.sparse's. They compute in
    single precision, or double if anything is double.

    Args:
        in_features: number of inputs.
        out_features: number of units.
        density: share of live synapses; each unit gets round(density·in_features) random inputs. Give this,
        fan_in: the number of inputs of each unit, or
        indices: (2, nnz) long, the unit (row 0) and the input (row 1) of every synapse, in any order.
        bias: whether the units have a bias.
        inputs: what the inputs will be like, see above.
        method: "auto" looks at the share of non-zeros; "dense" (loops along the batch), "active" (loops over what is
            not zero) and "torch" (torch.sparse) force one.
        device: where the tensors go.
        dtype: their type.

    Shapes: input (..., in_features) or Winners; output (..., out_features), dense.

    Raises:
        ValueError: not exactly one of density, fan_in and indices is given, or it is out of range.
    """

    values: nn.Parameter
    bias: nn.Parameter | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        density: float | None = None,
        fan_in: int | None = None,
        indices: Tensor | None = None,
        bias: bool = True,
        inputs: Inputs = "any",
        method: Method = "auto",
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if inputs not in ("any", "winners"):
            raise ValueError(f'inputs must be "any" or "winners", not {inputs!r}')
        if method not in ("auto", "dense", "active", "torch"):
            raise ValueError(f'method must be "auto", "dense", "active" or "torch", not {method!r}')
        self.in_features, self.out_features = in_features, out_features
        self.inputs, self.method = inputs, method
        units, sources = _synapses(in_features, out_features, density, fan_in, indices, device)
        majors, minors = (units, sources) if inputs == "any" else (sources, units)
        wiring, _ = wiring_of(majors, minors, self.axes())
        for name, index in zip(self._index_names(), (wiring.pointers, wiring.minors), strict=True):
            self.register_buffer(name, index)
        self._layout: Layout | None = None
        self.values = nn.Parameter(torch.empty(len(units), device=wiring.minors.device, dtype=dtype))
        empty_bias = torch.empty(out_features, device=wiring.minors.device, dtype=dtype)
        self.register_parameter("bias", nn.Parameter(empty_bias) if bias else None)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw values and bias, uniform in ±1/√(live inputs of the unit); the bias of a unit without inputs is 0."""
        units = self.indices[0]
        bounds = torch.bincount(units, minlength=self.out_features).clamp_(min=1).to(self.values.dtype).rsqrt_()
        self.values.uniform_(-1, 1).mul_(bounds[units])
        if self.bias is not None:
            connected = torch.zeros_like(bounds).index_fill_(0, units, 1)
            self.bias.uniform_(-1, 1).mul_(bounds).mul_(connected)

    @property
    def indices(self) -> Tensor:
        """Unit (row 0) and input (row 1) of each value, long (2, nnz)."""
        wiring = self.layout.wiring
        majors, minors = wiring.majors(), wiring.minors.long()
        return torch.stack([majors, minors] if self.inputs == "any" else [minors, majors])

    @property
    def layout(self) -> Layout:
        """Where the synapses are, and how to multiply."""
        pointers, minors = (self.get_buffer(name) for name in self._index_names())
        known = self._layout
        if known is None or known.wiring.minors is not minors or known.wiring.pointers is not pointers:
            winners = self.inputs == "winners"
            self._layout = known = Layout(Wiring(pointers, minors), not winners, self.axes(), self.method, winners)
        known.method = self.method
        return known

    def extra_repr(self) -> str:
        """Return the settings and the loops that the last passes used, for ``repr``."""
        used = "".join(f", last {name}={loops}" for name, loops in self.layout.used.items())
        share = self.values.numel() / max(1, self.in_features * self.out_features)
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, synapses={self.values.numel()} "
            f"({share:.3g}), bias={self.bias is not None}, inputs={self.inputs}, method={self.method}{used}"
        )

    def forward(self, x: Tensor | Winners) -> Tensor:
        """Return x·Wᵀ + b.

        Raises:
            ValueError: the last dimension of ``x`` is not ``in_features``.
        """
        if x.shape[-1] != self.in_features:
            raise ValueError(f"SparseLinear: the input must be (..., {self.in_features}), not {tuple(x.shape)}")
        if isinstance(x, Winners):
            kind = torch.promote_types(x.values.dtype, self.values.dtype)
            y = self._of_winners(x, kind)
        else:
            kind = torch.promote_types(x.dtype, self.values.dtype)
            computed = _computed_in(kind)
            rows = x.reshape(-1, self.in_features).to(computed)
            y = sparse_product(rows, self.values.to(computed), self.layout).view(*x.shape[:-1], self.out_features)
        y = y.to(kind)
        return y if self.bias is None else y + self.bias

    def _of_winners(self, x: Winners, kind: torch.dtype) -> Tensor:
        computed = _computed_in(kind)
        values, coefs, layout = self.values.to(computed), x.values.to(computed), self.layout
        on_listed = self.inputs == "winners" and self.method in ("auto", "active") and layout.runs_loops(coefs)
        if on_listed:
            return winners_product(x.indices, coefs, values, layout)
        return sparse_product(Winners(x.indices, coefs, x.n).dense(), values, layout)

    @torch.no_grad()
    def rewire(self, drop: Tensor, grow: tuple[Tensor, Tensor], new_values: Tensor | None = None) -> Rewired:
        """Drop synapses and grow others, in place; ``values`` stays the same Parameter object.

        Outputs of earlier passes may be kept, but from now on a backward pass through them is an error. Autograd sees
        that and raises RuntimeError, but for a layer in half precision, which computes with a copy of its values.

        Args:
            drop: long (d,), positions in ``values``.
            grow: units and inputs of the new synapses, long (g,) each. A place that ``drop`` frees may be taken.
            new_values: their weights (g,); default 0.

        Returns:
            Which old synapse each new one was, to be handed to whoever keeps numbers per synapse. A
            ``cl_sparse.synapses.Ledger`` does that for the optimizer and all else.

        Raises:
            ValueError: a position or place is out of range, given twice, or already taken.
        """
        units, inputs = grow
        majors, minors = (units, inputs) if self.inputs == "any" else (inputs, units)
        wiring, mapping = rewired(self.layout.wiring, self.axes(), drop, majors, minors)
        fresh = self.values.new_zeros(len(units)) if new_values is None else new_values.to(self.values)
        if fresh.shape != units.shape:
            raise ValueError(f"new_values must be {tuple(units.shape)}, not {tuple(fresh.shape)}")
        replace_data(self.values, mapping.carry(self.values.detach(), fresh))
        self.set_wiring(wiring)
        return mapping

    @classmethod
    def from_masked(cls, masked: SparseWeights, inputs: Inputs = "any", method: Method = "auto") -> "SparseLinear":
        """Return the layer with the same weights, bias and live places as a mask over dense weights."""
        units, sources = masked.live_mask().nonzero(as_tuple=True)
        layer = cls(
            masked.weight.shape[1],
            masked.weight.shape[0],
            indices=torch.stack([units, sources]),
            bias=masked.bias is not None,
            inputs=inputs,
            method=method,
            dtype=masked.weight.dtype,
        )
        layer.load_state_dict(masked.state_dict())
        return layer

    @classmethod
    def from_dense(cls, dense: nn.Linear, inputs: Inputs = "any", method: Method = "auto") -> "SparseLinear":
        """Return the layer with the same weights and bias, all of them live."""
        units, sources = dense.weight.shape
        layer = cls(
            sources,
            units,
            density=1.0,
            bias=dense.bias is not None,
            inputs=inputs,
            method=method,
            device=dense.weight.device,
            dtype=dense.weight.dtype,
        )
        layer.load_state_dict(dense.state_dict())
        return layer

    def to_masked(self) -> SparseWeights:
        """Return the mask over dense weights that computes the same. It is of size inputs × units."""
        dense = nn.Linear(self.in_features, self.out_features, self.bias is not None).to(self.values)
        masked = SparseWeights(dense, weight_sparsity=1.0, allow_extremes=True)
        units, sources = self.indices
        with torch.no_grad():
            masked.zero_mask.fill_(True)[units, sources] = False
            masked.weight.zero_()[units, sources] = self.values
            if self.bias is not None and masked.bias is not None:
                masked.bias.copy_(self.bias)
        return masked

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any, **kwargs: Any) -> None:
        """Accept also the state of a :class:`SparseWeights`, an ``nn.Linear``, the other storage order."""
        own = {name.removeprefix(prefix): x for name, x in state_dict.items() if name.startswith(prefix)}
        found = places(own)
        if found is not None:
            others = {name: x for name, x in own.items() if name in self._buffers}  # of a layer derived from this one
            converted = others | sparse_state(own, self.inputs, self.in_features, self.out_features)
            state_dict = {prefix + name: x for name, x in converted.items()}
            pointers, minors = (converted[name] for name in self._index_names())
            if minors.shape != self.values.shape:
                replace_data(self.values, self.values.new_empty(minors.shape))
            self.set_wiring(Wiring(pointers.to(self.values.device), minors.to(self.values.device)))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        self._layout = None

    def set_wiring(self, wiring: Wiring) -> None:
        """Put other places in the present ones' stead; ``values`` has to be as long, and in their order."""
        kind = index_type(self.axes(), len(wiring.minors))
        for name, index in zip(self._index_names(), (wiring.pointers, wiring.minors), strict=True):
            setattr(self, name, index.to(kind).clone())

    def axes(self) -> tuple[int, int]:
        """Return the numbers of majors and minors: units and inputs, or, stored by inputs, inputs and units."""
        axes = (self.out_features, self.in_features)
        return axes if self.inputs == "any" else axes[::-1]

    def _index_names(self) -> tuple[str, str]:
        return BY_UNITS if self.inputs == "any" else BY_INPUTS


def _computed_in(kind: torch.dtype) -> torch.dtype:
    return torch.float64 if kind == torch.float64 else torch.float32


def _synapses(
    inputs: int, units: int, density: float | None, fan_in: int | None, indices: Tensor | None, device: Any
) -> tuple[Tensor, Tensor]:
    if sum(given is not None for given in (density, fan_in, indices)) != 1:
        raise ValueError("give exactly one of density, fan_in and indices")
    if indices is not None:
        if indices.dim() != 2 or indices.shape[0] != 2:
            raise ValueError(f"indices must be (2, nnz), units above inputs, not {tuple(indices.shape)}")
        moved = indices.to(device=device, dtype=torch.long)
        return moved[0], moved[1]
    if density is not None and not (math.isfinite(density) and 0.0 <= density <= 1.0):
        raise ValueError(f"density must be from 0 to 1, not {density}")
    count = fan_in if density is None else round(density * inputs)
    return draw_inputs(units, inputs, count or 0, device)
