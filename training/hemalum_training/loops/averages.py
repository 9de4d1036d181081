"""Means of weights: over the steps of a training, and between its begin and its end."""

from __future__ import annotations

import torch


def blend(start: dict[str, torch.Tensor], end: dict[str, torch.Tensor], share: float) -> dict[str, torch.Tensor]:
    """`share` of `end` and the rest of `start`, weight by weight; counters are `end`'s.

    >>> blend({"w": torch.zeros(2)}, {"w": torch.ones(2)}, 0.25)["w"].tolist()
    [0.25, 0.25]
    """
    return {k: torch.lerp(start[k], v, share) if v.is_floating_point() else v for k, v in end.items()}


class Ema:
    """Exponential moving average of a network's weights and buffers.

    With warm-up: the decay is min(decay, step / (step + 20)).
    """

    def __init__(self, network: torch.nn.Module, decay: float):
        self.decay, self.state = decay, {k: v.detach().clone() for k, v in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: torch.nn.Module, step: int) -> None:
        decay = min(self.decay, step / (step + 20))
        for key, value in network.state_dict().items():
            if value.is_floating_point():
                self.state[key].lerp_(value, 1 - decay)
            else:
                self.state[key].copy_(value)
