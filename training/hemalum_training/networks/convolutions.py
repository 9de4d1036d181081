"""Convolutions whose padding is known beforehand, of anti-aliased strides, and of bytes as they lie in memory."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class PaddedConv2d(nn.Conv2d):
    """`Conv2dSame` for inputs whose sides are multiples of its stride: the padding is known beforehand."""

    def kernel(self) -> torch.Tensor:
        """The weights that are applied."""
        return self.weight

    def forward(self, x):
        kernel = self.kernel()
        (kh, kw), (sh, sw) = kernel.shape[2:], self.stride
        ph, pw = max(kh - sh, 0), max(kw - sw, 0)
        x = F.pad(x, (pw // 2, pw - pw // 2, ph // 2, ph - ph // 2))
        return F.conv2d(x, kernel, self.bias, self.stride, 0, self.dilation, self.groups)


class SmoothConv2d(PaddedConv2d):
    """A convolution of stride 2 with the box of 2 × 2 before it, as one kernel.

    The kernel is one wider and even, so that it is centred on its cell.  A stride alone folds fine detail into coarse
    maps, and a nucleus then depends on where between the cells it lies (Zhang 2019, arXiv 1904.11486).  Both are
    linear, so the box costs a slightly larger kernel; weights are those of the convolution alone.
    """

    def kernel(self) -> torch.Tensor:
        return F.avg_pool2d(F.pad(self.weight, (1, 1, 1, 1)), 2, stride=1)


class CellConv2d(nn.Conv2d):
    """The first layer for bytes as they lie in memory: of `as_cells` it gives what `layer` gives of folded pixels.

    The kernel of `layer`, brought to pixels and filled up with zeros, spans two cells of its stride along either axis.
    """

    @staticmethod
    def fits(layer: nn.Conv2d) -> bool:
        """Whether a layer can be brought to cells: stride 2, and a kernel of at most 4 × 4."""
        if not isinstance(layer, PaddedConv2d) or layer.stride != (2, 2) or layer.bias is not None:
            return False
        height, width = layer.kernel().shape[2:]
        return height == width <= 4

    def __init__(self, layer: PaddedConv2d, fold: int):
        kernel = layer.kernel().detach()
        outputs, inputs, height, width = kernel.shape
        colours = inputs // fold**2
        cell = 2 * fold
        super().__init__(colours * cell**2, outputs, 2, bias=False)
        kernel = kernel.view(outputs, colours, fold, fold, height, width)
        pixels = kernel.permute(0, 1, 4, 2, 5, 3).reshape(outputs, colours, fold * height, fold * width)
        pixels = F.pad(pixels, (0, 2 * cell - fold * width, 0, 2 * cell - fold * height))
        cells = pixels.view(outputs, colours, 2, cell, 2, cell).permute(0, 3, 5, 1, 2, 4)
        self.weight = nn.Parameter(cells.reshape(outputs, colours * cell**2, 2, 2))
        self.cell, self.before = cell, fold * ((height - 2) // 2)

    def as_cells(self, pixels: torch.Tensor) -> torch.Tensor:
        """uint8 N×H×W×3 → N×12·fold²×h+1×w+1, with the pixels of a cell row by row; beyond the image lies grey."""
        n, cell = pixels.shape[0], self.cell
        sides = self.before, cell - self.before
        padded = F.pad(pixels, (0, 0, *sides, *sides), value=128)
        rows, columns = padded.shape[1] // cell, padded.shape[2] // cell
        cells = padded.reshape(n, rows, cell, columns, 3 * cell).transpose(2, 3)
        return cells.reshape(n, rows, columns, 3 * cell**2).permute(0, 3, 1, 2)


def with_plain_kernels(module: nn.Module) -> None:
    """Replace kernels by those that are applied, for a graph without the arithmetic that makes them."""
    for name, child in module.named_children():
        if isinstance(child, SmoothConv2d):
            kernel = child.kernel().detach()
            conv = PaddedConv2d(child.in_channels, child.out_channels, kernel.shape[2:], stride=child.stride,
                                dilation=child.dilation, groups=child.groups, bias=False)
            conv.weight = nn.Parameter(kernel)
            setattr(module, name, conv)
        else:
            with_plain_kernels(child)
