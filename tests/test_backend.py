"""How the backend starts and finds its device, and how it reports a lack of memory."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from resnet import backend
from resnet.backend import memory_errors
from resnet.device import Device, gpu_unwanted
from resnet.errors import BenchmarkError
from tests.support.checkout import ROOT

GPU_VARIABLES = ("GPU", "CUDA_VISIBLE_DEVICES", "JAX_PLATFORMS")


def python(code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python code in another process, in which KERAS_BACKEND is not set unless passed."""
    env = {key: value for key, value in os.environ.items() if key != "KERAS_BACKEND"}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env={**env, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


STARTED = """
from resnet import backend
backend.start()
import os, keras, tensorflow as tf
print("settings", keras.backend.backend(), keras.config.floatx(), keras.config.epsilon(),
    keras.config.image_data_format(), keras.config.dtype_policy().name)
print(os.environ.get("TF_ENABLE_ONEDNN_OPTS"), "after")
convolve = tf.function(lambda x, w: tf.nn.conv2d(x, w, 1, "SAME"))
convolve(tf.ones((32, 32, 32, 16)), tf.ones((3, 3, 16, 16)))
"""


@pytest.mark.parametrize(
    ("variable", "used"), [({}, True), ({"TF_ENABLE_ONEDNN_OPTS": "0"}, False)]
)
def test_onednn_computes_convolutions_unless_switched_off_and_keras_json_is_ignored(
    variable: dict[str, str], used: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On any CPU, and whatever settings of Keras the user has."""
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    user = {
        "floatx": "float16",
        "epsilon": 0.1,
        "backend": "jax",
        "image_data_format": "channels_first",
    }
    (tmp_path / "keras.json").write_text(json.dumps(user))
    done = python(STARTED, KERAS_HOME=str(tmp_path), GPU="0", ONEDNN_VERBOSE="1", **variable)
    assert done.returncode == 0, done.stderr
    assert not done.stderr  # what TensorFlow's C++ writes as it starts is held back
    expected = "settings tensorflow float32 1e-07 channels_last float32"
    assert expected in done.stdout.splitlines()
    if platform.machine() == "x86_64":  # elsewhere TensorFlow decides
        assert (",convolution," in done.stdout) == used
    # as the caller left it: the record of a training has what its user has set
    assert f"{variable.get('TF_ENABLE_ONEDNN_OPTS')} after" in done.stdout


@pytest.mark.usefixtures("device")
def test_lack_of_memory_is_one_line_with_advice() -> None:
    from keras import ops

    message = r"^out of memory: .*(OOM|[Mm]emory).*; lower batch_size$"
    with pytest.raises(BenchmarkError, match=message) as caught, memory_errors("lower batch_size"):
        ops.add(ops.zeros((1_000_000, 250_000_000)), 1.0)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 4294967296 bytes.\nstack",
            "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 4294967296 bytes.",
        ),
        (
            "CUDA_ERROR_OUT_OF_MEMORY: out of memory",
            "CUDA_ERROR_OUT_OF_MEMORY: out of memory",
        ),
        (
            "{{node cast}} Dst tensor is not initialized. [Op:_EagerConst]",
            "{{node cast}} Dst tensor is not initialized. [Op:_EagerConst]",
        ),
        (
            "Graph execution error:\n  OOM when allocating tensor with shape[32,16,32,32]\nmore",
            "OOM when allocating tensor with shape[32,16,32,32]",
        ),
    ],
)
def test_lack_of_memory_in_every_form(text: str, reason: str) -> None:
    with pytest.raises(BenchmarkError) as caught, memory_errors("lower batch_size"):
        raise RuntimeError(text)
    assert str(caught.value) == f"out of memory: {reason}; lower batch_size"


def test_lack_of_memory_on_the_host() -> None:
    message = "^out of memory: MemoryError; lower batch_size$"
    with pytest.raises(BenchmarkError, match=message), memory_errors("lower batch_size"):
        raise MemoryError


def test_another_error_is_not_a_lack_of_memory() -> None:
    with pytest.raises(ValueError, match="unchanged"), memory_errors("lower batch_size"):
        raise ValueError("unchanged")


def test_unknown_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    message = "^KERAS_BACKEND is 'torch': must be tensorflow or jax$"
    with pytest.raises(BenchmarkError, match=message):
        backend.start()


@pytest.mark.parametrize("variable", ["GPU", "TF32", "DETERMINISTIC"])
def test_flag_that_is_neither_0_nor_1(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "yes")
    with pytest.raises(BenchmarkError, match=f"^{variable} is 'yes': must be 0 or 1$"):
        backend.start()


@pytest.mark.usefixtures("device")
def test_keras_imported_before_on_another_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    import keras

    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(BenchmarkError) as caught:
        backend.start()
    assert str(caught.value) == (
        "KERAS_BACKEND is 'tensorflow', but Keras was imported on jax before; set the variable "
        "before anything imports Keras"
    )


def test_training_needs_no_started_backend(tmp_path: Path) -> None:
    """A network is fused and trained under the settings that Keras has by itself."""
    code = """
import sys
from pathlib import Path
from resnet import model, params
from resnet.device import Device, gpu_unwanted
from resnet.training import inputs, loop
from tests.support.trainings import synthetic_split
variant = params.load().variant("model")
recipe = variant.recipe.model_copy(update={"epochs": 1})
device = Device("a CPU", "a CPU", False, "tensorflow", False, "float32", True)
training = loop.Training(model.build(1, 8), 8, recipe, variant.augment, 0, device)
(epoch,) = training.epochs(inputs.whole(synthetic_split(Path(sys.argv[1]), 40)))
assert epoch.loss > 0
"""
    done = python(code, str(tmp_path))
    assert done.returncode == 0, done.stderr


@pytest.fixture
def driver(device: Device, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine with an NVIDIA driver whose backend opens no GPU, and no variable about GPUs."""
    for variable in GPU_VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(backend, "has_nvidia_driver", lambda: True)
    monkeypatch.setattr(backend, f"_{device.backend}_gpu", lambda: None)
    return monkeypatch


def test_driver_without_a_gpu_is_an_error_with_the_reason(driver: pytest.MonkeyPatch) -> None:
    driver.setenv("GPU", "1")
    message = (
        r"^an NVIDIA driver is installed, but (tensorflow|jax) finds no GPU: "
        r".*(CUDA|cuda|GPU|why).*; GPU=0 uses the CPU$"
    )
    with pytest.raises(BenchmarkError, match=message) as caught:
        backend.start()
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("GPU", "0"),
        ("CUDA_VISIBLE_DEVICES", ""),
        ("CUDA_VISIBLE_DEVICES", "-1"),
    ],
)
def test_gpu_that_is_not_wanted_is_no_error(
    driver: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    driver.setenv(variable, value)
    assert not backend.start().gpu


def test_the_variable_of_jax_leaves_tensorflow_its_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in GPU_VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert gpu_unwanted("jax")
    assert not gpu_unwanted("tensorflow")


@pytest.mark.parametrize(
    ("platforms", "reason"), [("no-such", "Unable to initialize backend 'no-such'"), ("cuda", "")]
)
def test_platforms_that_jax_cannot_open(
    platforms: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In another process, since JAX chooses its platform once; where there is a GPU, cuda opens."""
    code = """
from resnet import backend
from resnet.errors import BenchmarkError
try:
    print(backend.start().gpu)
except BenchmarkError as error:
    print(error)
"""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    done = python(code, KERAS_BACKEND="jax", JAX_PLATFORMS=platforms, GPU="1")
    assert done.returncode == 0, done.stderr
    start = f"JAX opens no device with JAX_PLATFORMS={platforms!r}: {reason}"
    assert done.stdout.startswith(start) or (platforms == "cuda" and done.stdout == "True\n")


def test_one_of_several_gpus_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are hidden first: memory growth must be the same on all visible ones."""
    import tensorflow as tf

    for variable in GPU_VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    calls: list[tuple[Any, ...]] = []
    gpus = ["GPU:0", "GPU:1", "GPU:2"]
    fakes = {
        "list_physical_devices": lambda kind: gpus if kind == "GPU" else [],
        "set_visible_devices": lambda *arguments: calls.append(("visible", *arguments)),
    }
    experimental = {
        "set_memory_growth": lambda *arguments: calls.append(("growth", *arguments)),
        "get_device_details": lambda gpu: {"device_name": f"the name of {gpu}"},
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(tf.config, name, fake)
    for name, fake in experimental.items():
        monkeypatch.setattr(tf.config.experimental, name, fake)
    assert backend._tensorflow_gpu() == "the name of GPU:0"
    assert calls == [("visible", ["GPU:0"], "GPU"), ("growth", "GPU:0", True)]

    calls.clear()
    monkeypatch.setenv("GPU", "0")
    assert backend._tensorflow_gpu() is None
    assert calls == [("visible", [], "GPU")]


@pytest.mark.parametrize("name", backend.BACKENDS)
@pytest.mark.parametrize("tf32", [True, False])
@pytest.mark.parametrize("deterministic", [True, False])
def test_tf32_and_determinism_of_a_gpu_are_as_asked(
    device: Device, monkeypatch: pytest.MonkeyPatch, name: str, tf32: bool, deterministic: bool
) -> None:
    """Of the device, of the backend and of XLA, whose other flags stay; the GPU is not there."""
    import keras
    import tensorflow as tf

    assert device
    calls: list[tuple[Any, ...]] = []
    fakes = {
        "enable_tensor_float_32_execution": lambda on: calls.append(("tf32", on)),
        "enable_op_determinism": lambda: calls.append(("deterministic",)),
    }
    for function, fake in fakes.items():
        monkeypatch.setattr(tf.config.experimental, function, fake)
    config = SimpleNamespace(update=lambda *arguments: calls.append(arguments))
    monkeypatch.setitem(sys.modules, "jax", SimpleNamespace(config=config))
    monkeypatch.setattr(keras.backend, "backend", lambda: name)
    monkeypatch.setattr(backend, f"_{name}_gpu", lambda: "a GPU")
    monkeypatch.setenv("KERAS_BACKEND", name)
    monkeypatch.setenv("XLA_FLAGS", "--another")
    monkeypatch.setenv("TF32", str(int(tf32)))
    monkeypatch.setenv("DETERMINISTIC", str(int(deterministic)))
    started = backend.start()
    assert started.float32_products == ("tf32" if tf32 else "float32")
    assert started.deterministic == deterministic
    products = ("jax_default_matmul_precision", "default" if tf32 else "float32")
    on_tensorflow = [("tf32", tf32), *([("deterministic",)] if deterministic else [])]
    assert calls == (on_tensorflow if name == "tensorflow" else [products])
    flag = " --xla_gpu_deterministic_ops=true" * deterministic
    assert os.environ["XLA_FLAGS"] == f"--another{flag}"
