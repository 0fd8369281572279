"""Layers with fixed weights: matrix products packed once for the processor they run on, and layer norms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda x: x,
    "relu": functional.relu,
    "gelu": functional.gelu,
}

PACKING_PAYS_FROM = 4_000_000  # multiplications


class Linear:
    """x -> activation(x @ weight.T + bias) (+ a residual), in the dtype of the weight.

    On CPUs oneDNN gets the weight in its own layout and applies the activation on the way out: 10 to 25 % faster than
    `torch.nn.Linear`, which repacks the weight in every call.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, *, activation: str = "none") -> None:
        self._weight = weight.detach().contiguous()
        self._bias = None if bias is None else bias.detach().contiguous()
        self._activation = activation
        self._can_pack = _can_pack(self._weight)
        self._packed: Tensor | None = None

    @classmethod
    def of(cls, module: Any, dtype: torch.dtype, *, activation: str = "none") -> Linear:
        """The weights of a `torch.nn.Linear` or of a 1x1 convolution."""
        weight, bias = weight_and_bias(module)
        return cls(weight.to(dtype), bias.to(dtype), activation=activation)

    @property
    def bias(self) -> Tensor:
        """What zeros become before the activation."""
        assert self._bias is not None
        return self._bias

    def __call__(self, x: Tensor) -> Tensor:
        """(..., in) to (..., out)."""
        packed = self._packed_for(x)
        if packed is None:
            return ACTIVATIONS[self._activation](functional.linear(x, self._weight, self._bias))
        return torch.ops.mkldnn._linear_pointwise(x, packed, self._bias, self._activation, [], "none")

    def add_to(self, residual: Tensor, x: Tensor) -> Tensor:
        """residual + self(x); only for layers without an activation."""
        packed = self._packed_for(x)
        if packed is None:
            return residual + functional.linear(x, self._weight, self._bias)
        return torch.ops.mkldnn._linear_pointwise.binary(x, residual, packed, self._bias, "add")

    def _packed_for(self, x: Tensor) -> Tensor | None:
        """None where calling oneDNN takes longer than the product, and where a compiler wants to see what is done."""
        is_small = x.dtype == torch.float32 and x.numel() * len(self._weight) < PACKING_PAYS_FROM
        if not self._can_pack or is_small or torch.compiler.is_compiling():
            return None
        if self._packed is None:
            self._packed = torch.ops.mkldnn._reorder_linear_weight(self._weight)
        return self._packed


class LayerNorm:
    """Layer norm over the last dimension of (..., C)."""

    def __init__(self, module: Any, dtype: torch.dtype) -> None:
        assert isinstance(module, nn.LayerNorm)
        self._weight, self._bias = module.weight.detach().to(dtype), module.bias.detach().to(dtype)
        self._eps = module.eps

    def __call__(self, x: Tensor) -> Tensor:
        """Same shape out as in."""
        return functional.layer_norm(x, self._weight.shape, self._weight, self._bias, self._eps)


def weight_and_bias(module: Any) -> tuple[Tensor, Tensor]:
    """(out, in) and (out,) float64 of a linear layer or a 1x1 convolution."""
    assert isinstance(module, nn.Linear | nn.Conv2d), type(module)
    assert module.bias is not None
    return module.weight.detach().flatten(1).double(), module.bias.detach().double()


def _can_pack(weight: Tensor) -> bool:
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    return weight.dtype != torch.bfloat16 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
