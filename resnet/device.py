"""Where the work runs: the GPU or CPU, how it rounds, and what tells one processor from another."""

import os
import platform
import re
import resource
import shutil
import sys
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
NVIDIA = (
    Path("/dev/nvidia0"),
    Path("/proc/driver/nvidia/version"),
    Path("/usr/lib/wsl/lib/libcuda.so.1"),  # WSL 2, from the driver of Windows
)
CUDA_PACKAGES = ("nvidia-cudnn-cu12", "nvidia-cublas-cu12")  # the kernels of a GPU
INSTRUCTIONS = re.compile(r"(sse|ssse|avx|fma|f16c|amx|bf16|asimd|sve|neon|i8mm)")


@dataclass(frozen=True)
class Device:
    """A device and its settings, all of which can change the last bits of a result."""

    name: str  # as tables show it
    processor: str  # what decides which kernels run; the name alone is the same for generations
    gpu: bool
    backend: str  # tensorflow or jax
    xla: bool  # whether the steps are compiled by XLA
    float32_products: str  # tf32 or float32: how factors are rounded before they are multiplied
    deterministic: bool  # the same seed gives the same bits: on a CPU, or with DETERMINISTIC=1

    def peak_memory_mb(self) -> int:
        """The most memory in use so far, in 10^6 bytes: the GPU's, or the process' on a CPU."""
        if not self.gpu:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            return round(peak * (1 if sys.platform == "darwin" else 1024) / 1e6)
        if self.backend == "tensorflow":
            import tensorflow as tf

            return int(tf.config.experimental.get_memory_info("GPU:0")["peak"] / 1e6)
        import jax

        stats = jax.devices()[0].memory_stats() or {}  # None on some platforms
        return int(stats.get("peak_bytes_in_use", 0) / 1e6)


def cpu_name() -> str:
    """The processor's name and the number of threads this process may use."""
    model = _cpuinfo().get("model name") or platform.processor() or platform.machine()
    affinity = getattr(os, "sched_getaffinity", None)
    threads = len(affinity(0)) if affinity else os.cpu_count()
    return f"{model}, {threads} thread{'s' * (threads != 1)}"


def cpu_processor() -> str:
    """Vendor, family, model, stepping and vector instruction sets, as far as the system tells."""
    info = _cpuinfo()
    words = [platform.machine(), info.get("vendor_id") or info.get("CPU implementer", "")]
    for key in ("cpu family", "model", "stepping", "CPU part", "CPU variant", "CPU revision"):
        if key in info:
            words.append(f"{key.removeprefix('cpu ').removeprefix('CPU ')} {info[key]}")
    flags = (info.get("flags") or info.get("Features", "")).split()
    words += sorted(flag for flag in flags if INSTRUCTIONS.match(flag))
    return " ".join(filter(None, words))


def versions(device: Device) -> dict[str, str]:
    """The versions of the packages that compute a result on this device.

    On a GPU they include those packages of CUDA's libraries that are installed.
    """
    jaxlib = ("jaxlib",) if device.backend == "jax" else ()
    found = {"python": platform.python_version()}
    for name in ("keras", device.backend, *jaxlib, "numpy"):
        found[name] = metadata.version(name)
    for name in CUDA_PACKAGES if device.gpu else ():
        with suppress(metadata.PackageNotFoundError):  # the system's own library
            found[name] = metadata.version(name)
    return found


def has_nvidia_driver() -> bool:
    """Whether this machine looks as if it had an NVIDIA GPU."""
    return shutil.which("nvidia-smi") is not None or any(path.exists() for path in NVIDIA)


def gpu_unwanted(backend: str) -> bool:
    """Whether the environment asks to leave the GPU alone."""
    return (
        os.environ.get("GPU") == "0"
        or os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
        or (backend == "jax" and os.environ.get("JAX_PLATFORMS") == "cpu")
    )


def _cpuinfo() -> dict[str, str]:
    """The first processor's entries in /proc/cpuinfo; empty where there is no such file."""
    if not CPUINFO.exists():
        return {}
    first = CPUINFO.read_text(encoding="utf-8", errors="replace").split("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}
