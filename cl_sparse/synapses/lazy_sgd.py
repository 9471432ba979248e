"""SGD that leaves alone the weights of inputs that were off, until they are used."""

from collections.abc import Callable, Mapping
from typing import Any, overload

import torch
from torch import Tensor, nn
from torch.optim.sgd import sgd

from cl_sparse.layers.active_linear import InputMajorWeight, fast
from cl_sparse.synapses.lazy_rows import StepRule, WeightRows, zero_momentum
from cl_sparse.synapses.scaled_rows import FRACTIONAL, rows_of

# What torch's step takes from a parameter group.
_NUMBERS = ("lr", "momentum", "weight_decay", "dampening", "nesterov", "maximize")


class LazySGD(torch.optim.SGD):
    """``torch.optim.SGD``, number by number, whose cost follows the winners in layers that compute only what wins.

    The weights of ``ActiveLinear`` and ``WinnerLinear`` layers get sparse gradients. Momentum and weight decay of
    inputs that were off are put off until the input is used, or all are needed, and then applied in closed form
    (:mod:`cl_sparse.synapses.lazy_rows`). All other parameters are updated by torch's fused kernel. State dicts are
    those of ``torch.optim.SGD``, and can be exchanged with it.

    A parameter without gradient is not updated at all, as in torch. To hand the model to another optimizer, call
    :meth:`release` first.

    Args:
        params: parameters or parameter groups.
        lr: learning rate.
        momentum: momentum.
        weight_decay: L2 penalty.
        nesterov: Nesterov's momentum.

    Raises:
        ValueError: as ``torch.optim.SGD``; or a group, or a state that is loaded, has dampening or maximize.
    """

    def __init__(
        self, params: Any, lr: float, *, momentum: float = 0.0, weight_decay: float = 0.0, nesterov: bool = False
    ) -> None:
        self.scales: dict[Tensor, Tensor] = {}
        super().__init__(params, lr=lr, momentum=momentum, weight_decay=weight_decay, nesterov=nesterov, fused=True)
        # A gradient scaler is to unscale the gradients, and to skip steps, itself: sparse ones too.
        self._step_supports_amp_scaling = False
        self.claim()

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Take one step."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self.claim()
        for group in self.param_groups:
            changed = [p for p in group["params"] if p.grad is not None]
            momenta = {p: self._momentum(p) for p in changed} if group["momentum"] else {}
            current = [p for p in changed if not self._step_lazily(p, group)]
            before = {p: p.detach().clone() for p in current if p in self.scales}
            # Not super().step(): what that does besides takes longer than the update of a few biases.
            sgd(
                current,
                [p.grad for p in current],
                [momenta[p] for p in current] if momenta else [],
                has_sparse_grad=any(p.grad.is_sparse for p in current),
                fused=True,
                **{name: group[name] for name in _NUMBERS},
            )
            for p, old in before.items():
                scale_change(p, old, self.scales[p])
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, as ``torch.optim.SGD``, which enters it into a profile as well."""
        if not set_to_none:
            super().zero_grad(set_to_none=False)
            return
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    def flush(self) -> None:
        """Bring all weights up to date."""
        for parameter in self._lazy_parameters():
            if parameter.lazy_rows is not None:
                parameter.lazy_rows.catch_up()

    def release(self) -> None:
        """Bring all weights up to date, and let their layers give dense gradients again."""
        self.flush()
        for parameter in self._lazy_parameters():
            parameter.lazy_rows = None

    def __getstate__(self) -> dict[str, Any]:
        """Bring the weights up to date before they are copied: what a copy's layers wait for would be lost."""
        self.flush()
        state: dict[str, Any] = super().__getstate__()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a copy; who scaled the original's updates has to scale the copy's anew."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self.__dict__.setdefault("scales", {})

    def scale_updates(self, scale: Mapping[nn.Parameter, Tensor]) -> None:
        """Multiply the change that a step makes to weights that are updated lazily by factors, from now on.

        Users call :func:`cl_sparse.synapses.scale_updates`, which scales every parameter under every optimizer.

        Args:
            scale: factors in the shape of the weight; other weights move freely, other parameters are left out.

        Raises:
            ValueError: with weight decay, for a factor other than 0 and 1.
        """
        self.release()
        self.scales = {p: s for p, s in scale.items() if isinstance(p, InputMajorWeight) and fast(p)}
        self.claim()

    def check_fractional(self) -> None:
        """Raise ValueError if the settings do not allow factors other than 0 and 1."""
        if any(group["weight_decay"] for group in self.param_groups) and self._lazy_parameters():
            raise ValueError(FRACTIONAL)

    def state_dict(self) -> dict[str, Any]:
        """Return the state, as of ``torch.optim.SGD``, with all weights and momenta up to date."""
        self.flush()
        packed = super().state_dict()
        # In torch's memory layout: its fused kernel trusts the momentum to lie in memory like the weight.
        packed["state"] = {
            number: {name: value.contiguous() if torch.is_tensor(value) else value for name, value in state.items()}
            for number, state in packed["state"].items()
        }
        return packed

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state of this class or of ``torch.optim.SGD``."""
        self.flush()
        super().load_state_dict(state_dict)
        for group in self.param_groups:
            group["fused"], group["foreach"] = True, None
        for parameter, state in self.state.items():
            momentum = state.get("momentum_buffer")
            if momentum is not None and momentum.stride() != parameter.stride():
                state["momentum_buffer"] = zero_momentum(parameter).copy_(momentum)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a parameter group."""
        super().add_param_group(param_group)
        self.claim()

    def _lazy_parameters(self) -> list[InputMajorWeight]:
        parameters = (parameter for group in self.param_groups for parameter in group["params"])
        return [p for p in parameters if isinstance(p, InputMajorWeight)]

    def claim(self) -> None:
        """Ask for sparse gradients of the weights that can be updated lazily."""
        for group in self.param_groups:
            if group["dampening"] or group["maximize"]:
                raise ValueError("LazySGD knows neither dampening nor maximize: train with torch.optim.SGD")
            for parameter in group["params"]:
                if isinstance(parameter, InputMajorWeight) and parameter.lazy_rows is None and fast(parameter):
                    parameter.lazy_rows = rows_of(parameter, None, _rule(group), self.scales.get(parameter))

    def _step_lazily(self, parameter: Tensor, group: dict[str, Any]) -> bool:
        """Take the step of a weight with a sparse gradient; bring one with a dense gradient up to date for its step."""
        if not isinstance(parameter, InputMajorWeight) or not isinstance(parameter.lazy_rows, WeightRows):
            return False
        rows, grad = self._rows(parameter, group), parameter.grad
        if grad is None or not grad.is_sparse:
            rows.catch_up()
            return False
        # Repeated entries add up in the update as they would in the gradient: it need not be coalesced.
        if grad.sparse_dim() == 1:
            rows.step_units(grad._indices()[0], grad._values())
        else:
            rows.step_entries(grad._indices()[0], grad._indices()[1], grad._values())
        return True

    def _momentum(self, parameter: Tensor) -> Tensor:
        """Return the momentum of a parameter, zero at first."""
        state = self.state[parameter]
        if state.get("momentum_buffer") is None:
            state["momentum_buffer"] = zero_momentum(parameter)
        momentum: Tensor = state["momentum_buffer"]
        return momentum

    def _rows(self, parameter: InputMajorWeight, group: dict[str, Any]) -> WeightRows:
        """Return the parameter's rows, for the group's present numbers and the present momentum."""
        rule = _rule(group)
        # Without momentum torch leaves an earlier buffer as it is.
        momentum = self._momentum(parameter) if rule.momentum else None
        rows = parameter.lazy_rows
        if not isinstance(rows, WeightRows) or rows.rule != rule or rows.momentum is not momentum:
            if rows is not None:
                rows.catch_up()
            rows = parameter.lazy_rows = rows_of(parameter, momentum, rule, self.scales.get(parameter))
        return rows


def scale_change(parameter: Tensor, before: Tensor, scale: Tensor) -> None:
    """Set ``parameter`` to before + scale·(parameter − before), in place; with factor 0 even if it is not finite."""
    torch.lerp(before, parameter, scale, out=parameter)
    if not bool(parameter.sum().isfinite()):  # 0·∞
        torch.where(scale == 0, before, parameter, out=parameter)


def _rule(group: dict[str, Any]) -> StepRule:
    return StepRule(float(group["lr"]), group["momentum"], group["weight_decay"], group["nesterov"])
