"""The networks: parameter counts of the papers and the original, layers, arithmetic in NumPy."""

from collections import Counter
from typing import Any

import numpy as np
import pytest

from tests.support.numpy_networks import NumpyNetwork

pytestmark = pytest.mark.usefixtures("device")

NETWORKS = [(1, "original"), (1, "paper"), (2, "original"), (2, "paper")]

# version, n, parameters, trainable ones, convolutions, batch normalizations, and millions of
# multiply-adds of a forward pass, of the original's networks
COUNTED = [
    (1, 3, 274_442, 273_066, 21, 19, 40.81),
    (1, 5, 470_218, 467_946, 33, 31, 69.12),
    (1, 7, 665_994, 662_826, 45, 43, 97.44),
    (1, 9, 861_770, 857_706, 57, 55, 125.75),
    (1, 18, 1_742_762, 1_734_666, 111, 109, 253.15),
    (1, 27, 2_623_754, 2_611_626, 165, 163, 380.55),
    (2, 2, 574_090, 570_602, 22, 19, 66.24),
    (2, 6, 1_673_738, 1_663_338, 58, 55, 193.12),
    (2, 12, 3_323_210, 3_302_442, 112, 109, 383.44),
    (2, 18, 4_972_682, 4_941_546, 166, 163, 573.75),
    (2, 111, 30_539_498, 30_347_658, 1003, 1000, 3523.66),
]


def build(version: int, n: int, form: str = "original", **options: Any) -> Any:
    from resnet import model

    return model.build(version, (6 if version == 1 else 9) * n + 2, form=form, **options)


def layers_of(model: Any, kind: str) -> list[Any]:
    return [layer for layer in model.layers if type(layer).__name__ == kind]


def trainable(model: Any) -> int:
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def randomize(model: Any, seed: int) -> None:
    """Draw all weights, so that no bias, scale or statistic is the 0 or 1 that it begins with."""
    from resnet.model import initialize

    rng = np.random.default_rng(seed)
    initialize(model, rng)
    model.set_weights(
        [
            weight + rng.uniform(0, 0.5, weight.shape) * (weight.ndim == 1)
            for weight in model.get_weights()
        ]
    )


@pytest.mark.parametrize(
    ("version", "n", "parameters", "trained", "convolutions", "normalizations", "millions"),
    COUNTED,
)
def test_counts_of_the_original(
    version: int,
    n: int,
    parameters: int,
    trained: int,
    convolutions: int,
    normalizations: int,
    millions: float,
) -> None:
    from resnet.model import multiply_adds

    model = build(version, n)
    assert multiply_adds(model) / 1e6 == pytest.approx(millions, abs=0.005)
    assert model.count_params() == parameters
    assert trainable(model) == trained
    blocks = 3 * n
    assert Counter(type(layer).__name__ for layer in model.layers) == {
        "InputLayer": 1,
        "Conv2D": convolutions,
        "BatchNormalization": normalizations,
        "Activation": {1: 2 * blocks + 1, 2: 3 * blocks + 1}[version],
        "Add": blocks,
        "AveragePooling2D": 1,
        "Flatten": 1,
        "Dense": 1,
    }
    assert model.output_shape == (None, 10)


@pytest.mark.parametrize(
    ("version", "n", "parameters", "trained"),
    [
        (1, 3, 271_098, 269_722),
        (1, 18, 1_736_058, 1_727_962),
        (2, 18, 1_727_482, 1_703_258),
    ],
)
def test_counts_of_the_papers(version: int, n: int, parameters: int, trained: int) -> None:
    model = build(version, n, "paper")
    assert (model.count_params(), trainable(model)) == (parameters, trained)
    blocks, transitions = 3 * n, 2 if version == 1 else 0
    expected = {
        "InputLayer": 1,
        "Conv2D": {1: 2 * blocks + 1, 2: 3 * blocks + 1 + 3}[version],
        "BatchNormalization": {1: 2 * blocks + 1, 2: 3 * blocks + 1}[version],
        "Activation": {1: 2 * blocks + 1, 2: 3 * blocks + 1}[version],
        "Add": blocks,
        "AveragePooling2D": 1 + transitions,
        "Concatenate": transitions,
        "Rescaling": transitions,
        "Flatten": 1,
        "Dense": 1,
    }
    counted = Counter(type(layer).__name__ for layer in model.layers)
    assert counted == {kind: count for kind, count in expected.items() if count}
    inner = [layer.filters for layer in layers_of(model, "Conv2D") if layer.kernel_size == (3, 3)]
    per_stage = 2 * n if version == 1 else n
    assert inner == [16] + [16] * per_stage + [32] * per_stage + [64] * per_stage


@pytest.mark.parametrize(("version", "form"), NETWORKS)
def test_layers_are_those_of_keras_with_the_settings_of_the_form(version: int, form: str) -> None:
    model = build(version, 2, form, l2=2e-4)
    assert {type(layer).__module__.split(".")[0] for layer in model.layers} == {"keras"}
    for layer in layers_of(model, "Conv2D"):
        assert layer.use_bias == (form == "original")
        assert layer.padding == "same"
        assert layer.activation.__name__ == "linear"
        assert layer.kernel_regularizer.l2 == pytest.approx(2e-4)
        assert layer.bias_regularizer is None
    for layer in layers_of(model, "BatchNormalization"):
        settings = (0.99, 1e-3) if form == "original" else (0.9, 1e-5)
        assert (layer.momentum, layer.epsilon) == settings
        assert layer.gamma_regularizer is layer.beta_regularizer is None
    (dense,) = layers_of(model, "Dense")
    assert dense.activation.__name__ == "softmax"
    assert dense.kernel_regularizer is dense.bias_regularizer is None


@pytest.mark.parametrize("l2_on", ["convolutions", "all"])
@pytest.mark.parametrize(("version", "form"), NETWORKS)
def test_l2_is_on_the_kernels_of_convolutions_or_on_all(
    version: int, form: str, l2_on: str
) -> None:
    model = build(version, 1, form, l2=3e-4, l2_on=l2_on)
    randomize(model, version)
    penalized = (
        model.trainable_weights
        if l2_on == "all"
        else [layer.kernel for layer in layers_of(model, "Conv2D")]
    )
    squares = sum(float(np.sum(np.square(np.asarray(w, np.float64)))) for w in penalized)
    assert float(sum(model.losses)) == pytest.approx(3e-4 * squares, rel=1e-5)


@pytest.mark.parametrize(
    ("version", "form", "widths"),
    [
        (1, "original", [16, 32, 64]),
        (1, "paper", [16, 32, 64]),
        (2, "original", [64, 128, 256]),
        (2, "paper", [64, 128, 256]),
    ],
)
def test_shapes_halve_and_widen(version: int, form: str, widths: list[int]) -> None:
    shapes = [layer.output.shape[1:] for layer in layers_of(build(version, 2, form), "Add")]
    sides = (32, 16, 8)
    assert shapes == [
        (side, side, width) for side, width in zip(sides, widths, strict=True) for _ in range(2)
    ]


@pytest.mark.parametrize(
    ("form", "sources"),
    [("paper", ["Activation"] * 3), ("original", ["Activation", "Add", "Add"])],
)
def test_projections_read_what_the_form_says(form: str, sources: list[str]) -> None:
    """The paper's read the output of BN and ReLU, two of the original's the sum before them."""
    model = build(2, 2, form)
    producers = {id(layer.output): layer for layer in model.layers}
    found = []
    for add in layers_of(model, "Add")[::2]:  # of the first block of each stage
        projection, last = (producers[id(part)] for part in add.input)
        assert (projection.kernel_size, last.kernel_size) == ((1, 1), (1, 1))
        source = producers[id(projection.input)]
        found.append(type(source).__name__)
        if found[-1] == "Activation":
            assert source.activation.__name__ == "relu"
            assert type(producers[id(source.input)]).__name__ == "BatchNormalization"
    assert found == sources


@pytest.mark.parametrize(("version", "form"), NETWORKS)
def test_whole_network_equals_numpy(version: int, form: str) -> None:
    """Every block, in order: an activation in the wrong place would change no shape."""
    model = build(version, 2, form)
    randomize(model, version)
    images = np.random.default_rng(0).normal(size=(4, 32, 32, 3))
    network = NumpyNetwork(model, form)
    expected = (network.resnet_v1 if version == 1 else network.resnet_v2)(images, 2)
    assert not network.unused
    assert expected.std() > 0.01
    np.testing.assert_allclose(model.predict(images, verbose=0), expected, rtol=2e-4, atol=1e-7)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_option_a_subsamples_and_appends_zeros_under_xla(
    precision: str, request: pytest.FixtureRequest
) -> None:
    """Exact values and gradients, in one graph compiled by XLA."""
    import keras
    from keras import ops

    from resnet.backend import compiled, value_and_gradients

    if precision == "bfloat16":
        request.getfixturevalue("bfloat16")
    network = build(1, 1, "paper")
    pool, _ = layers_of(network, "AveragePooling2D")[:2]
    shortcut = keras.Model(pool.input, layers_of(network, "Concatenate")[0].output)
    assert not shortcut.weights
    x = np.random.default_rng(0).normal(size=(2, 32, 32, 16)).astype(np.float32)
    weight = np.random.default_rng(1).normal(size=(2, 16, 16, 32)).astype(np.float32)

    def weighted_sum(inputs: list[Any]) -> tuple[Any, Any]:
        outputs = shortcut(inputs[0])
        return ops.sum(ops.cast(outputs, "float32") * weight), outputs

    step = compiled(lambda x: value_and_gradients(weighted_sum, [x]), True)
    _, outputs, (gradient,) = step(ops.convert_to_tensor(x))
    assert keras.backend.standardize_dtype(outputs.dtype) == precision

    def rounded(array: Any) -> Any:
        return ops.convert_to_numpy(ops.cast(ops.cast(array, precision), "float32"))

    expected = np.concatenate([x[:, ::2, ::2], np.zeros((2, 16, 16, 16), np.float32)], axis=3)
    np.testing.assert_array_equal(rounded(outputs), rounded(expected))
    upstream = np.zeros_like(x)
    upstream[:, ::2, ::2] = weight[..., :16]
    np.testing.assert_array_equal(ops.convert_to_numpy(gradient), rounded(upstream))


@pytest.mark.parametrize(
    ("version", "depth"), [(1, 2), (1, 21), (1, 11), (1, 0), (2, 2), (2, 14), (2, 32), (2, 44)]
)
def test_impossible_depth(version: int, depth: int) -> None:
    from resnet import model

    rule = {1: r"6n \+ 2", 2: r"9n \+ 2"}[version]
    message = rf"depth is {depth}: must be {rule} for version {version}"
    for form in ("original", "paper"):
        with pytest.raises(ValueError, match=message):
            model.build(version, depth, form=form)


def test_unknown_version_and_form() -> None:
    from resnet import model

    with pytest.raises(ValueError, match=r"^version is 3: must be 1 or 2$"):
        model.build(3, 20)
    with pytest.raises(ValueError, match=r"^form is 'papers': must be 'original' or 'paper'$"):
        model.build(1, 20, form="papers")


def test_kernels_are_zero_until_they_are_drawn() -> None:
    model = build(1, 1)
    kernels = [layer.kernel for kind in ("Conv2D", "Dense") for layer in layers_of(model, kind)]
    assert not any(np.asarray(kernel).any() for kernel in kernels)
    randomize(model, 0)
    assert all(np.asarray(kernel).all() for kernel in kernels)


@pytest.mark.parametrize("form", ["original", "paper"])
def test_initial_weights_are_he_normal_and_keyed_by_the_seed(form: str) -> None:
    from resnet.model import initialize
    from resnet.training import draws

    def weights(seed: int) -> list[Any]:
        model = build(1, 2, form)
        initialize(model, draws.weights_generator(seed))
        return list(model.get_weights())

    a, b, other = weights(0), weights(0), weights(1)
    assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    assert not np.array_equal(a[0], other[0])
    kernels = [weight for weight in a if weight.ndim == 4 and weight.size > 4000]
    assert len(kernels) > 5
    for kernel in kernels:
        deviation = np.sqrt(2 / np.prod(kernel.shape[:3]))
        assert kernel.std() == pytest.approx(deviation, rel=0.05)
        assert np.abs(kernel).max() < 2 * deviation / 0.8796
        assert np.abs(kernel).max() > 1.9 * deviation / 0.8796
