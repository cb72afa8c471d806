"""A design of each unit, with some choice of the parameters that only it has."""

from positcore.hw.units import UNITS, Design

OPTIONS = {
    "from-int": {"bits": 8},
    "to-int": {"bits": 32, "signed": False},
    "from-float": {"float_format": "float16"},
    "to-float": {"float_format": "bfloat16"},
    "function": {"function": "tanh"},
}


def example(name, spec, stages=0):
    """`stages` registers, or as many as the unit has at most."""
    return Design.of(name, spec, min(stages, len(UNITS[name].cuts)), **OPTIONS.get(name, {}))
