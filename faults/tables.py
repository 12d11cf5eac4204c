"""The page of faults, rendered from faults/results.json."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

READING = (
    "# Faults",
    "Rendered by `python -m faults render` from `faults/results.json`; do not edit by hand. `make faults` tries it all anew, some ten "
    "minutes on two cores.",
    "Real trainings and a real dvc are killed at random moments and go on; then weights, as arrays, histories, metrics and predictions, "
    "times apart, are compared with those of a run that nobody disturbed. Real stages are given bad inputs, full disks (a real tmpfs; "
    "that needs root) and read-only folders; then the SHA-256 of every file is compared with that before.",
)


def page(result: Mapping[str, Any]) -> str:
    """The whole page, faults/README.md, as Markdown."""
    rows = []
    for part, where in (("kills", ""), ("jax", ", on JAX")):
        records = result.get(part, {}).get("records", [])
        made = Counter((record["what"], record["hit"]) for record in records)
        survived = Counter(
            (record["what"], record["hit"]) for record in records if not record["differ"]
        )
        rows += [
            [f"SIGKILL of {what}{where}: {hit}", str(count), str(survived[what, hit])]
            for (what, hit), count in sorted(made.items())
        ]
        if records:
            rows.append(
                [f"**all kills{where}**", f"**{len(records)}**", f"**{sum(survived.values())}**"]
            )
    inputs = result.get("inputs", {}).get("records", [])
    tried = [record for record in inputs if "skipped" not in record]
    if tried:
        rows.append(
            [
                "**bad inputs and bad weather**",
                f"**{len(tried)}**",
                f"**{sum(not record['problems'] for record in tried)}**",
            ]
        )
    blocks = [*READING, table(["what happened", "times", "as it should be"], rows), about(result)]
    if inputs:
        lines = [
            [escaped(record["input"]), f"`{record['command']}`", said(record)] for record in inputs
        ]
        blocks += [
            "## What a person reads",
            table(["what is wrong", "command", "what a person reads"], lines),
        ]
    return "\n\n".join(blocks) + "\n"


def about(result: Mapping[str, Any]) -> str:
    """Where, when and how it was measured."""
    said = []
    for part, name in (("kills", "kills"), ("jax", "kills on JAX"), ("inputs", "bad inputs")):
        if found := result.get(part):
            versions = ", ".join(
                f"{library} {version}" for library, version in found["versions"].items()
            )
            seed = f", random seed {found['seed']}" if "seed" in found else ""
            said.append(f"{name}: {found['device']}, {versions}{seed}, {found['seconds']:.0f} s")
    lost = [
        record["epochs_lost"]
        for part in ("kills", "jax")
        for record in result.get(part, {}).get("records", [])
        if "epochs_lost" in record
    ]
    most = (
        f" No kill cost more than {max(lost)} epoch{'s' * (max(lost) != 1)} that had been told of; there, a state is saved after each."
        if lost
        else ""
    )
    return f"{'; '.join(said)}.{most}"


def said(record: Mapping[str, Any]) -> str:
    """A message as a table's cell: of code, whatever is in it."""
    if "skipped" in record:
        return f"not tried: {record['skipped']}"
    lines = [f"`` {escaped(line)} ``" for line in record["message"].splitlines()] or ["nothing"]
    return "<br>".join(
        [
            *lines,
            *(f"**not as it should be: {escaped(problem)}**" for problem in record["problems"]),
        ]
    )


def escaped(text: str) -> str:
    return text.replace("|", "\\|")


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    numbers = {"times", "as it should be"}
    ruler = [" ---: " if name in numbers else " --- " for name in columns]
    return "\n".join(
        [
            f"| {' | '.join(columns)} |",
            f"|{'|'.join(ruler)}|",
            *(f"| {' | '.join(row)} |" for row in rows),
        ]
    )
