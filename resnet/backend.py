"""Keras on TensorFlow or JAX. Apart from device.py, all other code is written in keras.ops."""

import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from resnet.device import Device, cpu_name, cpu_processor, gpu_unwanted, has_nvidia_driver
from resnet.errors import BenchmarkError

Tensor = Any  # a tensor of the backend
BACKENDS = ("tensorflow", "jax")
XLA_DETERMINISTIC = "--xla_gpu_deterministic_ops=true"  # read by XLA as it starts, on both backends
OUT_OF_MEMORY = ("RESOURCE_EXHAUSTED", "out of memory", "Dst tensor is not initialized", "OOM when")


def start(precision: str = "float32") -> Device:
    """Import Keras on the backend that KERAS_BACKEND names (default TensorFlow); find the device.

    precision is "float32", or "bfloat16" for mixed precision; images are channels last.
    ~/.keras/keras.json is ignored. Raises BenchmarkError for an unknown or missing backend, and
    where there is an NVIDIA driver but no GPU can be opened, unless GPU=0 asks for the CPU.
    """
    backend = os.environ.setdefault("KERAS_BACKEND", BACKENDS[0])
    if backend not in BACKENDS:
        raise BenchmarkError(f"KERAS_BACKEND is {backend!r}: must be tensorflow or jax")
    deterministic, tf32 = flag("DETERMINISTIC", default=False), flag("TF32", default=True)
    if deterministic and XLA_DETERMINISTIC not in os.environ.get("XLA_FLAGS", ""):
        flags = f"{os.environ.get('XLA_FLAGS', '')} {XLA_DETERMINISTIC}"
        os.environ["XLA_FLAGS"] = flags.strip()
    flag("GPU", default=True)
    try:
        with _native_messages_held(), _variables_of_import(backend):
            import keras

            gpu = None
            if keras.backend.backend() == backend:
                gpu = _tensorflow_gpu() if backend == "tensorflow" else _jax_gpu()
    except ModuleNotFoundError as error:
        missing = f"KERAS_BACKEND is {backend!r}, but {error.name} is not installed"
        raise BenchmarkError(missing) from error
    if keras.backend.backend() != backend:
        raise BenchmarkError(
            f"KERAS_BACKEND is {backend!r}, but Keras was imported on {keras.backend.backend()} "
            "before; set the variable before anything imports Keras"
        )
    if gpu is None and has_nvidia_driver() and not gpu_unwanted(backend):
        raise BenchmarkError(
            f"an NVIDIA driver is installed, but {backend} finds no GPU: {_reason(backend)}; "
            "GPU=0 uses the CPU"
        )
    device = Device(
        name=gpu or cpu_name(),
        processor=gpu or cpu_processor(),
        gpu=gpu is not None,
        backend=backend,
        xla=backend == "jax" or flag("XLA", default=gpu is not None),
        float32_products="tf32" if gpu and tf32 else "float32",
        deterministic=gpu is None or deterministic,
    )
    _configure(device, precision)
    return device


def flag(variable: str, *, default: bool) -> bool:
    """An environment variable that is 0 or 1; raises BenchmarkError where it is anything else."""
    value = os.environ.get(variable) or str(int(default))
    if value not in ("0", "1"):
        raise BenchmarkError(f"{variable} is {value!r}: must be 0 or 1")
    return value == "1"


def _configure(device: Device, precision: str) -> None:
    """State the settings that a result's last bits depend on, rather than leave the defaults."""
    import keras

    if device.backend == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_tensor_float_32_execution(device.float32_products == "tf32")
        # it regroups products with constants by the shape of the whole graph, so that one step and
        # a loop of steps would differ
        tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False})
        if device.gpu and device.deterministic:
            tf.config.experimental.enable_op_determinism()
    else:
        import jax

        # "default" is TF32 on a GPU that has it, for products and convolutions
        products = {"tf32": "default", "float32": "float32"}[device.float32_products]
        jax.config.update("jax_default_matmul_precision", products)  # type: ignore[no-untyped-call]
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format("channels_last")
    policy = {"float32": "float32", "bfloat16": "mixed_bfloat16"}[precision]
    keras.config.set_dtype_policy(policy)


@contextmanager
def _native_messages_held() -> Iterator[None]:
    """Hold back what TensorFlow's C++ writes to stderr as it starts, unless it fails.

    Some of it (oneDNN is on, there is no CUDA driver) ignores every setting:
    tensorflow/tensorflow#100442. Nothing is held back where TF_CPP_MIN_LOG_LEVEL is set.
    """
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        yield
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(stderr, held.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            del os.environ["TF_CPP_MIN_LOG_LEVEL"]  # read by now; child processes set their own


@contextmanager
def _variables_of_import(backend: str) -> Iterator[None]:
    """Within the block, environment variables that Keras and TensorFlow read as they start."""
    variables = {"KERAS_HOME": os.devnull}  # keeps Keras from reading, or writing, a keras.json
    if backend == "tensorflow" and platform.machine() == "x86_64":
        # TensorFlow leaves oneDNN off on CPUs without AVX-512 or AVX-VNNI, e.g. AMD's Zen 3, where
        # ResNet20v1 trains 1.6 times as fast with it
        variables["TF_ENABLE_ONEDNN_OPTS"] = os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1")
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            del os.environ[name]
            if value is not None:
                os.environ[name] = value


def _reason(backend: str) -> str:
    """Why the backend opens no GPU: the last line about it that an unfiltered process prints."""
    look = {
        "tensorflow": "import tensorflow as tf; tf.config.list_physical_devices('GPU')",
        "jax": "import jax; jax.devices()",
    }
    command = [sys.executable, "-c", look[backend]]
    env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "0"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    signs = ("CUDA", "cuda", "GPU", "dlopen", "libcu")
    lines = [line for line in done.stderr.splitlines() if any(sign in line for sign in signs)]
    return lines[-1].rpartition("] ")[2].strip()[:300] if lines else "it does not say why"


@contextmanager
def memory_errors(advice: str) -> Iterator[None]:
    """Within the block, running out of memory on the device or host is a BenchmarkError."""
    try:
        yield
    except Exception as error:
        text = str(error)
        out = isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError"
        if not out and not any(sign in text for sign in OUT_OF_MEMORY):
            raise
        signs = ("memory", "OOM", "Dst tensor")
        lines = (line.strip() for line in text.splitlines() if any(sign in line for sign in signs))
        reason = next(lines, type(error).__name__)
        raise BenchmarkError(f"out of memory: {reason[:200]}; {advice}") from error


def compiled(function: Callable[..., Any], xla: bool) -> Callable[..., Any]:
    """The function as one compiled graph; without XLA, TensorFlow's own kernels run it.

    On a CPU those are faster. JAX always compiles with XLA.
    """
    if _on_tensorflow():
        import tensorflow as tf

        return tf.function(function, jit_compile=xla)  # type: ignore[no-any-return]
    import jax

    return jax.jit(function)


def has_fused_batch_normalization() -> bool:
    """Whether `fused_batch_normalization` exists; on JAX, XLA fuses Keras' own."""
    return _on_tensorflow()


def fused_batch_normalization(
    x: Tensor, scale: Tensor, offset: Tensor, epsilon: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Normalize x (n, h, w, c) by its own statistics.

    Returns it with its mean and variance (c,) in float32, computed as Keras computes them.
    """
    import tensorflow as tf

    y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x, scale=scale, offset=offset, mean=[], variance=[], epsilon=epsilon
    )
    count = x.shape[0] * x.shape[1] * x.shape[2]
    # the kernel estimates the population's variance; Keras uses that of the batch
    return y, mean, variance * ((count - 1) / count)


def value_and_gradients(
    function: Callable[[list[Tensor]], tuple[Tensor, Any]], weights: list[Tensor]
) -> tuple[Tensor, Any, list[Tensor]]:
    """Value, other results and gradients of `function(weights) -> (value, other results)`."""
    if _on_tensorflow():
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(weights)
            value, others = function(weights)
        return value, others, tape.gradient(value, weights)
    import jax

    (value, others), gradients = jax.value_and_grad(function, has_aux=True)(weights)
    return value, others, gradients


def _on_tensorflow() -> bool:
    import keras

    return bool(keras.backend.backend() == "tensorflow")


def _tensorflow_gpu() -> str | None:
    """Make one GPU visible and return its name; None where there is none or the CPU is wanted."""
    import tensorflow as tf

    gpus = [] if gpu_unwanted("tensorflow") else tf.config.list_physical_devices("GPU")
    # before anything else: memory growth must be the same on all visible GPUs
    tf.config.set_visible_devices(gpus[:1], "GPU")
    if not gpus:
        return None
    tf.config.experimental.set_memory_growth(gpus[0], True)  # else the peak is all there is
    return str(tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU"))


def _jax_gpu() -> str | None:
    """The name of the first GPU; None where there is none or the CPU is wanted."""
    import jax

    with suppress(ModuleNotFoundError):
        import tensorflow  # noqa: F401  # Keras imports it to save; now its messages are held
    if gpu_unwanted("jax"):
        jax.config.update("jax_platforms", "cpu")  # type: ignore[no-untyped-call]
    try:
        device = jax.devices()[0]
    except (RuntimeError, AssertionError) as error:  # the latter where it found no CUDA
        platforms = os.environ.get("JAX_PLATFORMS", "")
        reason = str(error).partition("\n")[0].partition(" (set ")[0] or "it does not say why"
        message = f"JAX opens no device with JAX_PLATFORMS={platforms!r}: {reason}"
        raise BenchmarkError(message) from error
    return None if device.platform == "cpu" else str(device.device_kind)
