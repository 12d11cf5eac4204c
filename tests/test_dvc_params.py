"""Which stages a change of params.yaml runs again, by DVC's own comparison; nothing is trained."""

from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo

from resnet.training.pending import pending
from scripts.checkout import copy_checkout, set_params
from tests.support.checkout import undone

CHANGES = {
    **undone(),
    "variants": ["model", "ResNet20v1-short"],  # the second overrides the recipe's epochs
    "seeds": [0],
    "train.recipe": "original",
}
TRAININGS = {"train@model-0", "train@ResNet20v1-short-0"}
EVALUATIONS = {"evaluate@model", "evaluate@ResNet20v1-short"}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout whose dvc.lock records every stage; their outputs have no content of value."""
    checkout = tmp_path_factory.mktemp("recorded")
    copy_checkout(checkout, CHANGES)
    with chdir(checkout), Repo(".") as repo:
        for stage in repo.index.stages:
            for out in stage.outs:
                path = Path(out.fs_path)
                file = path if path.suffix else path / "a file"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(str(out))
        repo.commit(force=True)
    return checkout


CASES: list[tuple[dict[str, Any], set[str]]] = [
    ({}, set()),
    # as docs/experiments.md says
    ({"model.n": 9}, {"train@model-0"}),
    ({"model.augment": {"flip": False}}, {"train@model-0"}),
    ({"train.precision": "bfloat16"}, TRAININGS),
    ({"train.holdout.fraction": 0.1}, TRAININGS),
    ({"train.recipe": "paper"}, TRAININGS),
    ({"augment.order": 1}, TRAININGS),
    ({"recipes.original.batch_size": 128}, TRAININGS),
    ({"recipes.original.epochs": 3}, TRAININGS),
    ({"recipes.paper.batch_size": 64}, set()),
    ({"ResNet32v1.batch_size": 64}, set()),
    ({"seeds": [0, 1]}, {f"{name[:-1]}1" for name in TRAININGS} | EVALUATIONS),
    # the images
    ({"data.source": "synthetic"}, {"fetch", "preprocess", *TRAININGS}),
    ({"data.synthetic.seed": 1}, {"fetch"}),
    ({"data.urls": []}, set()),
    ({"preprocess.subtract_pixel_mean": False}, {"preprocess"}),
]


@contextmanager
def changed(checkout: Path, changes: dict[str, Any]) -> Iterator[Repo]:
    """The repository with changes to its params.yaml, which are undone after the block."""
    path = checkout / "params.yaml"
    before = path.read_bytes()
    set_params(path, changes)
    try:
        with chdir(checkout), Repo(".") as repo, repo.lock:
            yield repo
    finally:
        path.write_bytes(before)


@pytest.mark.parametrize(("changes", "expected"), CASES, ids=[str(changes) for changes, _ in CASES])
def test_a_change_runs_the_stages_that_depend_on_it(
    recorded: Path, changes: dict[str, Any], expected: set[str]
) -> None:
    """Each by itself, before those that it depends on; and the report, which depends on all."""
    with changed(recorded, changes) as repo:
        found = {stage.name for stage in repo.index.stages if stage.status()}
        trained = {name.stage for name in pending(repo)}
    assert found == ({*expected, "report"} if changes else set())
    assert trained == {name for name in expected if name.startswith("train@")}


@pytest.mark.parametrize("recipe", ["original", "paper"])
def test_a_training_depends_on_the_recipe_that_it_uses(recorded: Path, recipe: str) -> None:
    with changed(recorded, {"train.recipe": recipe}) as repo:
        (stage,) = repo.stage.collect("train@model-0")
        keys = {key for dep in stage.deps for key in getattr(dep, "params", [])}
    assert {key for key in keys if key.startswith("recipes")} == {f"recipes.{recipe}"}
