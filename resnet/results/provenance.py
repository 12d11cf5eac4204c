"""Whether the figures in git are those of the code and parameters beside them, by DVC's own comparison with dvc.lock.

Data and checkpoints are not in git, so a clone lacks them and they are not compared here; verify.py does that with checkpoints.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

WORKSPACE = "workspace"  # DVC's name for the files as they lie there, committed or not
TABLES = "the tables"


def doubts(repo: Any, rev: str) -> list[str]:
    """What speaks against the figures at a revision, a line each with the variants it is about; none where they are what was measured.

    `repo` is a dvc.repo.Repo. A figure is doubtful where dvc.lock records another file than lies there, one typed by hand say, and
    where a stage that led to it ran with other code or parameters than lie there.
    """
    from dvc.repo.graph import get_subgraph_of_nodes

    found: dict[
        tuple[str, str], dict[str, None]
    ] = {}  # what is wrong and of what, to variants; dicts keep the order
    with nullcontext() if rev == WORKSPACE else repo.switch(rev):
        index = repo.index
        behind = {  # the stages that led to a figure
            Path(out.def_path).stem: set(get_subgraph_of_nodes(index.graph, [out.stage]))
            for out in index.metrics
            if out.exists
        }
        behind[TABLES] = {
            stage
            for stage in index.stages
            if stage.name == "report" and any(out.exists for out in stage.outs)
        }
        cached = [Path(out.def_path) for out in index.outs if out.use_cache]
        changes = {
            stage: list(_changes(stage, cached))
            for stage in {stage for stages in behind.values() for stage in stages}
        }
        for variant, stages in behind.items():
            for stage in sorted(stages, key=lambda stage: str(stage.name)):
                for change in changes[stage]:
                    found.setdefault(change, {})[variant] = None
    lines: dict[tuple[str, str], dict[str, None]] = {}
    for (what, item), variants in found.items():
        lines.setdefault((", ".join(variants), what), {})[item] = None
    return [f"{variants}: {what} {', '.join(items)}" for (variants, what), items in lines.items()]


def _changes(stage: Any, cached: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """In what a stage differs from its record in dvc.lock, the `cached` paths apart: what is wrong, and of what."""
    if not any(entry.hash_info for entry in (*stage.deps, *stage.outs)):
        yield "`dvc.lock` has no record of", str(stage.name)
        return
    verb = str(stage.name).split("@")[
        0
    ]  # without variant and seed: what is common to several is said once
    for dependency in stage.deps:
        if any(
            path.is_relative_to(dependency.def_path)
            or Path(dependency.def_path).is_relative_to(path)
            for path in cached
        ):
            continue
        for path, change in dependency.workspace_status().items():
            if isinstance(change, Mapping):  # of a file of parameters, key to change
                yield from ((f"{verb} ran with another", f"`{key}` in `{path}`") for key in change)
            else:
                yield f"{verb} ran with another", f"`{path}`"
    for out in stage.outs:
        if not out.use_cache and "modified" in out.workspace_status().values():
            yield f"{verb} wrote another", f"`{out.def_path}`"
