"""Whether the results in git were produced by the code and parameters of the same revision.

DVC compares them with dvc.lock. Data and checkpoints are not in git, so a clone lacks them and they
are not compared here: scripts/verify.py does that where there are checkpoints.
"""

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from resnet.results.markdown import code

WORKSPACE = "workspace"  # DVC's name for the working tree, committed or not
TABLES = "the tables"


def stale_results(repo: Any, rev: str) -> list[str]:
    """What shows that results at a revision are stale: Markdown lines that begin with the variants.

    `repo` is a dvc.repo.Repo. Results are stale where dvc.lock records another file, e.g. because
    one was edited by hand, and where a stage that led to them ran with other code or parameters.
    Nothing outside the repository is opened, whatever a stage names.
    """
    # What is wrong and with what, to the variants; dicts preserve the order.
    found: dict[tuple[str, str], dict[str, None]] = {}
    with nullcontext() if rev == WORKSPACE else repo.switch(rev):
        index = repo.index
        stages_behind = {  # the stages that led to a variant's results
            Path(out.def_path).stem: set(_behind(out.stage))
            for out in index.metrics
            if out.is_in_repo and out.exists
        }
        stages_behind[TABLES] = {
            stage
            for stage in index.stages
            if stage.name == "report" and any(out.is_in_repo and out.exists for out in stage.outs)
        }
        every_stage = {stage for stages in stages_behind.values() for stage in stages}
        changes = {stage: list(stage_changes(stage)) for stage in every_stage}
        for variant, stages in stages_behind.items():
            for stage in sorted(stages, key=lambda stage: str(stage.name)):
                for change in changes[stage]:
                    found.setdefault(change, {})[
                        variant if variant == TABLES else code(variant)
                    ] = None
    lines: dict[tuple[str, str], dict[str, None]] = {}
    for (what, item), variants in found.items():
        lines.setdefault((", ".join(variants), what), {})[item] = None
    return [f"{variants}: {what} {', '.join(items)}" for (variants, what), items in lines.items()]


def changes_behind(stage: Any) -> Iterator[tuple[str, str]]:
    """As `stage_changes`, of a stage and of all whose outputs it reads, itself or through others.

    The arrays, which DVC caches, are not compared, but what made them is.
    """
    for each in _behind(stage):
        yield from stage_changes(each)


def _behind(stage: Any) -> Any:
    from dvc.repo.graph import get_subgraph_of_nodes

    return get_subgraph_of_nodes(stage.repo.index.graph, [stage])


def stage_changes(stage: Any) -> Iterator[tuple[str, str]]:
    """How a stage differs from its record in dvc.lock: what is wrong, and with what.

    Data and checkpoints, which DVC caches, are not compared.
    """
    if not any(entry.hash_info for entry in (*stage.deps, *stage.outs)):
        yield "`dvc.lock` has no record of", code(str(stage.name))
        return
    cached = [Path(out.def_path) for out in stage.repo.index.outs if out.use_cache]
    # Without variant and seed, so that what several stages share is reported once.
    name = code(str(stage.name).split("@")[0])
    if stage.cmd_changed:
        yield f"{name} ran with a different", "command"
    for dependency in stage.deps:
        if not dependency.is_in_repo:  # a URL or another repository, which DVC would open
            yield f"{name} depends on what is not in this repository:", code(str(dependency))
            continue
        path = Path(dependency.def_path)
        if any(out.is_relative_to(path) or path.is_relative_to(out) for out in cached):
            continue
        for changed, change in dependency.workspace_status().items():
            if isinstance(change, Mapping):  # a file of parameters: key to change
                for key in change:
                    yield f"{name} ran with a different", f"{code(key)} in {code(changed)}"
            else:
                yield f"{name} ran with a different", code(changed)
    for out in stage.outs:
        in_git = out.is_in_repo and not out.use_cache
        if in_git and "modified" in out.workspace_status().values():
            yield f"{name} wrote a different", code(out.def_path)
