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

    def __init__(self, weight: Tensor, bias: Tensor, *, activation: str = "none") -> None:
        self._weight = weight.detach().contiguous()
        self._bias = bias.detach().contiguous()
        self._activation = activation
        self._packed = _packed(self._weight)

    @classmethod
    def of(cls, module: Any, dtype: torch.dtype, *, activation: str = "none") -> Linear:
        """The weights of a `torch.nn.Linear` or of a 1x1 convolution."""
        weight, bias = weight_and_bias(module)
        return cls(weight.to(dtype), bias.to(dtype), activation=activation)

    @property
    def bias(self) -> Tensor:
        """What zeros become before the activation."""
        return self._bias

    def __call__(self, x: Tensor) -> Tensor:
        """(..., in) to (..., out)."""
        if not self._packed_pays(x):
            return ACTIVATIONS[self._activation](functional.linear(x, self._weight, self._bias))
        return torch.ops.mkldnn._linear_pointwise(x, self._packed, self._bias, self._activation, [], "none")

    def add_to(self, residual: Tensor, x: Tensor) -> Tensor:
        """residual + self(x); only for layers without an activation."""
        if not self._packed_pays(x):
            return residual + functional.linear(x, self._weight, self._bias)
        return torch.ops.mkldnn._linear_pointwise.binary(x, residual, self._packed, self._bias, "add")

    def _packed_pays(self, x: Tensor) -> bool:
        """Not where calling oneDNN takes longer than the product, nor where a compiler wants to see what is done."""
        if self._packed is None or torch.compiler.is_compiling():
            return False
        return x.dtype == torch.bfloat16 or x.numel() * len(self._weight) > PACKING_PAYS_FROM


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


def _packed(weight: Tensor) -> Tensor | None:
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return None
    if weight.dtype == torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return None
    return torch.ops.mkldnn._reorder_linear_weight(weight)
