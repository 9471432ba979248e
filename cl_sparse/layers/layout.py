"""Where the live synapses of a layer are, and how to multiply with them."""

from dataclasses import dataclass, field

from torch import Tensor

from cl_sparse.wiring.places import Wiring, wiring_of


@dataclass
class Layout:
    """A wiring, what is derived from it, and how to multiply.

    Attributes:
        wiring: the places of the synapses.
        by_units: whether the majors are the units (a layer stored by rows) or the inputs (by columns).
        shape: numbers of majors and minors.
        method: "auto", "dense" (loops along the batch), "active" (loops over what is on) or "torch" (torch.sparse).
        inputs_on_only: whether inputs that are 0 need no gradient.
        used: the methods that the last forward and backward pass chose.
    """

    wiring: Wiring
    by_units: bool
    shape: tuple[int, int]
    method: str = "auto"
    inputs_on_only: bool = False
    used: dict[str, str] = field(default_factory=dict)
    _transposed: tuple[Wiring, Tensor] | None = None
    _reversed: "Layout | None" = None

    def transposed(self) -> tuple[Wiring, Tensor]:
        """Return the wiring by minors, and the permutation that brings the values into its order."""
        if self._transposed is None:
            self._transposed = wiring_of(self.wiring.minors.long(), self.wiring.majors(), self.shape[::-1])
        return self._transposed

    def reversed(self) -> "Layout":
        """Return the layout that multiplies from the units to the inputs."""
        if self._reversed is None:
            self._reversed = Layout(self.wiring, not self.by_units, self.shape)
        self._reversed.method = self.method
        return self._reversed

    def runs_loops(self, x: Tensor) -> bool:
        """Whether the compiled loops are to be used: on the CPU, unless torch.sparse is forced."""
        return self.method != "torch" and x.device.type == "cpu"
