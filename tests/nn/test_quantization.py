import copy
import itertools
import math
import pickle
import warnings
from fractions import Fraction

import pytest
import torch
from torch import nn

from positcore import nn as pnn
from positcore.data import load
from positcore.format import PositFormat
from positcore.gemm.patches import Geometry
from positcore.mac import Quire
from positcore.nn.evaluation import batch_of
from positcore.nn.layer_errors import compare_layers, layer_table
from positcore.nn.models import build, lenet5
from positcore.nn.policy import Policy
from positcore.nn.quantization import best_shift, policy_of, quantize_model
from positcore.nn.ranges import RangeWarning, range_report, shares
from positcore.nn.scaled import ScaledConv2d, ScaledLinear, carrier_format, largest_shift, quantize_scaled
from positcore.nn.tensors import quantize
from tests.nn.reference import array, convolution_meetings, differences, linear_meetings, round_to
from tests.reference import format_id

P6, P8 = PositFormat(6, 1), PositFormat(8)
IMAGES, LABELS = batch_of(load("fashion-mnist-subset", "train"), slice(8), torch.device("cpu"))


def scaled(fmt, x, shift):
    """round(x·2^shift)·2^−shift of a rational."""
    power = Fraction(2) ** int(shift)
    return round_to(fmt, x * power) / power


def squared(x):
    return x * x


def noise_of(found, y):
    """The sum of the squared differences of two tensors, exactly."""
    expected = array(y)
    return sum(squared(value - expected[at]) for at, value in array(found).items())


# The arithmetic -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("fmt", [PositFormat(3, 4), P6, P8, PositFormat(8, 0), PositFormat(16)], ids=format_id)
def test_every_scaled_value_is_one_of_the_carrier(fmt):
    wide, largest = carrier_format(fmt), largest_shift(fmt)
    values = torch.from_numpy(fmt.decode(range(1 << fmt.n)))
    values = values[~values.isnan()]
    assert largest > 0
    shifts = range(-2 * largest, 2 * largest + 1, 1 if fmt.n < 16 else 13)
    assert shifts[-1] == 2 * largest
    for shift in shifts:
        shifted = values * 2.0**shift
        assert torch.equal(quantize(wide, shifted), shifted)
        if fmt.tensor_dtype.itemsize == 4:
            assert torch.equal(shifted.float().double(), shifted)


def test_formats_without_room_have_no_scales():
    assert largest_shift(PositFormat(32)) == largest_shift(PositFormat(30, 3)) == 0


@pytest.mark.parametrize("fmt", [P6, PositFormat(8, 0, underflow=True), PositFormat(16)], ids=format_id)
def test_rounding_after_a_shift(fmt):
    x = torch.randn(40, generator=torch.Generator().manual_seed(1)) * torch.logspace(-6, 6, 40)
    shift = torch.arange(40) % 7 - 3
    expected = {at: scaled(fmt, value, shift[at]) for at, value in array(x).items()}
    assert not differences(quantize_scaled(fmt, x, shift), expected)


def layer_of(kind, *arguments, **options):
    torch.manual_seed(3)
    layer = kind(*arguments, **options)
    with torch.no_grad():
        layer.weight *= torch.logspace(-2, 1, len(layer.weight)).reshape(-1, *[1] * (layer.weight.ndim - 1))
    return layer


@pytest.mark.parametrize("fmt", [P6, P8, PositFormat(8, 0, underflow=True), PositFormat(16)], ids=format_id)
@pytest.mark.parametrize("weights", ["none", "tensor", "channel"])
def test_a_scaled_linear_layer_rounds_once(fmt, weights):
    layer, x = layer_of(nn.Linear, 7, 5), torch.randn(3, 7)
    twin = quantize_model(layer, fmt, x, weights=weights)
    assert type(twin) is ScaledLinear
    s, a, i = twin.weight_shift.expand(5), int(twin.output_shift), int(twin.input_shift)
    w = {at: scaled(fmt, value, s[at[0]]) for at, value in array(layer.weight).items()}
    b = {at: scaled(fmt, value, a) for at, value in array(layer.bias).items()}
    inputs = {at: scaled(fmt, value, i) for at, value in array(x).items()}
    sums = {at: b[at[1:]] for at in array(torch.zeros(3, 5))}
    for at, w_at, x_at in linear_meetings(inputs, w):
        sums[at] += w[w_at] * inputs[x_at]
    assert not differences(twin(x), {at: scaled(fmt, total, a) for at, total in sums.items()})
    assert not differences(twin.weight, w)
    assert not differences(twin.bias, b)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("bias", [True, False])
def test_a_scaled_convolution_rounds_once(groups, bias):
    layer = layer_of(nn.Conv2d, 2, 4, 3, stride=2, padding=1, groups=groups, bias=bias)
    x = torch.randn(2, 2, 5, 5)
    twin = quantize_model(layer, P6, x)
    assert type(twin) is ScaledConv2d
    a, i = int(twin.output_shift), int(twin.input_shift)
    w = {at: scaled(P6, value, twin.weight_shift[at[0]]) for at, value in array(layer.weight).items()}
    inputs = {at: scaled(P6, value, i) for at, value in array(x).items()}
    y, starts = twin(x), [Fraction(0)] * 4
    if bias:
        starts = [scaled(P6, Fraction(b), a) for b in layer.bias.tolist()]
    sums = {at: starts[at[1]] for at in array(y)}
    for at, w_at, x_at in convolution_meetings(inputs, w, Geometry((3, 3), (2, 2), (1, 1), (1, 1)), groups):
        sums[at] += w[w_at] * inputs[x_at]
    assert not differences(y, {at: scaled(P6, total, a) for at, total in sums.items()})


@pytest.mark.parametrize("fmt", [P6, PositFormat(8, 0)], ids=format_id)
def test_the_best_shift_has_the_least_squared_error(fmt):
    rows = torch.randn(4, 9, generator=torch.Generator().manual_seed(2)) * torch.tensor([[0.001], [0.1], [1.0], [30]])
    found, largest = best_shift(fmt, rows), largest_shift(fmt)
    for row, shift in zip(rows, found, strict=True):
        values = [Fraction(float(x)) for x in row]
        errors = {s: sum((scaled(fmt, x, s) - x) ** 2 for x in values) for s in range(-largest, largest + 1)}
        assert errors[int(shift)] == min(errors.values())
    assert best_shift(fmt, torch.zeros(1, 3)).tolist() == [0]


# Networks -----------------------------------------------------------------------------------------------


def test_a_network_keeps_its_names_and_the_float_one_its_weights():
    model = lenet5()
    before = copy.deepcopy(model.state_dict())
    twin = quantize_model(model, P8, IMAGES)
    assert all(torch.equal(x, before[key]) for key, x in model.state_dict().items())
    assert model.training
    assert not any(module.training for module in twin.modules())
    assert set(before) < set(twin.state_dict())
    assert not any(p.requires_grad for p in twin.parameters())
    assert "weights·2^" in repr(twin)


def test_scales_pass_through_what_moves_values():
    model = lenet5()
    twin = quantize_model(model, P6, IMAGES)
    layers = [layer for layer in twin if isinstance(layer, ScaledLinear | ScaledConv2d)]
    assert len(layers) == 5
    for before, after in itertools.pairwise(layers):
        assert int(after.input_shift) == int(before.output_shift)
    with pnn.audit(twin):
        twin(IMAGES)
    x = IMAGES
    for layer in twin:
        if isinstance(layer, ScaledLinear | ScaledConv2d):  # what arrives has its power of two: it is not rounded again
            arrived = quantize_scaled(P6, x, layer.input_shift)
            assert x is IMAGES or torch.equal(arrived, x)
        x = layer(x)


class Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.unused = nn.Linear(4, 6), nn.Linear(6, 3), None

    def forward(self, x):
        return self.second(nn.functional.relu(self.first(x)))


def test_what_comes_from_elsewhere_is_rounded_without_a_scale():
    x = 64 * torch.randn(8, 4)
    twin = quantize_model(Own(), P6, x)
    assert int(twin.first.input_shift) != 0
    assert int(twin.second.input_shift) == 0
    assert twin(x).shape == (8, 3)


def test_a_transformer():
    torch.manual_seed(1)
    model, x, fmt = build("transformer", 3, (1, 8, 8)), torch.randn(4, 1, 8, 8), PositFormat(8, 0)
    twin = quantize_model(model, fmt, x)
    assert {name for name, layer in twin.named_modules() if isinstance(layer, ScaledLinear)} == {
        "embed", "fc", *(f"blocks.{block}.{layer}" for block in (0, 1) for layer in ("fc1", "fc2"))
    }  # fmt: skip
    y, plain = model.eval()(x).detach(), pnn.convert(model, policy_of(fmt)).eval()(x)
    assert noise_of(twin(x), y) < noise_of(plain, y)
    errors = {error.layer: error for error in compare_layers(model, twin, x)}
    assert errors["blocks.0.attention"].kind == "MultiheadAttention"
    assert min(errors.values(), key=lambda error: error.own_snr_db).layer == "position"  # of small values, unscaled


def test_scales_help_where_the_format_is_short():
    torch.manual_seed(1)
    model, fmt = lenet5(), PositFormat(5, 0)
    y = model(IMAGES).detach()

    plain = quantize_model(model, fmt, weights="none", activations=False)
    assert 4 * noise_of(quantize_model(model, fmt, IMAGES)(IMAGES), y) < noise_of(plain(IMAGES), y)


def test_without_scales_it_is_one_rounding_of_the_weights():
    layer, x = layer_of(nn.Linear, 7, 5), torch.randn(3, 7)
    twin = quantize_model(layer, P8, weights="none", activations=False)
    plain = pnn.convert(layer, policy_of(P8)).eval()
    assert torch.equal(twin(x), plain(x))


def test_saved_and_copied_networks_are_the_same(tmp_path):
    twin = quantize_model(lenet5(), P6, IMAGES)
    torch.save(twin.state_dict(), tmp_path / "posits.pt")
    loaded = quantize_model(lenet5(), P6, IMAGES)
    loaded.load_state_dict(torch.load(tmp_path / "posits.pt", weights_only=True))
    for other in (loaded, copy.deepcopy(twin), pickle.loads(pickle.dumps(twin))):
        assert torch.equal(other(IMAGES), twin(IMAGES))


def test_the_way_back_is_a_float_network():
    model = lenet5()
    twin = quantize_model(model, PositFormat(16), IMAGES)
    back = pnn.to_float(twin)
    assert list(back.state_dict()) == list(model.state_dict())
    assert type(back[0]) is nn.Conv2d
    assert torch.equal(back[0].weight, twin[0].weight)


def test_policies_of_one_format():
    assert policy_of(P8) == Policy.parse("O8-L8-FBG8q")
    assert policy_of(PositFormat(20, 1)).loss.format == PositFormat(16, 1)
    assert policy_of(P8).forward.accumulator == Quire()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": "row"}, "quantize_model: weights must be one of none, tensor, channel, not 'row'"),
        ({"sample": None}, "quantize_model: scales of activations need a sample of inputs, or activations=False"),
        ({"sample": torch.full((1, 4), math.nan)}, "quantize_model: the output of 'first' holds nan or inf"),
        ({"policy": Policy.parse("O8-L8-FBG8")}, "'first': scaling is exact in a quire only, not with rounded; write"),
    ],
    ids=["weights", "sample", "nan", "quire"],
)
def test_errors(options, message):
    options = {"policy": P8, "sample": torch.zeros(2, 4), **options}
    with pytest.raises(ValueError, match=message):
        quantize_model(Own(), options.pop("policy"), options.pop("sample"), **options)


def test_a_layer_that_the_sample_does_not_reach():
    model = Own()
    model.unused = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="the sample does not reach 'unused'; its scale cannot be chosen"):
        quantize_model(model, P8, torch.zeros(2, 4))


def test_shifts_beyond_the_carrier_are_refused():
    layer = nn.Linear(2, 2)
    twin = pnn.convert(layer, policy_of(P8))
    with pytest.raises(ValueError, match=r"shifts must be in −42\.\.42 for posit<8,2>"):
        ScaledLinear.from_twin(twin, layer.weight, layer.bias, torch.tensor(0), (0, 43))


# Where error enters --------------------------------------------------------------------------------------


def test_layers_are_compared():
    torch.manual_seed(1)
    model = lenet5()
    twin = pnn.convert(model, policy_of(P8))
    errors = compare_layers(model, twin, IMAGES)
    assert [error.layer for error in errors if error.kind != "MaxPool2d"] == ["0", "3", "6", "9", "11"]
    first = errors[0]
    assert first.snr_db == first.own_snr_db
    y, found = model[0](IMAGES).detach(), twin[0](IMAGES).detach()
    noise = sum(
        (Fraction(a) - Fraction(b)) ** 2 for a, b in zip(found.view(-1).tolist(), y.view(-1).tolist(), strict=True)
    )
    signal = sum(Fraction(a) ** 2 for a in y.view(-1).tolist())
    assert first.snr_db == pytest.approx(10 * math.log10(signal / noise))
    assert all(error.own_snr_db > error.snr_db > 10 for error in errors[1:] if error.kind != "MaxPool2d")
    assert model.training
    assert twin.training
    exact = compare_layers(
        nn.Sequential(nn.Linear(2, 2)), *[pnn.convert(nn.Sequential(nn.Linear(2, 2)), policy_of(P8))], torch.zeros(1, 2)
    )
    assert exact[0].weights_snr_db is not None


def test_the_layer_where_error_enters_stands_out():
    torch.manual_seed(1)
    model = lenet5()
    twin = quantize_model(model, Policy.parse("O16-L16-FBG16q; 6=F4q"), IMAGES)
    errors = {error.layer: error for error in compare_layers(model, twin, IMAGES)}
    assert min(errors.values(), key=lambda error: error.own_snr_db).layer == "6"
    assert errors["3"].snr_db > 40 > 20 > errors["6"].snr_db
    assert errors["9"].snr_db < 25 < errors["9"].own_snr_db
    lines = layer_table(list(errors.values())).splitlines()
    assert lines[0].split("  ")[0] == "layer"
    assert {len(line) for line in lines} == {len(lines[0])}
    assert any(line.startswith("6") and "posit<4,2>" in line for line in lines)


def test_what_is_no_twin():
    with pytest.raises(ValueError, match="compare_layers: twin must be model in posits, made of it by convert or"):
        compare_layers(lenet5(), lenet5(), IMAGES)
    with pytest.raises(ValueError, match="twin must be model in posits"):
        compare_layers(nn.Linear(2, 2), pnn.convert(nn.Sequential(nn.Linear(2, 2)), policy_of(P8)), torch.zeros(1, 2))


# Ranges ---------------------------------------------------------------------------------------------------


def test_shares():
    x = torch.tensor([0.0, 64.0, -64.5, 1 / 64, -1 / 65, float("inf"), 1.0, 2.0])
    assert shares(PositFormat(8, 0), x) == (25.0, 12.5)
    assert shares(P8, torch.zeros(0)) == (0.0, 0.0)


def wide_network():
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Dropout(), nn.Linear(2, 1))
    for layer, weight, bias in ((model[0], 50.0, 0.0), (model[3], 1.0, 0.001)):
        nn.init.constant_(layer.weight, weight)
        nn.init.constant_(layer.bias, bias)
    return model


def test_a_policy_that_cannot_hold_the_values_warns_with_their_share():
    model, sample = wide_network(), torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    message = (
        r"O16-L16-FBG8/0q does not hold all values of the network, they saturate: 100 % of the output of '3' are "
        r"beyond maxpos = 64 of F \(posit<8,0>\); 50 % of the output of '0' .*; and 1 more\. Take more bits or more"
    )
    with pytest.warns(RangeWarning, match=message):
        rows = range_report(model, Policy.parse("O16-L16-FBG8/0q"), sample)
    found = {(row.tensor, row.stage): (row.saturated, row.underflowed) for row in rows}
    assert found["output of '0'", "F"] == (50.0, 0.0)
    assert found["bias of '3'", "F"] == (0.0, 100.0)
    assert found["bias of '3'", "O"] == (0.0, 0.0)
    assert found["sample", "F"] == (0.0, 0.0)
    assert model.training


@pytest.mark.parametrize(
    ("policy", "tolerated"), [("O8-L8-FBG8q", 0.0), ("O8-L8-FBG8/0q; *=F8q", 0.0), ("O16-L16-FBG8/0q", 60.0)]
)
def test_a_policy_that_holds_them_does_not_warn(policy, tolerated):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert range_report(wide_network(), Policy.parse(policy), torch.ones(2, 2), tolerated=100 if tolerated else 0)


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ("x", "sample must be a tensor of inputs, not str"),
        (torch.zeros(2, 3, dtype=torch.int64), "which no layer looks up"),
    ],
)
def test_a_sample_of_another_kind(sample, message):
    with pytest.raises(TypeError, match=message):
        pnn.quantize_model(torch.nn.Linear(3, 3), pnn.Policy.parse("O12-L12-FBG8q"), sample)
