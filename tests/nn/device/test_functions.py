import numpy as np
import pytest
import torch

import positcore as pc
from positcore.nn import device as dev
from positcore.nn.device import functions, values
from tests.nn.device.drawing import same, to
from tests.reference import format_id

FORMATS = [pc.PositFormat(6, 1), pc.posit8, pc.PositFormat(8, 0, underflow=True), pc.PositFormat(10, 2)]


@pytest.mark.parametrize("name", ["exp", "log", "tanh", "rsqrt"])
@pytest.mark.parametrize("fmt", FORMATS, ids=format_id)
def test_function(fmt, name, device):
    codes = np.arange(1 << fmt.n, dtype=fmt.dtype)
    expected = getattr(pc, name)(fmt, codes)
    assert same(dev.function(fmt, name, to(device, codes)), expected)
    x = to(device, fmt.decode(codes))
    assert same(dev.encode(fmt, values.look_up(fmt, name, x)), expected)


def test_exp_and_log_of_values(device):
    fmt = pc.posit8
    codes = np.arange(256, dtype=np.uint8)
    x = dev.decode(fmt, to(device, codes), torch.float32)
    assert values.exp(fmt, x).dtype == torch.float32
    assert same(dev.encode(fmt, values.exp(fmt, x)), pc.exp(fmt, codes))
    assert same(dev.encode(fmt, values.log(fmt, x)), pc.log(fmt, codes))


def test_a_table_is_moved_once(device):
    first = functions.table_on(pc.posit8, "exp", device)
    assert functions.table_on(pc.posit8, "exp", device) is first
    assert first.device.type == device.type


@pytest.mark.parametrize(
    ("fmt", "name", "message"),
    [
        (pc.posit8, "gamma", "table: no function 'gamma'; there are exp"),
        (pc.posit32, "exp", "exp: tables are built for formats of n ≤ 16, not posit<32,2>; convert to one first"),
    ],
)
def test_errors(fmt, name, message):
    with pytest.raises(ValueError, match=message):
        dev.function(fmt, name, torch.zeros(1, dtype=torch.uint8))
