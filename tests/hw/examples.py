"""A design of each unit, with some choice of the parameters that only it has."""

from positcore.hw.units import Design

OPTIONS = {
    "from-int": {"bits": 8},
    "to-int": {"bits": 32, "signed": False},
    "from-float": {"float_format": "float16"},
    "to-float": {"float_format": "bfloat16"},
    "function": {"function": "tanh"},
}


def example(name, spec, stages=0):
    return Design.of(name, spec, stages, **OPTIONS.get(name, {}))
