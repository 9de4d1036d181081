"""The processes of one training, as `torchrun` starts them; a single process needs none of this and pays nothing."""

from __future__ import annotations

import atexit
import os
from datetime import timedelta

import torch
import torch.distributed as dist

PATIENCE = timedelta(hours=4)       # the first process validates while the others wait


class Processes:
    """`rank` and `count` of this process; gradients averaged by all-reduce.

    Every process draws its own tiles and works the same kind of step, so weights stay equal; the files are the first
    one's.
    """

    def __init__(self):
        self.rank, self.count = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)

    @classmethod
    def join(cls, device: str) -> Processes:
        """Join the group that the environment of `torchrun` names, if it names one."""
        if int(os.environ.get("WORLD_SIZE", 1)) > 1 and not dist.is_initialized():
            if device.startswith("cuda"):
                torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
            dist.init_process_group("nccl" if device.startswith("cuda") else "gloo", timeout=PATIENCE)
            atexit.register(dist.destroy_process_group)     # its threads would abort a process that ends beside them
        return cls()

    @property
    def first(self) -> bool:
        return self.rank == 0

    def average(self, parameters: list[torch.nn.Parameter]) -> None:
        """Replace gradients by their mean; a parameter that no process gave a gradient keeps none.

        They travel together: hundreds of small messages would cost more than what they carry.
        """
        if self.count == 1:
            return
        present = torch.tensor([p.grad is not None for p in parameters], dtype=torch.int32, device=parameters[0].device)
        dist.all_reduce(present, dist.ReduceOp.MAX)
        given = [parameter for parameter, there in zip(parameters, present.tolist(), strict=True) if there]
        if not given:
            return
        for parameter in given:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        bucket = torch.cat([parameter.grad.reshape(-1) for parameter in given])
        dist.all_reduce(bucket)
        bucket /= self.count
        for parameter, part in zip(given, bucket.split([parameter.numel() for parameter in given]), strict=True):
            parameter.grad.copy_(part.view_as(parameter))

    def gather(self, value) -> list:
        """`value` of every process, in all of them."""
        if self.count == 1:
            return [value]
        out = [None] * self.count
        dist.all_gather_object(out, value)
        return out

    def wait(self) -> None:
        if self.count > 1:
            dist.barrier()
