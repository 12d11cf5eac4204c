"""Check that the locks satisfy pyproject.toml and agree with each other. A part of `make check`.

It needs no network. `make lock` updates the locks.
"""

import argparse
import re
import sys
import tomllib
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from resnet.errors import BenchmarkError, command_parser, run_stage
from resnet.schema import single_line

LOCKS = {  # each lock and the optional dependencies it adds
    "requirements/run.lock": "",
    "requirements/gpu.lock": "gpu",
    "requirements/dev.lock": "dev",
    "requirements/speed.lock": "speed",
    "requirements/cluster.lock": "cluster",
}
# Each package's pinned versions: several where they depend on the Python version or the platform.
Versions = dict[str, set[str]]


def problems(folder: Path) -> list[str]:
    """Return what is wrong with the locks of a checkout, one line each."""
    try:
        text = (folder / "pyproject.toml").read_text(encoding="utf-8")
        project = tomllib.loads(text)["project"]
        extras = {"": [], **project["optional-dependencies"]}
        needs = {
            name: [Requirement(each) for each in (*project["dependencies"], *extras[extra])]
            for name, extra in LOCKS.items()
        }
    except KeyError as error:
        raise BenchmarkError(f"pyproject.toml: no {error}") from error
    except (tomllib.TOMLDecodeError, InvalidRequirement) as error:
        raise BenchmarkError(f"pyproject.toml: {single_line(str(error))}") from error
    found: list[str] = []
    first: dict[str, tuple[str, set[str]]] = {}  # package: the first lock with it, its versions
    for name, required in needs.items():
        versions, wrong = read(folder / name)
        for requirement in required:
            wrong += unmet(requirement, versions)
        if "and-cuda" in {extra for each in required for extra in each.extras}:
            # an extra has no entry of its own in a lock
            cuda = any(package.startswith("nvidia-") for package in versions)
            wrong += [] if cuda else ["no nvidia- package, but pyproject.toml requires and-cuda"]
        for package, pinned in versions.items():
            other_lock, other = first.setdefault(package, (name, pinned))
            if not pinned <= other:  # a subset is fine: speed.lock is for one Python version
                wrong.append(
                    f"{package} is {' and '.join(sorted(pinned))}, "
                    f"but {' and '.join(sorted(other))} in {other_lock}"
                )
        found += [f"{name}: {line}" for line in wrong]
    return found


def unmet(requirement: Requirement, versions: Versions) -> list[str]:
    """Return how a lock's versions violate one requirement of pyproject.toml."""
    pinned = versions.get(canonicalize_name(requirement.name))
    if not pinned:
        return [f"{requirement.name} is missing, but pyproject.toml requires it"]
    return [
        f"{requirement.name} is {version}, but pyproject.toml requires {requirement.specifier}"
        for version in sorted(pinned)
        if not requirement.specifier.contains(version, prereleases=True)
    ]


def read(path: Path) -> tuple[Versions, list[str]]:
    """Return the versions that a lock pins, and what is wrong with its entries."""
    versions: Versions = {}
    wrong = []
    lines = [
        line
        for line in path.read_text(encoding="utf-8").splitlines()
        if not line.lstrip().startswith("#")
    ]
    for entry in filter(None, re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines()):
        text, *hashes = re.split(r"\s*--hash=", entry)
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            wrong.append(f"{text!r} is not a requirement; a lock must name no index and no option")
            continue
        pins = [
            specifier.version
            for specifier in requirement.specifier
            if specifier.operator == "==" and "*" not in specifier.version
        ]
        if requirement.url or len(pins) != 1 or len(requirement.specifier) != 1:
            wrong.append(f"{text!r} is not pinned with ==")
            continue
        if not hashes or not all(re.fullmatch(r"sha256:[0-9a-f]{64}", digest) for digest in hashes):
            wrong.append(f"{text!r} has no SHA-256, or a malformed one")
        versions.setdefault(canonicalize_name(requirement.name), set()).add(pins[0])
    return versions, wrong


def main(_arguments: argparse.Namespace) -> None:
    """Print what is wrong to stderr, a line each; raises BenchmarkError if anything is."""
    if lines := problems(Path()):
        print(*lines, sep="\n", file=sys.stderr)
        raise BenchmarkError("run `make lock`, which updates the locks")


if __name__ == "__main__":
    run_stage(main, command_parser("scripts.locks", __doc__))
