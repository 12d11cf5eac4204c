"""The files in metrics/: what is written, and what is said of a file that is damaged."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resnet.errors import BenchmarkError
from resnet.results.metrics import Results
from resnet.results.store import Store
from tests.support.results import PUBLISHED_CSV, make_correct, make_results, write_results

RESULTS = make_results(seeds=2, images=50, changes={"epochs": 2})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    write_results(tmp_path, RESULTS)
    return Store(tmp_path)


@pytest.mark.usefixtures("store")
def test_the_files_of_a_variant(tmp_path: Path) -> None:
    files = {
        path.relative_to(tmp_path).as_posix(): path.read_text(encoding="utf-8")
        for path in tmp_path.rglob("*.*")
    }
    assert sorted(files) == [
        "plots/confusion/model.csv",
        "plots/history/model/seed0.csv",
        "plots/history/model/seed1.csv",
        "predictions/model.txt",
        "provenance/model.json",
        "runs/model.json",
    ]
    assert files["plots/confusion/model.csv"].splitlines() == [
        "actual,predicted,images",
        "cat,cat,46",
        "cat,dog,4",
        "dog,cat,4",
        "dog,dog,46",
    ]
    errors = [run.evaluation.errors for run in RESULTS.runs]
    assert [line.count("0") for line in files["predictions/model.txt"].split()] == errors
    metrics = json.loads(files["runs/model.json"])
    assert metrics["seeds"] == 2
    assert metrics["accuracy"] == pytest.approx(100 - 2 * np.mean(errors))
    provenance = json.loads(files["provenance/model.json"])
    assert [run["training"]["identity"]["seed"] for run in provenance["runs"]] == [0, 1]
    assert [run["evaluation"]["errors"] for run in provenance["runs"]] == errors


def test_what_is_written_is_read_back(store: Store) -> None:
    assert store.results("model") == RESULTS
    np.testing.assert_array_equal(store.correct("model", RESULTS), make_correct(RESULTS))
    histories = store.histories("model", RESULTS)
    assert [frame["accuracy"].tolist() for frame in histories] == [[51.0, 52.0]] * 2
    assert store.confusion("model", RESULTS)["images"].tolist() == ["46", "4", "4", "46"]
    assert store.variants() == ["model"]


def test_a_variant_without_results(store: Store) -> None:
    assert store.results("ResNet32v1") is None
    assert store.histories("ResNet32v1", RESULTS) == []
    assert store.confusion("ResNet32v1", RESULTS).empty


@pytest.mark.usefixtures("store")
def test_nothing_is_replaced_where_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "runs" / "model.json").rename(tmp_path / "saved.json")
    (tmp_path / "runs").rmdir()
    (tmp_path / "runs").write_text("a file where the folder should be")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    with pytest.raises(OSError, match="runs"):
        write_results(tmp_path, make_results(seeds=2, images=50, accuracy=80.0))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before


def edit(change: Callable[[Any], Any]) -> Callable[[str], str]:
    """A change to the value of a JSON file."""

    def edited(text: str) -> str:
        value = json.loads(text)
        change(value)
        return json.dumps(value)

    return edited


@pytest.mark.parametrize(
    ("path", "change", "complaint"),
    [
        ("runs/model.json", lambda text: text[:-9], "not JSON: "),
        ("runs/model.json", lambda text: text.replace("[", "").replace("]", ""), "schema is 2: "),
        (
            "runs/model.json",
            edit(lambda value: value.update(std=0.5)),
            "std is 0.5, but the runs in ",
        ),
        (
            "runs/model.json",
            edit(lambda value: value.update(nll=None)),
            "nll is None, but the runs in ",
        ),
        (
            "runs/model.json",
            edit(lambda value: value.update(accuracy=95.0)),
            "accuracy is 95.0, but the runs in ",
        ),
        ("runs/model.json", edit(lambda value: value.update(seeds=3)), "seeds is 3, but the runs"),
        ("provenance/model.json", lambda _: "[]", "it is []: must be a mapping"),
        (
            "provenance/model.json",
            edit(lambda value: value["runs"][0]["training"]["identity"].update(variant="other")),
            "contains a run of other; run `dvc repro evaluate@model`",
        ),
        (
            "provenance/model.json",
            edit(lambda value: value["runs"][0]["training"].update(epochs=3)),
            "the seeds' runs differ in epochs: 3 (seed 0), 2 (seed 1)",
        ),
        (
            "provenance/model.json",
            edit(lambda value: value["runs"][0]["evaluation"].update(errors=0)),
            "runs.0.evaluation: accuracy is ",
        ),
        ("predictions/model.txt", lambda text: text[:-9], "must contain lines of equally many"),
        ("predictions/model.txt", lambda text: text.replace("0", "2"), "must contain lines of"),
        ("predictions/model.txt", lambda _: "", "must contain lines of equally many digits"),
        ("predictions/model.txt", lambda text: text.replace("0", "1"), "are of different runs"),
        ("predictions/model.txt", lambda text: text[:51], "are of different runs"),
        ("plots/confusion/model.csv", lambda text: text.replace("46", "<<<"), "line 2: images is"),
        ("plots/confusion/model.csv", lambda text: text.replace("46", "9" * 20), "line 2: images"),
        ("plots/confusion/model.csv", lambda text: text.replace("46", "47"), "of different runs"),
        ("plots/confusion/model.csv", lambda text: text.replace(",4\n", ",5\n"), "of different"),
        ("plots/confusion/model.csv", lambda _: "a,b\n1,2,3,4\n", "must have the columns actual,"),
        ("plots/confusion/model.csv", lambda _: "", "not CSV: "),
        (
            "plots/history/model/seed1.csv",
            lambda text: text.replace("\n2,", "\n<<<<<<< HEAD,"),
            "line 3: must be epoch 2 and 4 numbers",
        ),
    ],
)
def test_a_damaged_file_is_one_line_that_names_it(
    store: Store, tmp_path: Path, path: str, change: Callable[[str], str], complaint: str
) -> None:
    text = (tmp_path / path).read_text(encoding="utf-8")
    (tmp_path / path).write_text(change(text), encoding="utf-8")
    with pytest.raises(BenchmarkError) as caught:
        read_everything(store)
    assert str(caught.value).startswith(f"{tmp_path / path}")
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_results_of_schema_1_are_read(store: Store, tmp_path: Path) -> None:
    """As a commit before this schema has them: without three scores, and with longer keys."""
    path = tmp_path / "provenance" / "model.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    for run in content["runs"]:
        for key in ("nll", "ece", "classes"):
            del run["evaluation"][key]
    path.write_text(json.dumps({**content, "schema": 1}), encoding="utf-8")
    path = tmp_path / "runs" / "model.json"
    new = json.loads(path.read_text(encoding="utf-8"))
    old = {key: new[key] for key in ("accuracy", "seeds", "loss", "parameters")}
    old |= {"schema": [1], "accuracy_std": new["std"], "seconds_per_epoch": new["s/epoch"]}
    path.write_text(json.dumps(old), encoding="utf-8")
    results = store.results("model")
    assert results
    assert results.metrics.accuracy == RESULTS.metrics.accuracy
    assert results.metrics.nll is None
    assert store.correct("model", results).shape == (2, 50)


def read_everything(store: Store) -> None:
    results = store.results("model")
    assert results
    store.correct("model", results)
    store.histories("model", results)
    store.confusion("model", results)


@pytest.mark.parametrize("path", ["provenance/model.json", "predictions/model.txt"])
def test_a_missing_file_is_one_line_with_the_remedy(
    store: Store, tmp_path: Path, path: str
) -> None:
    (tmp_path / path).unlink()
    with pytest.raises(BenchmarkError, match="no such file; run `dvc repro evaluate@model`"):
        read_everything(store)


@pytest.mark.parametrize("text", ["", "network,n\nResNet20v1,3\n", "a\n1,2\n1,2,3\n"])
def test_published_results_that_cannot_be_read_are_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "published.csv").write_text(text)
    with pytest.raises(BenchmarkError) as caught:
        Store(tmp_path).published()
    assert str(caught.value).startswith(f"{tmp_path / 'published.csv'}: ")
    assert "\n" not in str(caught.value)


ROW = "ResNet32v1,1,5,original"
REST = next(
    line.removeprefix(ROW)
    for line in PUBLISHED_CSV.read_text(encoding="utf-8").splitlines()
    if line.startswith(ROW)
)


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        (ROW, f"<<<<<<< HEAD\n{ROW}", "line 3: network is '<<<<<<< HEAD'"),
        (ROW, f"{ROW}{REST}\n{ROW}", "line 4: a second row of ResNet32v1 with the same origin"),
        (
            ROW,
            f"{ROW}{REST.replace('measured', 'found')}\n{ROW}",
            "line 4: a second row of ResNet32v1 with the same origin",
        ),
        ("92.16", "92,16", "line 2: network is '1'"),
        ("92.16", "ninety", "line 2: accuracy is 'ninety'"),
        ("92.16", "-", "line 2: form is original without an accuracy: must be -"),
        (",1,35,", ",1,0,", "line 2: seconds_per_epoch is '0': must match [1-9]"),
        (ROW, "ResNet32v1,3,5,original", "line 3: version is '3'"),
        (ROW, "ResNet32v1,1,4,original", "but version 1 with n 4 is ResNet26v1"),
        (ROW, "ResNet32v1,1,0,original", "line 3: n is '0'"),
        (ROW, "ResNet32v1,2,NA,original", "line 3: network is ResNet32v1, but version is 2"),
        ("best on test,one run,92.16", "last,one run,92.16", "line 2: protocol is 'last'"),
        ("one run,92.16", "mean,92.16", "line 2: statistic is mean with runs 1: one run is 1"),
        ("one run,92.16", "-,92.16", "line 2: statistic is - with an accuracy: must be known"),
        ("92.16,-,1", "92.16,0.2,1", "line 2: std is 0.2 with runs 1: must be - without several"),
    ],
)
def test_every_row_of_the_published_results_is_checked(
    tmp_path: Path, old: str, new: str, where: str
) -> None:
    text = PUBLISHED_CSV.read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "published.csv").write_text(text.replace(old, new, 1), encoding="utf-8")
    for read in (Store(tmp_path).published, Store(tmp_path).published_results):
        with pytest.raises(BenchmarkError) as caught:
            read()
        assert str(caught.value).startswith(f"{tmp_path / 'published.csv'}, line ")
        assert where in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_network_may_have_results_of_several_others(tmp_path: Path) -> None:
    *rows, last = PUBLISHED_CSV.read_text(encoding="utf-8").splitlines()
    assert ",other," in last
    second = f"{last}; a second source"
    path = tmp_path / "published.csv"
    path.write_text("\n".join([*rows, last, second, ""]), encoding="utf-8")
    found = Store(tmp_path).published_results()
    assert found[-1].source == f"{found[-2].source}; a second source"
    path.write_text("\n".join([*rows, last, last, ""]), encoding="utf-8")
    with pytest.raises(BenchmarkError, match=r"with the same origin and source$"):
        Store(tmp_path).published_results()


def test_published_results_have_their_spread_and_number_of_runs() -> None:
    found = {
        (each.network, each.origin): (each.text, each.runs, each.statistic)
        for each in Store(PUBLISHED_CSV.parent).published_results()
    }
    assert found["ResNet20v1", "original"] == ("92.16", 1, "one run")
    assert found["ResNet110v1", "papers"] == ("93.39 ± 0.16", 5, "mean")
    assert found["ResNet110v2", "papers"] == ("93.63", None, "not stated")
    assert found["ResNet29v2", "other"] == ("85.06 ± 0.34", 50, "mean")
    assert ("ResNet20v2", "original") not in found


def test_files_of_a_commit_are_read_and_checked_in_the_same_way(
    store: Store, tmp_path: Path
) -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in tmp_path.rglob("*.*")}
    commit = Store(tmp_path, texts.get, name="main")
    assert commit.results("model") == RESULTS
    (tmp_path / "plots" / "history" / "model" / "seed0.csv").unlink()
    assert [len(frame) for frame in commit.histories("model", RESULTS)] == [2, 2]
    path = store.histories_path("model") / "seed1.csv"
    for text, complaint in ((None, "no such file; restore"), ("epoch\n", "line 1: must be epoch")):
        broken = Store(tmp_path, {**texts, path: text}.get, name="main")
        with pytest.raises(BenchmarkError, match=rf"^main: .*seed1\.csv.*{complaint}"):
            broken.histories("model", RESULTS)
    texts[store.predictions_path("model")] = "0\n1\n"
    with pytest.raises(BenchmarkError, match=r"^main: .*model\.txt and .*model\.json are of diff"):
        commit.correct("model", RESULTS)


def test_results_whose_code_and_data_are_not_recorded() -> None:
    assert RESULTS.recorded
    absent: list[dict[str, Any]] = [{"code": {}}, {"data": []}]
    for missing in absent:
        run = RESULTS.runs[0]
        identity = run.training.identity.model_copy(update=missing)
        training = run.training.model_copy(update={"identity": identity})
        runs = (run.model_copy(update={"training": training}), *RESULTS.runs[1:])
        assert not Results(RESULTS.metrics, runs).recorded
