"""A checkout whose trainings sleep instead of training, to measure the driver and to test it.

Its stages/train.py prints, saves, resumes and ends as the real one does, in a fraction of a second
per epoch: a state is a chain of hashes, one link per epoch, so the result shows whether each epoch
was done once and in order. The other stages do nothing.
"""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from scripts.checkout import ROOT, environment, set_params

FILES = ("params.yaml", ".dvcignore", ".gitignore", "pyproject.toml", "requirements/cluster.lock")
PIPELINE: dict[str, Any] = {
    "preprocess": {
        "cmd": "mkdir -p data/arrays && echo data > data/arrays/images",
        "outs": ["data/arrays"],
    },
    "train": {
        "matrix": {"variant": "${variants}", "seed": "${seeds}"},
        "cmd": "python -m stages.train ${item.variant} ${item.seed}",
        "deps": ["stages/train.py", "simulation.json", "data/arrays"],
        "params": ["${item.variant}", "recipes.original"],
        "outs": ["models/${item.variant}/seed${item.seed}"],
    },
    "evaluate": {
        "matrix": {"variant": "${variants}"},
        "cmd": "mkdir -p metrics && ls models/${item.variant} > metrics/${item.variant}",
        "deps": ["models/${item.variant}"],
        "params": ["seeds"],
        "outs": [{"metrics/${item.variant}": {"cache": False}}],
    },
    "report": {
        "cmd": "ls metrics > report",
        "deps": ["metrics"],
        "outs": [{"report": {"cache": False}}],
    },
}
TRAIN = """
import hashlib, json, os, random, signal, sys, time
from pathlib import Path
import yaml

variant, seed = sys.argv[1:]
values = yaml.safe_load(Path("params.yaml").read_text())
epochs = values["recipes"]["original"]["epochs"]
how = json.loads(Path("simulation.json").read_text())
seconds = float(os.environ.get("SIMULATED_SECONDS", how["seconds"]))
folder = Path(os.environ["DVC_ROOT"], ".resume", f"{variant}-seed{seed}-0123456789abcdef")
folder.mkdir(parents=True, exist_ok=True)
identity = {"threads": os.environ.get("OMP_NUM_THREADS")}
(folder / "identity.json").write_text(json.dumps(identity))
names = ("CUDA_VISIBLE_DEVICES", "XLA_PYTHON_CLIENT_PREALLOCATE")
print("environment", *(os.environ.get(name) for name in names), flush=True)
if "SIMULATED_FAULT" in os.environ:
    sys.exit(f"train: {os.environ['SIMULATED_FAULT']}")
saved = sorted(folder.glob("epoch*.npz"), key=lambda path: path.stat().st_mtime)
done, link = 0, hashlib.sha256(f"{variant} {seed} {values[variant]}".encode()).digest()
if saved:
    done, link = int(saved[-1].name.split("-")[0][5:]), saved[-1].read_bytes()[:32]
    print(f"resuming after epoch {done} of {epochs}", flush=True)


def save():
    path = folder / f"epoch{done}-{link.hex()}.npz"
    partial = folder / f".epoch{done}.partial"
    partial.write_bytes(link + random.Random(0).randbytes(how["state_bytes"]))
    partial.rename(path)
    for other in folder.glob("epoch*.npz"):
        if other != path:
            other.unlink()


def stop(number, frame):
    if done:
        save()
    sys.exit(f"train: stopped by {signal.Signals(number).name} after epoch {done} of {epochs}")


signal.signal(signal.SIGTERM, stop)
while done < epochs:
    time.sleep(seconds)
    if [variant, done] in how.get("diverges", []):
        sys.exit(f"train: loss nan in epoch {done + 1}, at a learning rate of 1")
    link, done = hashlib.sha256(link).digest(), done + 1
    print(f"epoch {done}/{epochs}  loss 1.0000  10.00 %  rate 1  {seconds} s", flush=True)
    save()
model = Path("models", variant, f"seed{seed}")
model.mkdir(parents=True)
(model / "last.keras").write_bytes(link + random.Random(1).randbytes(how["model_bytes"]))
md5 = hashlib.md5((model / "last.keras").read_bytes()).hexdigest()
listed = json.dumps([{"md5": md5, "relpath": "last.keras"}])
oid = hashlib.md5(listed.encode()).hexdigest()  # DVC's hash of the folder
(folder / f"result-{oid}.dir").mkdir(exist_ok=True)
for path in folder.glob("epoch*.npz"):
    path.unlink()
"""


def write(folder: Path, *, variants: int = 1, seeds: int = 1, **changes: Any) -> Path:
    """Write such a checkout to a new folder, with `variants` networks of different depths.

    `changes` maps the keys seconds (per epoch), state_bytes, model_bytes and diverges, a list of
    pairs of a variant and the epochs after which its loss is nan, to values; `epochs` is the
    recipe's.
    """
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    for name in ("cluster", "resnet", "scripts"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    names = [f"ResNet{6 * n + 2}v1" for n in range(1, variants + 1)]
    epochs = changes.pop("epochs", 3)
    how = {"seconds": 0.1, "state_bytes": 1000, "model_bytes": 1000, **changes}
    set_params(
        folder / "params.yaml",
        {
            "variants": names,
            "seeds": list(range(seeds)),
            "recipes.original.epochs": epochs,
            **{name: {"version": 1, "n": n} for n, name in enumerate(names, 1)},
        },
    )
    (folder / "simulation.json").write_text(json.dumps(how), encoding="utf-8")
    (folder / "stages").mkdir()
    (folder / "stages" / "train.py").write_text(TRAIN, encoding="utf-8")
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": PIPELINE}, sort_keys=False))
    for command in (["git", "init", "--quiet"], ["dvc", "init", "--quiet"]):
        subprocess.run(command, cwd=folder, env=environment(folder), check=True)
    return folder
