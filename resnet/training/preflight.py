"""What is checked and said before a training starts.

The train stage does not depend on this module: no bit of a result can.
"""

from pathlib import Path

from resnet.errors import BenchmarkError
from resnet.params import Params

LINKS_REFUSED = (Path("models"), Path("data"))


def check(settings: Params, name: str, seed: int) -> None:
    """Say which of the listed trainings this is; raises BenchmarkError where it must not start."""
    for path in LINKS_REFUSED:
        if path.is_symlink():
            raise BenchmarkError(
                f"{path} is a symbolic link, which DVC refuses after the training; move the cache "
                "instead: `dvc cache dir` (docs/environment.md)"
            )
    listed = [(variant, each) for variant in settings.variants for each in settings.seeds]
    if len(listed) > 1 and (name, seed) in listed:
        number = listed.index((name, seed)) + 1
        print(f"training {number} of up to {len(listed)}: {name}, seed {seed}", flush=True)
