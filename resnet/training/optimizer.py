"""Adam and SGD as pure functions of one vector of weights.

A few operations on one long vector cost less than many on short ones. The arithmetic is that of
keras.optimizers, operation for operation, so the results are equal. (Keras' own `stateless_apply`
does not exist on TensorFlow.)
"""

from typing import Any

from keras import ops

Tensor = Any  # a tensor of the backend


def initial_state(kind: str, weights: Tensor) -> tuple[Tensor, ...]:
    """The optimizer's state before the first step, each part shaped as the weights.

    adam has two moments, sgd a velocity.
    """
    return (ops.zeros_like(weights),) * {"adam": 2, "sgd": 1}[kind]


def update(
    kind: str,
    weights: Tensor,
    gradient: Tensor,
    state: tuple[Tensor, ...],
    step: Tensor,
    rate: Tensor,
    momentum: float,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """One step: weights and gradient (parameters,) to the new weights and optimizer state.

    `step` counts from 1 and is a float.
    """
    if kind == "adam":
        return adam(weights, gradient, state, step, rate)
    return sgd(weights, gradient, state, rate, momentum)


def adam(
    weights: Tensor,
    gradient: Tensor,
    state: tuple[Tensor, ...],
    step: Tensor,
    rate: Tensor,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Kingma and Ba, arXiv:1412.6980, with Keras' defaults and epsilon where Keras adds it."""
    first, second = state
    alpha = rate * ops.sqrt(1 - ops.power(beta_2, step)) / (1 - ops.power(beta_1, step))
    first = first + (gradient - first) * (1 - beta_1)
    second = second + (ops.square(gradient) - second) * (1 - beta_2)
    return weights - first * alpha / (ops.sqrt(second) + epsilon), (first, second)


def sgd(
    weights: Tensor, gradient: Tensor, state: tuple[Tensor, ...], rate: Tensor, momentum: float
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Classical momentum with the rate inside the velocity, as in keras.optimizers.SGD."""
    (velocity,) = state
    velocity = velocity * momentum - gradient * rate
    return weights + velocity, (velocity,)
