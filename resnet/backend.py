"""Keras on TensorFlow or JAX: the one module that knows which. Everything else is written in keras.ops."""

import os
import platform
import resource
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from resnet.errors import BenchmarkError

Tensor = Any  # a tensor of the backend
BACKENDS = ("tensorflow", "jax")
XLA_DETERMINISTIC = (
    "--xla_gpu_deterministic_ops=true"  # read by XLA as it starts, whichever backend it serves
)


@dataclass(frozen=True)
class Device:
    """Where the work runs; `gpu` is false on a CPU."""

    name: str
    gpu: bool
    backend: str
    float32_products: (
        str  # tf32, or float32: how products of float32 numbers are rounded before they are summed
    )
    deterministic: bool  # the same seed gives the same bits: a CPU's always, a GPU's where DETERMINISTIC=1 asks for it

    def peak_memory_mb(self) -> int:
        """The most memory that was in use at once so far, in MB (10^6 bytes): the GPU's, or this process' on a CPU."""
        if not self.gpu:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            return round(peak * (1 if sys.platform == "darwin" else 1024) / 1e6)
        if self.backend == "tensorflow":
            import tensorflow as tf

            return int(tf.config.experimental.get_memory_info("GPU:0")["peak"] / 1e6)
        import jax

        return int(jax.devices()[0].memory_stats()["peak_bytes_in_use"] / 1e6)


def start(precision: str = "float32") -> Device:
    """Import Keras on the backend that KERAS_BACKEND names, TensorFlow by default, and find the device.

    ~/.keras/keras.json is not obeyed: precision ("float32" or "bfloat16", which is mixed) and channels last come from
    here. Raises BenchmarkError for another or a missing backend, and where REQUIRE_GPU=1 finds no GPU.
    On a GPU, float32 products are TF32's unless TF32=0.
    """
    backend = os.environ.setdefault("KERAS_BACKEND", BACKENDS[0])
    if backend not in BACKENDS:
        raise BenchmarkError(f"KERAS_BACKEND is {backend!r}: must be tensorflow or jax")
    deterministic = flag("DETERMINISTIC", default=False)
    if deterministic and XLA_DETERMINISTIC not in os.environ.get("XLA_FLAGS", ""):
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {XLA_DETERMINISTIC}".strip()
    try:
        with _native_messages_held():
            import keras

            name = _gpu_tensorflow() if backend == "tensorflow" else _gpu_jax()
    except ModuleNotFoundError as error:
        raise BenchmarkError(
            f"KERAS_BACKEND is {backend!r}, but {error.name} is not installed"
        ) from error
    products = "tf32" if name is not None and flag("TF32", default=True) else "float32"
    _configure(backend, products, deterministic and name is not None)
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format("channels_last")
    keras.config.set_dtype_policy({"float32": "float32", "bfloat16": "mixed_bfloat16"}[precision])
    if name is None and flag("REQUIRE_GPU", default=False):
        raise BenchmarkError(
            "REQUIRE_GPU is 1, but no GPU was found; TF_CPP_MIN_LOG_LEVEL=0 or JAX's own warning tells why"
        )
    return Device(
        name or _cpu(),
        name is not None,
        backend,
        products,
        deterministic=name is None or deterministic,
    )


def flag(variable: str, *, default: bool) -> bool:
    """An environment variable that is 0 or 1; raises BenchmarkError where it is anything else."""
    value = os.environ.get(variable) or str(int(default))
    if value not in ("0", "1"):
        raise BenchmarkError(f"{variable} is {value!r}: must be 0 or 1")
    return value == "1"


def _configure(backend: str, products: str, deterministic: bool) -> None:
    """Settings that a result's last bits depend on, stated rather than left to the backend's defaults."""
    if backend == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_tensor_float_32_execution(products == "tf32")
        # it regroups products with constants by the shape of the whole graph, so one step and a loop of steps would differ
        tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False})
        if deterministic:
            tf.config.experimental.enable_op_determinism()
    else:
        import jax

        # "default" is TF32 on a GPU that has it, for products and convolutions
        jax.config.update(
            "jax_default_matmul_precision", {"tf32": "default", "float32": "float32"}[products]
        )  # type: ignore[no-untyped-call]


@contextmanager
def _native_messages_held() -> Iterator[None]:
    """Keep back what TensorFlow's C++ writes to stderr while it starts, unless TF_CPP_MIN_LOG_LEVEL is set or it fails.

    Some of it (oneDNN is on, there is no CUDA driver) is beyond every setting: tensorflow/tensorflow#100442.
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
            del os.environ[
                "TF_CPP_MIN_LOG_LEVEL"
            ]  # TensorFlow has read it; processes started from here decide for themselves


@contextmanager
def memory_errors(advice: str) -> Iterator[None]:
    """Within the block, a device or a host without memory left is a BenchmarkError with that advice."""
    try:
        yield
    except Exception as error:
        if (
            not isinstance(error, MemoryError)
            and type(error).__name__ != "ResourceExhaustedError"
            and "RESOURCE_EXHAUSTED" not in str(error)
        ):
            raise
        told = next(
            (line.strip() for line in str(error).splitlines() if "memory" in line or "OOM" in line),
            type(error).__name__,
        )
        raise BenchmarkError(f"out of memory: {told[:200]}; {advice}") from error


def versions(backend: str) -> dict[str, str]:
    """Versions of what computes a result."""
    return {
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in ("keras", backend, "numpy")},
    }


def compiled(function: Callable[..., Any], gpu: bool) -> Callable[..., Any]:
    """The function as one graph, compiled by XLA on JAX and on GPUs; TensorFlow's own kernels are faster on a CPU."""
    if os.environ["KERAS_BACKEND"] == "tensorflow":
        import tensorflow as tf

        return tf.function(function, jit_compile=gpu)  # type: ignore[no-any-return]
    import jax

    return jax.jit(function)


def has_fused_batch_normalization() -> bool:
    """Whether `fused_batch_normalization` exists: on JAX, XLA fuses Keras' own."""
    return os.environ["KERAS_BACKEND"] == "tensorflow"


def fused_batch_normalization(
    x: Tensor, scale: Tensor, offset: Tensor, epsilon: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Normalize x (n, h, w, c) by its own statistics; returns it, and its mean and variance (c,) in float32, as Keras counts them."""
    import tensorflow as tf

    y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x, scale=scale, offset=offset, mean=[], variance=[], epsilon=epsilon
    )
    count = x.shape[0] * x.shape[1] * x.shape[2]
    return (
        y,
        mean,
        variance * ((count - 1) / count),
    )  # the kernel's is an estimate for the population, Keras' that of the batch


def value_and_gradients(
    function: Callable[[list[Tensor]], tuple[Tensor, Any]], weights: list[Tensor]
) -> tuple[Tensor, Any, list[Tensor]]:
    """Value, further results and gradients of `function(weights) -> (value, further results)`."""
    if os.environ["KERAS_BACKEND"] == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(weights)
            value, further = function(weights)
        return value, further, tape.gradient(value, weights)
    import jax

    (value, further), gradients = jax.value_and_grad(function, has_aux=True)(weights)
    return value, further, gradients


def _gpu_tensorflow() -> str | None:
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return None
    tf.config.experimental.set_memory_growth(
        gpus[0], True
    )  # take what is needed, so that the peak says something
    return str(tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU"))


def _gpu_jax() -> str | None:
    import jax

    with suppress(ModuleNotFoundError):
        import tensorflow  # noqa: F401  # Keras does so anyway to save a model, where it can; now its messages are held
    device = jax.devices()[0]
    return None if device.platform == "cpu" else str(device.device_kind)


def _cpu() -> str:
    """The processor's name and how many of its threads this process may use."""
    model = platform.processor() or platform.machine()
    if (info := Path("/proc/cpuinfo")).exists():
        names = [
            line.split(":")[1].strip()
            for line in info.read_text().splitlines()
            if line.startswith("model name")
        ]
        model = names[0] if names else model
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{model}, {threads} threads"
