"""A plain, fast PyTorch loop, as a worker of speed.worker.

Data and augmentation are on the device; it uses channels last and autocast, and torch.compile on a
GPU.
"""

import platform
import time
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from resnet.data import arrays
from resnet.training.draws import epoch_draws
from speed.worker import ORIGINAL, Task, serve


class Block(nn.Module):
    """3x3, BN, ReLU, 3x3, BN, the sum, ReLU: the original's block of version 1."""

    def __init__(self, inputs: int, filters: int, strides: int):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(inputs, filters, 3, strides, 1), _norm(filters)
        self.conv2, self.norm2 = nn.Conv2d(filters, filters, 3, 1, 1), _norm(filters)
        self.shortcut = nn.Conv2d(inputs, filters, 1, strides) if strides > 1 else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = functional.relu(self.norm1(self.conv1(x)))
        return functional.relu(self.shortcut(x) + self.norm2(self.conv2(y)))


class Bottleneck(nn.Module):
    """BN-ReLU-convolution with 1x1, 3x3, 1x1, and the sum: the original's block of version 2."""

    def __init__(
        self, inputs: int, inner: int, filters: int, strides: int, first: bool, activated: bool
    ):
        super().__init__()
        self.activated = activated
        self.norm1 = nn.Identity() if activated else _norm(inputs)
        self.conv1, self.norm2 = nn.Conv2d(inputs, inner, 1, strides), _norm(inner)
        self.conv2, self.norm3 = nn.Conv2d(inner, inner, 3, 1, 1), _norm(inner)
        self.conv3 = nn.Conv2d(inner, filters, 1)
        self.shortcut = nn.Conv2d(inputs, filters, 1, strides) if first else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x if self.activated else functional.relu(self.norm1(x))
        y = functional.relu(self.norm2(self.conv1(y)))
        y = functional.relu(self.norm3(self.conv2(y)))
        return torch.as_tensor(self.shortcut(x) + self.conv3(y))


def _norm(channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)  # Keras' defaults


def build(version: int, depth: int) -> nn.Module:
    """The original's network of that version and depth, images (n, 3, 32, 32) to logits (n, 10)."""
    layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, 1, 1), _norm(16), nn.ReLU()]
    channels = 16
    for stage in range(3):
        for block in range((depth - 2) // (6 if version == 1 else 9)):
            strides = 2 if stage > 0 and block == 0 else 1
            if version == 1:
                filters = 16 * 2**stage
                layers.append(Block(channels, filters, strides))
            else:
                inner, filters = [(16, 64), (64, 128), (128, 256)][stage]
                layers.append(
                    Bottleneck(
                        channels,
                        inner,
                        filters,
                        strides,
                        first=block == 0,
                        activated=stage == block == 0,
                    )
                )
            channels = filters
    if version == 2:
        layers += [_norm(channels), nn.ReLU()]
    return nn.Sequential(*layers, nn.AvgPool2d(8), nn.Flatten(), nn.Linear(channels, 10))


class PyTorch:
    def __init__(self, task: Task, split: arrays.Split):
        recipe, self._augment = ORIGINAL.recipe, ORIGINAL.augment
        self._task, self._number = task, 0
        gpu = torch.cuda.is_available()
        self._device = torch.device("cuda" if gpu else "cpu")
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")  # TF32 where the device has it
        torch.backends.cudnn.allow_tf32 = True
        images = torch.from_numpy(np.array(split.images)).permute(0, 3, 1, 2)
        self._images = images.contiguous(memory_format=torch.channels_last).to(self._device)
        self._labels = torch.from_numpy(split.labels.astype(np.int64)).to(self._device)
        network = build(task.version, task.depth).to(
            self._device, memory_format=torch.channels_last
        )
        kernels = [module.weight for module in network.modules() if isinstance(module, nn.Conv2d)]
        rest = [
            weight
            for weight in network.parameters()
            if all(weight is not kernel for kernel in kernels)
        ]
        # Adam's weight_decay adds 2 * l2 * weight, the gradient of l2 * sum of squares.
        groups = [{"params": kernels, "weight_decay": 2 * recipe.l2}, {"params": rest}]
        self._optimizer = torch.optim.Adam(groups, recipe.learning_rate, eps=1e-7, fused=True)
        self._network: Any = torch.compile(network, mode="max-autotune") if gpu else network
        seconds = []
        for _ in range(3):
            start = time.perf_counter()
            self._train(4 * task.batch_size)
            seconds.append(time.perf_counter() - start)
        self.compile_seconds = max(0.0, seconds[0] - seconds[-1])
        compiled = "torch.compile max-autotune" if gpu else "eager"
        self.about = {
            "device": torch.cuda.get_device_name()
            if gpu
            else f"CPU, {torch.get_num_threads()} threads",
            "settings": f"PyTorch, {compiled}, channels last, fused Adam",
            "float32_products": "tf32" if gpu else "float32",
            "versions": {
                "python": platform.python_version(),
                "torch": torch.__version__,
                "numpy": np.__version__,
            },
        }

    def epoch(self) -> float:
        return self._train(self._task.images)

    def _train(self, images: int) -> float:
        """An epoch over the first `images`, on the same draws as ours; returns its mean loss."""
        augment, batch_size = self._augment, self._task.batch_size
        draws = epoch_draws(
            0,
            self._number,
            np.arange(images, dtype=np.int32),
            batch_size,
            augment.shift,
            augment.flip,
        )
        self._number += 1
        order = torch.from_numpy(draws.order.astype(np.int64)).to(self._device)
        whole = torch.from_numpy(np.floor(draws.shifts + 0.5).astype(np.int64)).to(self._device)
        flips = torch.from_numpy(draws.flips).to(self._device)
        total = torch.zeros((), device=self._device)
        for indices, shifts, flip in zip(order, whole, flips, strict=True):
            x, y = augmented(self._images[indices], shifts, flip), self._labels[indices]
            with torch.autocast(
                self._device.type, torch.bfloat16, enabled=self._task.precision == "bfloat16"
            ):
                logits = self._network(x)
            loss = functional.cross_entropy(logits.float(), y)
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self._optimizer.step()
            total += loss.detach()
        return float(total) / len(order)


def augmented(images: torch.Tensor, shifts: torch.Tensor, flips: torch.Tensor) -> torch.Tensor:
    """Shift images (n, 3, 32, 32) by whole pixels (n, 2), nearest fill; flip where `flips` (n,)."""
    grid = torch.arange(32, device=images.device)
    columns = torch.where(flips[:, None], 31 - grid, grid) + shifts[:, 1:2]
    rows = (grid + shifts[:, 0:1]).clamp(0, 31)
    n = torch.arange(len(images), device=images.device)[:, None, None]
    moved = images.permute(0, 2, 3, 1)[n, rows[:, :, None], columns.clamp(0, 31)[:, None, :]]
    return moved.permute(0, 3, 1, 2)


if __name__ == "__main__":
    serve(PyTorch)
