"""The bad inputs and I/O failures that are tried."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from signal import Signals

from faults.damage import (
    Damage,
    archive,
    changed,
    full_disk,
    kept_result,
    nothing,
    one_label_fewer,
    parameters,
    random_bytes,
    read_only,
    removed,
    replaced_text,
    second_process,
    states,
    truncated,
)
from faults.workspace import MODEL, TRAIN


@dataclass(frozen=True)
class Case:
    """A command in a checkout whose pipeline is up to date; it must fail with one line."""

    name: str
    damage: Damage  # done before the command, and undone after it where it is a context manager
    command: tuple[str, ...] = TRAIN
    env: Mapping[str, str] = field(default_factory=dict)
    signal: Signals | None = None  # sent after the third epoch
    location: str = ""  # must be in the line
    output: str = ""  # where the command must succeed instead: a pattern of a line that it prints
    new_files: str = ""  # a pattern of the files that may be added
    resumed: bool = False  # the training must resume, not start over
    resumes: bool = False  # without the damage, the training then resumes, bit-identical
    undo_first: bool = False  # nothing can resume before the damage is undone, not merely removed


def stage(name: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", f"stages.{name}", *arguments)


RUN = Path("metrics/runs/model.json")
IMAGES = Path("data/arrays/train/images.npy")
REVIEW = (sys.executable, "-m", "scripts.review", "HEAD")
EVALUATE = stage("evaluate", "model")
STATE = r"\.resume/[^/]+/(epoch.*\.npz|identity\.json)"
WARNING = r"warning: \.resume/.*damaged.*"
UNREAD = r"- `workspace: metrics/.*`: `model` is not comparable"
NAN = replaced_text('"accuracy": [0-9.]+', '"accuracy": NaN')
DEMO = (sys.executable, "-m", "scripts.demo")
OTHER_OWNER = {"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}
SGD = {"recipes.original.optimizer": "sgd"}
CASES = (
    Case("params.yaml: an unknown key", parameters({"train.epochs": 3})),
    Case("params.yaml: a negative n", parameters({"model.n": -1})),
    Case(
        "params.yaml: a section that is not named after a network",
        parameters({"resnet20": {"version": 1, "n": 3}}),
    ),
    Case(
        "params.yaml: a section named after another network",
        parameters({"ResNet20v1": {"version": 1, "n": 5}}),
    ),
    Case(
        "params.yaml: not YAML", changed("params.yaml", lambda content: content + b"\n  model: [")
    ),
    Case("params.yaml: missing", removed("params.yaml")),
    Case("KERAS_BACKEND=pytorch", nothing, env={"KERAS_BACKEND": "pytorch"}),
    Case("GPU=2", nothing, env={"GPU": "2"}),
    Case("SAVE_SECONDS=soon", nothing, env={"SAVE_SECONDS": "soon"}),
    Case("OTHER_STATE=maybe", nothing, env={"OTHER_STATE": "maybe"}),
    Case("STEPS_PER_CALL=0", nothing, env={"STEPS_PER_CALL": "0"}),
    Case(
        "an archive of random bytes",
        archive(random_bytes),
        stage("fetch"),
        {"CIFAR10_ARCHIVE": "archive"},
    ),
    Case(
        "a gzip archive of random bytes",
        archive(lambda _: b"\x1f\x8b" + random_bytes(b"")),
        stage("fetch"),
        {"CIFAR10_ARCHIVE": "archive"},
    ),
    Case(
        "CIFAR10_ARCHIVE: no such file",
        archive(None),
        stage("fetch"),
        {"CIFAR10_ARCHIVE": "archive"},
    ),
    Case(
        "a batch file cut short",
        changed("data/cifar-10-batches-py/data_batch_3", truncated),
        stage("preprocess"),
    ),
    Case("images.npy cut short", changed(IMAGES, truncated)),
    Case("images.npy of random bytes", changed(IMAGES, random_bytes)),
    Case("labels.npy with one label fewer", one_label_fewer),
    Case("a checkpoint cut short", changed(MODEL / "best.keras", truncated), EVALUATE),
    Case("a checkpoint of random bytes", changed(MODEL / "best.keras", random_bytes), EVALUATE),
    Case(
        "a history with a damaged line",
        changed(MODEL / "history.csv", replaced_text("^3,.*", "3,0.001,oops")),
        EVALUATE,
    ),
    Case("a history cut short", changed(MODEL / "history.csv", truncated), EVALUATE),
    Case("training.json cut short", changed(MODEL / "training.json", truncated), EVALUATE),
    Case("a seed without a trained model", removed(MODEL), EVALUATE),
    Case("metrics that are not JSON", changed(RUN, truncated), stage("report")),
    Case("metrics with NaN", changed(RUN, NAN), stage("report")),
    Case(
        "published.csv with a wrong header",
        changed("metrics/published.csv", replaced_text("^[^,]*", "Nomen")),
        stage("report"),
    ),
    Case("review: metrics that are not JSON", changed(RUN, truncated), REVIEW, output=UNREAD),
    Case("review: metrics with NaN", changed(RUN, NAN), REVIEW, output=UNREAD),
    Case(
        "review: predictions cut short",
        changed("metrics/predictions/model.txt", truncated),
        REVIEW,
        output=UNREAD,
    ),
    Case(
        "review: no such commit",
        nothing,
        (sys.executable, "-m", "scripts.review", "no-such-branch"),
    ),
    Case("a learning rate of 1e6", parameters({**SGD, "recipes.original.learning_rate": 1e6})),
    Case(
        "a learning rate of 1e27 from the third epoch",
        parameters({**SGD, "recipes.original.drops": [{"epoch": 2, "factor": 1e30}]}),
        new_files=STATE,
    ),
    Case("a second process that trains the same", second_process),
    Case("SIGTERM", nothing, signal=Signals.SIGTERM, new_files=STATE, resumes=True),
    Case("Ctrl-C", nothing, signal=Signals.SIGINT, new_files=STATE, resumes=True),
    Case("the last state cut short", states(truncated), output=WARNING, resumed=True),
    Case("both states of random bytes", states(random_bytes, random_bytes), output=WARNING),
    Case("a kept result cut short", kept_result, output=WARNING),
    Case(
        "no space left for a state",
        full_disk(".resume", 3_200_000),
        new_files=STATE,
        resumes=True,
        location=".resume",
    ),
    Case(
        "no space left for the result",
        full_disk("models", 100_000),
        new_files=STATE,
        resumes=True,
        location="models",
    ),
    Case(
        "no space left for the arrays",
        full_disk("data", 400_000),
        stage("preprocess"),
        location="data",
    ),
    Case("no space left for the metrics", full_disk("metrics", 0), EVALUATE, location="metrics"),
    Case(
        "no space left for the tables", full_disk("metrics", 0), stage("report"), location="metrics"
    ),
    Case("a read-only .resume", read_only(".resume"), location=".resume"),
    Case(
        "a read-only models",
        read_only("models"),
        new_files=STATE,
        resumes=True,
        undo_first=True,
        location="models",
    ),
    Case("a read-only metrics", read_only("metrics"), EVALUATE, location="metrics"),
    # other people's machines
    Case(
        "params.yaml: a tab",
        changed("params.yaml", replaced_text("^  version", "\tversion")),
        DEMO,
        location="params.yaml",
    ),
    Case(
        "published.csv with conflict markers",
        changed("metrics/published.csv", replaced_text("^ResNet32v1", "<<<<<<< HEAD\nResNet32v1")),
        stage("report"),
        location="line 3",
    ),
    Case(
        "a ZIP archive",
        archive(lambda _: b"PK\x03\x04" + random_bytes(b"")),
        stage("fetch"),
        {"CIFAR10_ARCHIVE": "archive"},
        location="unpack it",
    ),
    Case(
        "synthetic images over files put in place by hand",
        changed("data/cifar-10-batches-py/batches.meta", random_bytes),
        stage("fetch"),
        location="would be lost",
    ),
    Case(
        "REQUESTS_CA_BUNDLE: no such file",
        parameters({"data.source": "cifar10", "data.urls": ["https://localhost/cifar.tar.gz"]}),
        stage("fetch"),
        {"REQUESTS_CA_BUNDLE": "/no/such/file"},
        location="REQUESTS_CA_BUNDLE",
        new_files="data/download/lock",
    ),
    Case(
        "plots: a file without the columns",
        changed("metrics/plots/all/rates.csv", lambda _: b"other,columns\n1,2\n"),
        (sys.executable, "-m", "scripts.plots"),
        location="learning rate",
    ),
    Case("review: a checkout of another user", nothing, REVIEW, OTHER_OWNER, location="dubious"),
    Case("demo: a checkout of another user", nothing, DEMO, OTHER_OWNER, location="dubious"),
    Case(
        "review: GIT_DIR of a hook in another repository",
        nothing,
        REVIEW,
        {"GIT_DIR": "/no/such/.git", "GIT_INDEX_FILE": "/no/such/index"},
        output=r"`HEAD` → `workspace`",
    ),
    Case(
        "review: files that systems drop into folders",
        changed("metrics/runs/.DS_Store", random_bytes),
        (*REVIEW, "--fail-on", "stale"),
        output=r"`HEAD` → `workspace`",
    ),
    Case(
        "report in a locale without the marks of the tables",
        nothing,
        stage("report"),
        {"PYTHONIOENCODING": "ascii"},
        output=r"\? The accuracy at the best epoch .*",
    ),
)
