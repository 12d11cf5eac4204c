"""The learning rate of each epoch, a pure function of the recipe and of the held-out losses so far."""

from collections.abc import Sequence


def learning_rate(epoch: int, base: float, drops: Sequence[tuple[int, float]]) -> float:
    """The scheduled rate of an epoch, counted from 0: base times the factor of the last (epoch, factor) reached.

    The original's lr_schedule is base 1e-3 with factors 1e-1, 1e-2, 1e-3, 0.5e-3 from epochs 81, 121, 161, 181.
    """
    factor = 1.0
    for start, value in drops:
        if epoch >= start:
            factor = value
    return base * factor


def warmed_up(
    drops: Sequence[tuple[int, float]], epochs: int, factor: float
) -> list[tuple[int, float]]:
    """The drops after a warm-up: `factor` times the rate for the first `epochs`, the whole rate after them; 0 epochs are none."""
    return [(0, factor), (epochs, 1.0), *drops] if epochs else list(drops)


def plateau_scale(
    losses: Sequence[float], factor: float, patience: int, min_delta: float = 1e-4
) -> float:
    """What to multiply the rate by after epochs with these held-out losses: `factor` for each plateau so far.

    A plateau is `patience` epochs in a row without a loss lower than the best by more than min_delta, as
    keras.callbacks.ReduceLROnPlateau counts with its defaults.
    """
    scale, best, waited = 1.0, float("inf"), 0
    for loss in losses:
        if loss < best - min_delta:
            best, waited = loss, 0
        else:
            waited += 1
            if waited >= patience:
                scale, waited = scale * factor, 0
    return scale


def plateaued(scheduled: float, scale: float, min_rate: float) -> float:
    """The scheduled rate after plateaus: times `scale`, which takes it no lower than min_rate."""
    return max(scheduled * scale, min(scheduled, min_rate))
