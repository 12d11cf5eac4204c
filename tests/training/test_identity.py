"""What determines a result: each part is in the identity, and a difference is named by its key."""

import dataclasses
import os
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resnet import device, params
from resnet.data.arrays import Split
from resnet.device import Device, cpu_name, cpu_processor
from resnet.errors import BenchmarkError
from resnet.schema import validate_json
from resnet.training.identity import SETTINGS, changes, code_hashes, fingerprint, identify
from resnet.training.record import Identity

Settings = Callable[[dict[str, Any]], params.Params]

CPU = Device("a CPU, 2 threads", "x86_64 avx2", False, "tensorflow", False, "float32", True)
CPUINFO = """\
processor\t: 0
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 85
model name\t: Some CPU @ 2.00GHz
stepping\t: 7
flags\t\t: fpu avx2

processor\t: 1
"""
PIPELINE = """
stages:
  train:
    deps:
    - a.py
    - data/arrays/train
    - package/b.py
"""


@pytest.fixture
def split() -> Split:
    images = np.zeros((4, 32, 32, 3), np.float32)
    return Split(
        images, np.arange(4, dtype=np.int32), images[0], "synthetic", ("a", "b"), True, "0" * 64
    )


@pytest.fixture
def identity(
    settings: Settings, split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Identity]:
    """The identity of a training in a folder with two modules, with some parts replaced."""
    for variable in SETTINGS:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)
    Path("dvc.yaml").write_text(PIPELINE, encoding="utf-8")
    Path("package").mkdir()
    for name in ("a.py", "package/b.py"):
        Path(name).write_text(f"# {name}\n", encoding="utf-8")

    def build(
        changed: dict[str, Any] | None = None, device: Device = CPU, data: Split = split
    ) -> Identity:
        return identify(settings(changed or {}), "model", 0, device, (data,))

    return build


def keys(before: Identity, after: Identity) -> list[str]:
    """The keys that differ; the fingerprints differ where there are some."""
    found = [change.key for change in changes(before, after)]
    assert (fingerprint(before) != fingerprint(after)) == bool(found)
    return found


def test_equal_trainings_have_equal_identities(identity: Callable[..., Identity]) -> None:
    assert keys(identity(), identity()) == []
    text = identity().model_dump_json()
    assert validate_json(Identity, text, "identity.json") == identity()


@pytest.mark.parametrize("variable", SETTINGS)
def test_environment_is_part_of_it(
    identity: Callable[..., Identity], variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = identity()
    monkeypatch.setenv(variable, "3")
    (change,) = changes(before, identity())
    assert (change.key, change.before, change.after) == (f"environment.{variable}", None, "3")
    assert fingerprint(before) != fingerprint(identity())


@pytest.mark.parametrize(("threads", "text"), [(1, ", 1 thread"), (2, ", 2 threads")])
def test_the_name_of_a_cpu_has_its_threads(
    threads: int, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(threads)), raising=False)
    assert cpu_name().endswith(text)


def test_variables_of_xla_and_onednn_are_among_the_settings() -> None:
    assert set(SETTINGS) == {
        "DNNL_DEFAULT_FPMATH_MODE",
        "DNNL_MAX_CPU_ISA",
        "NVIDIA_TF32_OVERRIDE",
        "OMP_NUM_THREADS",
        "ONEDNN_DEFAULT_FPMATH_MODE",
        "ONEDNN_MAX_CPU_ISA",
        "STEPS_PER_CALL",
        "TF_ENABLE_ONEDNN_OPTS",
        "TF_NUM_INTEROP_THREADS",
        "TF_NUM_INTRAOP_THREADS",
        "TF_SET_ONEDNN_FPMATH_MODE",
        "TF_XLA_FLAGS",
        "XLA_FLAGS",
    }


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("processor", "x86_64 avx2 avx512f"),
        ("name", "a CPU, 4 threads"),
        ("backend", "jax"),
        ("xla", True),
        ("float32_products", "tf32"),
        ("deterministic", False),
    ],
)
def test_device_is_part_of_it(identity: Callable[..., Identity], field: str, value: object) -> None:
    changed = dataclasses.replace(CPU, **{field: value})  # type: ignore[arg-type]
    found = [key for key in keys(identity(), identity(device=changed)) if "versions" not in key]
    assert found == [f"device.{field}"]


@pytest.mark.parametrize(
    ("line", "other"),
    [("stepping\t: 7", "stepping\t: 8"), ("flags\t\t: fpu avx2", "flags\t\t: fpu avx2 avx512f")],
)
def test_processor_tells_more_than_its_name(
    line: str, other: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cpuinfo"
    monkeypatch.setattr(device, "CPUINFO", path)
    found = []
    for text in (CPUINFO, CPUINFO.replace(line, other)):
        path.write_text(text)
        found.append((cpu_name(), cpu_processor()))
    (name, processor), (other_name, other_processor) = found
    assert name == other_name
    assert name.startswith("Some CPU @ 2.00GHz, ")
    assert processor.endswith(" GenuineIntel family 6 model 85 stepping 7 avx2")
    assert processor != other_processor


def test_parameters_that_matter_are_part_of_it(identity: Callable[..., Identity]) -> None:
    before = identity()
    assert keys(before, identity({"model.n": 5})) == ["parameters.network.n"]
    drop = {"recipes.original.drops": [{"epoch": 81, "factor": 0.5}]}
    assert keys(before, identity(drop))[0] == "parameters.recipe.drops.0.factor"
    assert keys(before, identity({"train.precision": "bfloat16"})) == ["parameters.precision"]
    others = {"seeds": [0, 1, 2, 3], "recipes.paper.epochs": 1, "ResNet32v1.epochs": 1}
    assert keys(before, identity(others)) == []


def test_code_and_data_are_part_of_it(identity: Callable[..., Identity], split: Split) -> None:
    before = identity()
    assert list(before.code) == ["a.py", "package/b.py"]
    images = np.array(split.images)
    images[3, 31, 31, 2] = 1e-7
    changed = dataclasses.replace(split, images=images)
    assert keys(before, identity(data=changed)) == ["data.0"]
    Path("package/b.py").write_text("# changed\n", encoding="utf-8")
    assert keys(before, identity()) == ["code.package/b.py"]


@pytest.mark.parametrize(
    "text", ["", "- a list\n", "stages: {evaluate: {deps: []}}\n", "stages: {train: 3}\n", "a: [\n"]
)
def test_pipeline_without_the_stage(tmp_path: Path, text: str) -> None:
    (tmp_path / "dvc.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(BenchmarkError, match=r"dvc\.yaml: no deps of a stage train: ") as caught:
        code_hashes(tmp_path / "dvc.yaml")
    assert len(str(caught.value).splitlines()) == 1


def test_versions_on_a_gpu_have_those_of_the_installed_cuda_packages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def version(name: str) -> str:
        if name == "nvidia-cublas-cu12":
            raise metadata.PackageNotFoundError(name)
        return f"1 of {name}"

    monkeypatch.setattr(metadata, "version", version)
    on_cpu, on_gpu = device.versions(CPU), device.versions(dataclasses.replace(CPU, gpu=True))
    assert list(on_cpu) == ["python", "keras", "tensorflow", "numpy"]
    assert on_gpu == on_cpu | {"nvidia-cudnn-cu12": "1 of nvidia-cudnn-cu12"}
