"""How long trainings are said to take."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from resnet.params import Params
from resnet.training import cost
from resnet.training.cost import Timed
from resnet.training.record import RECORD, Change, Start
from resnet.variant import Network
from tests.support.results import make_device, make_run


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize("form", ["original", "paper"])
@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("n", [1, 3])
def test_multiply_adds_are_those_of_the_built_network(version: int, n: int, form: str) -> None:
    from resnet import model as networks  # imports Keras, which the fixture has started

    network = Network.model_validate({"version": version, "n": n, "form": form})
    built = networks.build(network.version, network.depth, form=network.form)
    assert cost.multiply_adds(network) == networks.multiply_adds(built)


def test_the_nearest_network_on_this_device_is_scaled_by_multiply_adds(
    settings: Callable[..., Params], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cost, "cpu_name", lambda: "here")
    monkeypatch.setattr(cost, "has_nvidia_driver", lambda: False)
    variant = settings({}).sections["ResNet56v1"]  # 200 epochs
    own = cost.multiply_adds(variant.network)
    known = [
        Timed("other", "elsewhere", False, 1.0, 1, own),
        Timed("small", "here", False, 1.0, 1, own // 100),
        Timed("large", "here", False, 9.0, 1, own // 2),
        Timed("v2", "here", False, 9.0, 2, own),
        Timed("gpu", "here", True, 1.0, 1, own),
    ]
    assert cost.estimate([variant] * 2, known) == "about 2 h 0 min, judging by large on here"
    assert cost.estimate([variant], known[:1]) == "about 3 min, judging by other on elsewhere"
    assert cost.estimate([variant], known[3:4]) == "about 30 min, judging by v2 on here"
    assert cost.estimate([variant], []) == cost.estimate([], known) == ""
    monkeypatch.setattr(cost, "has_nvidia_driver", lambda: True)
    monkeypatch.setenv("GPU", "1")
    assert cost.estimate([variant], known) == "about 3 min, judging by gpu on here"
    assert cost.estimate([variant], known[:4]) == ""  # a CPU says nothing about a GPU


def test_records_on_synthetic_images_and_damaged_ones_say_nothing(tmp_path: Path) -> None:
    run = make_run(device=make_device("here", gpu=False))
    text = run.training.model_dump_json(by_alias=True)
    for name, content in (
        ("model/seed0", text),
        ("model/seed1", text[:100]),
        ("model/seed2", text.replace('"source":"cifar10"', '"source":"synthetic"')),
    ):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / RECORD).write_text(content, encoding="utf-8")
    network = run.training.identity.parameters.network
    seconds = run.training.total_seconds / run.training.epochs
    expected = Timed("model", "here", False, seconds, 1, cost.multiply_adds(network))
    assert cost.timed(tmp_path) == [expected]
    shutil.rmtree(tmp_path / "model")
    assert cost.timed(tmp_path) == []


def test_a_training_that_changed_its_device_counts_with_the_median_on_the_last(
    tmp_path: Path,
) -> None:
    moved = Start(epoch=2, changes=[Change(key="device.name", before="there", after="here")])
    run = make_run(seconds=1.5, device=make_device("here", gpu=False), starts=[moved])
    (tmp_path / "model/seed0").mkdir(parents=True)
    text = run.training.model_dump_json(by_alias=True)
    (tmp_path / "model/seed0" / RECORD).write_text(text, encoding="utf-8")
    (timed,) = cost.timed(tmp_path)
    assert (timed.device, timed.seconds) == ("here", 1.5)  # not the mean of both devices
