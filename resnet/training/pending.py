"""Which trainings `dvc repro` would run, by DVC's own comparison.

The train stage does not depend on this module: it is read only before a training starts. It can ask
within a running stage, but not about that stage itself, whose files DVC has locked.
"""

import re
from typing import Any, NamedTuple

from resnet.errors import BenchmarkError

STAGE = re.compile(r"train@(.+)-(\d+)")


class Name(NamedTuple):
    """What identifies a training."""

    variant: str
    seed: int

    @property
    def stage(self) -> str:
        return f"train@{self}"

    def __str__(self) -> str:
        return f"{self.variant}-{self.seed}"


def trainings(repo: Any) -> dict[Name, Any]:
    """The train stages of a dvc.repo.Repo, in the order of dvc.yaml."""
    found = {}
    for stage in repo.index.stages:
        if match := STAGE.fullmatch(getattr(stage, "name", None) or ""):
            found[Name(match[1], int(match[2]))] = stage
    return found


def is_recorded(stage: Any) -> bool:
    """Whether dvc.lock has the output of this very training: command, code, values and data."""
    if stage.cmd_changed or not all(out.hash_info for out in stage.outs):
        return False
    return not any(dep.workspace_status() for dep in stage.deps)


def would_run(stage: Any) -> bool:
    """Whether DVC would train, rather than find the output in models/, its cache or run cache."""
    if is_recorded(stage):
        return not stage.outs_cached()
    return not in_run_cache(stage)


def in_run_cache(stage: Any) -> bool:
    """Whether DVC's run cache has this very training, with its output in the cache.

    DVC itself looks there only if dvc.lock does not record the training.
    """
    from dvc.exceptions import DvcException
    from dvc.stage.cache import RunCacheNotFoundError
    from dvc_data.hashfile.hash_info import HashInfo

    try:
        stage.save_deps()  # in memory: the run cache is looked up by what is there now
        for out in stage.outs:
            out.hash_info = HashInfo()
        stage.repo.stage_cache.restore(stage, dry=True)
    except (RunCacheNotFoundError, DvcException, FileNotFoundError):
        return False
    return True


def pending(repo: Any, running: Name | None = None) -> list[Name]:
    """The trainings that DVC would run, and `running`, which DVC has locked for its own run."""
    return [name for name, stage in trainings(repo).items() if name == running or would_run(stage)]


def remote_holds(stage: Any, remote: str | None = None) -> bool:
    """Whether a remote, by default DVC's default one, has the whole output that dvc.lock records.

    Raises BenchmarkError where the remote cannot be read; False where there is none.
    """
    from dvc.config import RemoteConfigError
    from dvc_data.hashfile.tree import Tree

    try:
        odb = stage.repo.cloud.get_remote_odb(remote, hash_name="md5")
        for out in stage.outs:
            if not odb.exists(out.hash_info.value):
                return False
            tree = Tree.load(odb, out.hash_info)
            if not all(odb.exists(file.value) for _, _, file in tree):
                return False
    except RemoteConfigError:  # there is none
        return False
    except Exception as error:  # each kind of remote has its own
        reason = " ".join(str(error).split()) or type(error).__name__
        name = f"remote {remote}" if remote else "default remote"
        raise BenchmarkError(f"DVC's {name} cannot be read: {reason[:200]}") from error
    return True


def targets(command: str) -> set[str]:
    """The variants and trainings that a dvc command names, without `train@` and `evaluate@`."""
    words = (word.rpartition(":")[2] for word in command.split())
    found = (re.fullmatch(r"(?:train|evaluate)@(.+)", word) for word in words)
    return {match[1] for match in found if match}
