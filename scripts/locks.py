"""Whether the locks hold what pyproject.toml asks for; without a network. `python -m scripts.locks`, a part of `make check`"""

import re
import sys
import tomllib
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

LOCKS = {
    "requirements/run.lock": "",
    "requirements/gpu.lock": "gpu",
    "requirements/dev.lock": "dev",
    "requirements/speed.lock": "speed",
}
Versions = dict[
    str, set[str]
]  # of a package; more than one where they depend on Python's version or the platform


def problems(folder: Path) -> list[str]:
    """What is wrong with the locks in a folder, a line each."""
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found: list[str] = []
    first: dict[
        str, tuple[str, set[str]]
    ] = {}  # the first lock that has a package, with its versions
    for name, extra in LOCKS.items():
        versions, wrong = read(folder / name)
        asked = [
            *project["dependencies"],
            *(project["optional-dependencies"][extra] if extra else []),
        ]
        wrong += [
            line for requirement in asked for line in unmet(Requirement(requirement), versions)
        ]
        for package, held in versions.items():
            lock, other = first.setdefault(package, (name, held))
            if not held <= other:  # requirements/speed.lock is for one Python alone
                wrong.append(
                    f"{package} is {' and '.join(sorted(held))}, but {' and '.join(sorted(other))} in {lock}"
                )
        found += [f"{name}: {line}" for line in wrong]
    return found


def unmet(requirement: Requirement, versions: Versions) -> list[str]:
    """How a lock's versions differ from what pyproject.toml asks for."""
    held = versions.get(canonicalize_name(requirement.name))
    if not held:
        return [f"lacks {requirement.name}, which pyproject.toml asks for"]
    return [
        f"{requirement.name} is {version}, but pyproject.toml asks for {requirement.specifier}"
        for version in sorted(held)
        if not requirement.specifier.contains(version, prereleases=True)
    ]


def read(path: Path) -> tuple[Versions, list[str]]:
    """The versions that a lock pins, and what is wrong with its entries."""
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
            wrong.append(f"{text!r} is no requirement: a lock names neither an index nor an option")
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
            wrong.append(f"{text!r} lacks a SHA-256, or has a broken one")
        versions.setdefault(canonicalize_name(requirement.name), set()).add(pins[0])
    return versions, wrong


if __name__ == "__main__":
    lines = problems(Path())
    sys.exit(
        "\n".join([*lines, "run `make lock`, which pins anew what pyproject.toml asks for"])
        if lines
        else 0
    )
