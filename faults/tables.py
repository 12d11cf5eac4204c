"""faults/README.md, rendered from faults/results.json."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from resnet.results import markdown

INTRODUCTION = (
    "# Fault injection",
    "`python -m faults render` renders this page from `faults/results.json`; do not edit it. "
    "`make faults` runs everything again, in about 25 minutes on two cores.",
    "**Kills.** Real trainings and real `dvc repro` processes are killed at random moments and "
    "started again. Weights (as arrays), histories, metrics and predictions must then equal those "
    "of an undisturbed run, apart from times.",
    "**Bad inputs and I/O failures.** Real commands get bad inputs, full disks (a tmpfs, which "
    "needs root) and read-only folders. A command that must fail prints one line and changes "
    "no file of the checkout, by their SHA-256; a training may save its state, and a lock file may "
    "be left. `.git`, `.dvc` and Python's caches are not compared. Every other command must "
    "complete. The table shows the line that is checked.",
    "**Nodes and drivers of a cluster.** `python -m cluster.measure kills` kills them, and "
    "[cluster/README.md](../cluster/README.md#when-something-ends) lists the kills.",
)
KILLS = (("kills", ""), ("jax", ", on JAX"))


def page(result: Mapping[str, Any]) -> str:
    """The whole page as Markdown."""
    rows = []
    for part, suffix in KILLS:
        rows += _kill_rows(result.get(part, {}).get("records", []), suffix)
    records = result.get("inputs", {}).get("records", [])
    tried = [record for record in records if "skipped" not in record]
    if tried:
        passed = sum(not record["problems"] for record in tried)
        rows.append(["**bad inputs and I/O failures**", f"**{len(tried)}**", f"**{passed}**"])
    blocks = [*INTRODUCTION, _table(["fault", "times", "as expected"], rows), _conditions(result)]
    if records:
        lines = [
            [record["case"], markdown.code(record["command"]), _message(record)]
            for record in records
        ]
        blocks += ["## Messages", _table(["fault", "command", "message"], lines)]
    return "\n\n".join(blocks) + "\n"


def _kill_rows(records: Sequence[Mapping[str, Any]], suffix: str) -> list[list[str]]:
    """A row for each thing that was killed and moment, and one for all."""
    if not records:
        return []
    killed = Counter((record["what"], record["moment"]) for record in records)
    passed = Counter(
        (record["what"], record["moment"]) for record in records if not record["differences"]
    )
    rows = [
        [f"SIGKILL of {what}{suffix}, {moment}", str(count), str(passed[what, moment])]
        for (what, moment), count in sorted(killed.items())
    ]
    total = [f"**all kills{suffix}**", f"**{len(records)}**", f"**{sum(passed.values())}**"]
    return [*rows, total]


def _conditions(result: Mapping[str, Any]) -> str:
    """Where and how it was measured."""
    parts = []
    for part, name in (("kills", "Kills"), ("jax", "Kills on JAX"), ("inputs", "Bad inputs")):
        if found := result.get(part):
            libraries = [f"{library} {version}" for library, version in found["versions"].items()]
            seed = [f"random seed {found['seed']}"] if "seed" in found else []
            facts = [found["device"], *libraries, *seed, f"{found['seconds']:.0f} s"]
            parts.append(f"{name}: {', '.join(facts)}.")
    lost = [
        record["epochs_lost"]
        for part, _ in KILLS
        for record in result.get(part, {}).get("records", [])
        if "epochs_lost" in record
    ]
    if lost:
        epochs = "epoch" if max(lost) == 1 else "epochs"
        parts.append(
            f"No kill lost more than {max(lost)} {epochs} already printed; "
            "a state was saved after each epoch."
        )
    return " ".join(parts)


def _message(record: Mapping[str, Any]) -> str:
    """A message as a table's cell."""
    if "skipped" in record:
        return f"not tried: {record['skipped']}"
    text = record["message"]
    lines = [markdown.code(line, len(line)) for line in text.splitlines()] or ["none"]
    problems = [f"**problem: {problem}**" for problem in record["problems"]]
    return "<br>".join([*lines, *problems])


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    align = ["right" if name in ("times", "as expected") else "left" for name in columns]
    return markdown.table(columns, rows, align)
