"""What a training prints."""

from resnet.training.history import Epoch
from resnet.training.record import Change, Identity


def differences(changes: list[Change], most: int = 3) -> str:
    """What has changed between two identities: the first of the changes, and how many more."""
    words = [_change(change) for change in changes[:most]]
    more = len(changes) - most
    return "; ".join([*words, f"and {more} more"] if more > 0 else words)


def _change(change: Change) -> str:
    if change.key.startswith(("code.", "data.")):  # hashes, which tell a reader nothing
        return change.key.partition(".")[2] if change.key.startswith("code.") else change.key
    before, after = ("not set" if v is None else v[:40] for v in (change.before, change.after))
    return f"{change.key}: {before} → {after}"


def conditions(identity: Identity) -> str:
    """The lines that say where a training runs, and on what."""
    device, parameters = identity.device, identity.parameters
    precision = str(parameters.precision)
    if device.gpu:
        precision += f" ({device.float32_products} products)"
    line = f"on {device.name}, Keras on {device.backend}, {precision}, {parameters.source} data"
    if not device.gpu and parameters.source == "cifar10":
        epochs = parameters.recipe.epochs
        which = "the epoch" if epochs == 1 else f"each of the {epochs} epochs"
        line += f"\nno GPU: {which} takes about a minute or more on a CPU"
    return line


def print_epoch(epoch: Epoch, epochs: int) -> None:
    """Print an epoch's results in one line, and after the first how long all will take."""
    parts = [f"epoch {epoch.epoch}/{epochs}", f"loss {epoch.loss:.4f}  {epoch.accuracy:.2f} %"]
    if epoch.val_loss is not None:
        parts.append(f"held out: loss {epoch.val_loss:.4f}  {epoch.val_accuracy:.2f} %")
    if epoch.test_loss is not None:
        parts.append(f"test: loss {epoch.test_loss:.4f}  {epoch.test_accuracy:.2f} %")
    parts += [f"rate {epoch.learning_rate:g}", f"{epoch.seconds:.1f} s"]
    print("  ".join(parts), flush=True)
    if epoch.epoch == 1 and epochs > 1:
        print(f"all {epochs} epochs will take about {duration(epoch.seconds * epochs)}", flush=True)


def duration(seconds: float) -> str:
    """Seconds, minutes or hours in words."""
    minutes = round(seconds / 60)
    if minutes >= 120:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min" if minutes >= 2 else f"{seconds:.0f} s"
