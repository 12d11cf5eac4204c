"""Draws the plots of dvc.yaml as SVG: what `dvc plots show` shows, without a browser or a network.

The templates are in .dvc/plots/. `dvc_render`, which DVC uses itself, fills them, and vl-convert
draws them.
"""

import csv
import io
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import vl_convert
from dvc_render.exceptions import DvcRenderError
from dvc_render.vega import VegaRenderer
from pydantic import Field
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from resnet.errors import BenchmarkError
from resnet.schema import Schema, single_line, validate
from resnet.strict_yaml import reason

PIPELINE = Path("dvc.yaml")
TEMPLATES = Path(".dvc/plots")
ONE = Field(min_length=1, max_length=1)


class _Entry(Schema):
    """An entry of dvc.yaml's plots that the report draws."""

    template: str
    x: str
    y: str | Annotated[dict[str, str], ONE]  # a column, or the file and its column
    title: str


class _Plots(Schema):
    plots: list[Any]


class Plot(NamedTuple):
    """A plot of one file."""

    name: str  # in dvc.yaml, or that of the folder's file
    path: Path  # its CSV file
    x: str
    y: str
    template: str
    title: str

    @property
    def picture(self) -> str:
        """The name of its SVG file."""
        return f"{file_name(self.name)}.svg"


def file_name(plot: str) -> str:
    """The name of a plot as a file name; of the plot of a file in a folder, both their names."""
    path = Path(plot)
    return re.sub(r"\W+", "-", f"{path.parent.name} {path.stem}" if path.suffix else plot)


def draw(texts: Mapping[Path, str]) -> dict[str, str]:
    """The SVG of each plot of dvc.yaml whose CSV file is in `texts`, by the name of its file.

    Plots without rows are left out. Raises BenchmarkError where dvc.yaml or a template does not fit
    the files.
    """
    drawn = {}
    for plot in plots(texts):
        if rows := list(csv.DictReader(io.StringIO(texts[plot.path]))):
            drawn[plot.picture] = svg(plot.name, specification(plot, rows))
    return drawn


def plots(paths: Mapping[Path, Any]) -> Iterator[Plot]:
    """The plots of these files in dvc.yaml, in its order; those of a folder's files one by one.

    Plots of other files, e.g. of a user's own, are DVC's alone and may have any form it knows.
    """
    for item in validate(_Plots, {"plots": _pipeline().get("plots")}, str(PIPELINE)).plots:
        if not _has_files(item, paths):
            continue
        ((name, values),) = item.items()
        entry = validate(_Entry, values, f"{PIPELINE}: plot {name}")
        if isinstance(entry.y, str):
            of = [(str(path), path, entry.y) for path in paths if path.parent == Path(name)]
        else:
            of = [(name, Path(file), y) for file, y in entry.y.items() if Path(file) in paths]
        for plot, path, y in of:
            yield Plot(plot, path, entry.x, y, entry.template, entry.title)


def _has_files(item: Any, paths: Mapping[Path, Any]) -> bool:
    """Whether an item of dvc.yaml's plots names any of these files, or their folder."""
    if not isinstance(item, dict) or len(item) != 1:
        return False
    ((name, values),) = item.items()
    files = values.get("y") if isinstance(values, dict) else None
    named = {Path(str(each)) for each in (name, *(files if isinstance(files, dict) else ()))}
    return any(path in named or path.parent in named for path in paths)


def specification(plot: Plot, rows: list[dict[str, str]]) -> dict[str, Any]:
    """A plot of these rows in Vega-Lite."""
    try:
        renderer = VegaRenderer(
            rows,
            plot.name,
            template=plot.template,
            template_dir=str(TEMPLATES),
            x=plot.x,
            y=plot.y,
            title=plot.title,
        )
        return dict(renderer.get_filled_template())
    except DvcRenderError as error:
        raise BenchmarkError(f"{PIPELINE}: plot {plot.name}: {error}") from error
    except ValueError as error:
        template = TEMPLATES / f"{plot.template}.json"
        raise BenchmarkError(f"{template}: plot {plot.name}: not JSON: {error}") from error


def svg(plot: str, specification: Mapping[str, Any]) -> str:
    """A plot's specification in Vega-Lite as SVG; BenchmarkError where it is not Vega-Lite."""
    try:
        return vl_convert.vegalite_to_svg(dict(specification)) + "\n"
    except ValueError as error:
        why = single_line(" ".join(str(error).split()))
        raise BenchmarkError(f"{TEMPLATES}: plot {plot}: {why}") from error


def _pipeline() -> dict[str, Any]:
    """The values of dvc.yaml; empty where it is not a mapping."""
    text = ""
    try:
        text = PIPELINE.read_text(encoding="utf-8")
        found = YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError) as error:
        raise BenchmarkError(f"{PIPELINE}: not YAML: {reason(text, error)}") from error
    return found if isinstance(found, dict) else {}
