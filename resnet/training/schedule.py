"""The learning rate of each epoch."""

from collections.abc import Sequence

from resnet.variant import Recipe


def learning_rate(
    recipe: Recipe, depth: int, epoch: int, held_out_losses: Sequence[float] = ()
) -> float:
    """The learning rate of an epoch, counted from 0 as in the original's lr_schedule(epoch).

    In networks of at least `warmup.depth` layers the first `warmup.epochs` run at `warmup.factor`
    times the rate; from each of `drops` on, the rate is `learning_rate` times its factor. Each
    plateau in the losses on held-out images so far lowers it further, but not below
    `plateau_min_rate`.
    """
    factor = 1.0
    if depth >= recipe.warmup.depth and epoch < recipe.warmup.epochs:
        factor = recipe.warmup.factor
    for drop in recipe.drops:
        if epoch >= drop.epoch:
            factor = drop.factor
    rate = recipe.learning_rate * factor
    scale = plateau_scale(held_out_losses, recipe.plateau_factor, recipe.plateau_patience)
    return max(rate * scale, min(rate, recipe.plateau_min_rate))


def plateau_scale(
    losses: Sequence[float], factor: float, patience: int, min_delta: float = 1e-4
) -> float:
    """`factor` to the power of the number of plateaus in a sequence of losses, one per epoch.

    A plateau is `patience` epochs in a row without a loss that is lower than the best by more than
    min_delta, as keras.callbacks.ReduceLROnPlateau counts with its defaults.
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
