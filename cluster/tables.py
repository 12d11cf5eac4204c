"""The measured tables of cluster/README.md, rendered from cluster/results.json."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from resnet.files import write_text
from resnet.results import markdown

PAGE = Path(__file__).with_name("README.md")
WHAT = {
    "node": "SIGKILL of a node's raylet, which is the node for Ray",
    "worker": "SIGKILL of a worker on a node",
    "driver": "SIGKILL of the driver",
    "SIGTERM": "SIGTERM to the driver",
    "SIGHUP": "SIGHUP to the driver",
    "SIGINT": "Ctrl-C (SIGINT to the driver)",
}


def render(found: Mapping[str, Any]) -> None:
    """Bring the page up to date."""
    write_text(PAGE, page(PAGE.read_text(encoding="utf-8"), found))


def page(text: str, found: Mapping[str, Any]) -> str:
    """The page with the tables of what was measured between their markers."""
    for part, table in TABLES.items():
        lines = table(found[part]["rows"]) if part in found else "Not measured yet."
        if "device" in found.get(part, {}):
            lines += f"\n\n{_conditions(found[part])}"
        pattern = rf"(<!-- {part} -->\n).*?(<!-- /{part} -->)"
        text = re.sub(pattern, rf"\g<1>{lines}\n\g<2>", text, flags=re.DOTALL)
    return text


def problems(found: Mapping[str, Any]) -> list[str]:
    """All that is not as expected, a line each."""
    kills = found.get("kills", {}).get("rows", [])
    wrong = [
        f"kill of {row['what']}: {row['differences'][0]}" for row in kills if row["differences"]
    ]
    wrong += [f"kill of {row['what']}: a state was lost" for row in kills if _lost(row)]
    trainings = found.get("trainings", {}).get("rows", [])
    return wrong + [
        f"{row['trainings'] - row['equal']} trainings differ"
        for row in trainings
        if row["equal"] != row["trainings"]
    ]


def _lost(row: Mapping[str, Any]) -> bool:
    return bool(row["kept"] < row["epochs"])


def _order(rows: Sequence[Mapping[str, Any]]) -> str:
    return _table(
        ["GPUs", "longest first, h", "in the order of the list, h"],
        [[row["gpus"], f"{row['longest_first']:.1f}", f"{row['as_listed']:.1f}"] for row in rows],
    )


def _scale(rows: Sequence[Mapping[str, Any]]) -> str:
    return _table(
        [
            "trainings",
            "at a time",
            "start, s",
            "driver's CPU per training, s",
            "to each node, MB",
            "back per training, MB",
            "until the last was done, s",
            "`dvc repro` at the end, per training, s",
        ],
        [
            [
                row["trainings"],
                row["at_a_time"],
                f"{row['start_seconds']:.1f}",
                f"{row['driver_cpu_seconds']:.2f}",
                f"{row['megabytes_to_a_node']:.1f}",
                f"{row['megabytes_back']:.1f}",
                f"{row['seconds']:.0f}",
                f"{row['dvc_seconds']:.2f}",
            ]
            for row in rows
        ],
    )


def _trainings(rows: Sequence[Mapping[str, Any]]) -> str:
    return _table(
        ["trainings", "bit-identical", "`dvc repro`, s", "two nodes, s"],
        [
            [
                row["trainings"],
                row["equal"],
                f"{row['one_after_another_seconds']:.0f}",
                f"{row['two_nodes_seconds']:.0f}",
            ]
            for row in rows
        ],
    )


def _kills(rows: Sequence[Mapping[str, Any]]) -> str:
    times = Counter(row["what"] for row in rows)
    good = Counter(row["what"] for row in rows if not row["differences"] and not _lost(row))
    return _table(
        ["kill", "times", "states kept, bit-identical"],
        [[WHAT[what], times[what], good[what]] for what in WHAT if times[what]],
    )


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    align = ["left" if name == "kill" else "right" for name in columns]
    return markdown.table(columns, [list(map(str, row)) for row in rows], align)


def _conditions(part: Mapping[str, Any]) -> str:
    return f"{part['device']}; load of other work before it: {part['load']}."


TABLES = {"order": _order, "scale": _scale, "trainings": _trainings, "kills": _kills}
