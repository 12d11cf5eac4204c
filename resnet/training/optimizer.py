"""Adam and SGD as pure functions of one long vector of weights: a few large operations a step where Keras has many small ones.

The arithmetic is that of keras.optimizers, operation for operation, so the results are its results. (Keras' own
`stateless_apply` does not exist on TensorFlow.)
"""

from typing import Any

from keras import ops

Tensor = Any  # a tensor of the backend


def slots(kind: str, weights: Tensor) -> tuple[Tensor, ...]:
    """The optimizer's memory before the first step: adam's two moments, or sgd's velocity, each shaped as the weights."""
    return (ops.zeros_like(weights),) * {"adam": 2, "sgd": 1}[kind]


def update(
    kind: str,
    weights: Tensor,
    gradient: Tensor,
    memory: tuple[Tensor, ...],
    step: Tensor,
    rate: Tensor,
    momentum: float,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """One step: weights and gradient (parameters,); `step` counts from 1, a float; returns the new weights and memory."""
    if kind == "adam":
        return adam(weights, gradient, memory, step, rate)
    return sgd(weights, gradient, memory, rate, momentum)


def adam(
    weights: Tensor,
    gradient: Tensor,
    memory: tuple[Tensor, ...],
    step: Tensor,
    rate: Tensor,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Kingma and Ba, arXiv:1412.6980, with Keras' defaults and its place of epsilon."""
    first, second = memory
    alpha = rate * ops.sqrt(1 - ops.power(beta_2, step)) / (1 - ops.power(beta_1, step))
    first = first + (gradient - first) * (1 - beta_1)
    second = second + (ops.square(gradient) - second) * (1 - beta_2)
    return weights - first * alpha / (ops.sqrt(second) + epsilon), (first, second)


def sgd(
    weights: Tensor, gradient: Tensor, memory: tuple[Tensor, ...], rate: Tensor, momentum: float
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Stochastic gradient descent with classical momentum, the rate inside the velocity, as keras.optimizers.SGD has it."""
    (velocity,) = memory
    velocity = velocity * momentum - gradient * rate
    return weights + velocity, (velocity,)
