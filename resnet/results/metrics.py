"""A metrics file, metrics/runs/<variant>.json: what one variant scored and where, over all its seeds."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from resnet.errors import BenchmarkError
from resnet.params import Count, NotNegative


class Checked(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)


Percent = Annotated[float, Field(ge=0, le=100)]


class Run(Checked):
    """One seed's figures."""

    seed: Annotated[int, Field(ge=0)]
    accuracy: Percent
    errors: NotNegative
    loss: float
    seconds_per_epoch: NotNegative


class Metrics(Checked):
    """All of a metrics file: accuracies in percent, times in seconds, memory in MB; errors and loss are means over the runs."""

    network: str
    data: Literal["cifar10", "synthetic"]
    recipe: str
    holdout: Annotated[str, Field(pattern=r"^(none|test|train \S+)$")]
    accuracy: Percent
    accuracy_std: NotNegative | None
    n: Count
    errors: NotNegative
    loss: float
    images: Count
    parameters: Count
    epochs: Count
    recipe_epochs: Count
    seconds_per_epoch: NotNegative
    total_seconds: NotNegative
    compile_seconds: NotNegative
    peak_memory_mb: NotNegative
    device: str
    backend: str
    float32_products: str
    precision: str
    versions: dict[str, str]
    runs: list[Run]

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.n != len(self.runs):
            raise ValueError(f"n is {self.n}, but runs holds {len(self.runs)}")
        if (self.accuracy_std is None) != (self.n == 1):
            raise ValueError(
                f"accuracy_std is {self.accuracy_std} with n {self.n}: must be null for one run, and a number for more"
            )
        for name in ("keras", *self.backends):
            if name not in self.versions:
                raise ValueError(f"versions.{name}: missing")
        return self

    @property
    def backends(self) -> list[str]:
        """Those the runs were trained on: several where scores.summarize joined them."""
        return self.backend.split(" and ")

    @property
    def full(self) -> bool:
        """Whether it was trained for just as many epochs as its recipe asks."""
        return self.epochs == self.recipe_epochs

    @property
    def short(self) -> bool:
        """Whether it was trained for fewer epochs than its recipe asks."""
        return self.epochs < self.recipe_epochs


def parse(raw: Any, where: str) -> Metrics:
    """Check what a metrics file holds; raises BenchmarkError, one line with the file `where`, the key and what is wrong."""
    try:
        return Metrics.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
    if not first["loc"] and first["type"] != "value_error":
        raise BenchmarkError(f"{where}: must hold a JSON object, holds {type(raw).__name__}")
    key = ".".join(map(str, first["loc"]))
    if first["type"] == "missing":
        raise BenchmarkError(f"{where}: {key}: missing")
    if first["type"] == "value_error":  # a check over several keys, which its text names
        raise BenchmarkError(f"{where}: {first['ctx']['error']}")
    raise BenchmarkError(
        f"{where}: {key} is {first['input']!r}: {first['msg'].replace('Input should', 'must')}"
    )
