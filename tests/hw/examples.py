"""A design of each unit, with some choice of the parameters that only it has."""

from dataclasses import replace

from positcore.hw.units import Design

OPTIONS = {
    "from-int": {"bits": 8},
    "to-int": {"bits": 32, "signed": False},
    "from-float": {"float_format": "float16"},
    "to-float": {"float_format": "bfloat16"},
    "function": {"function": "tanh"},
    "dot": {"lanes": 3},
    "gemm": {"rows": 2, "columns": 3, "depth": 8},
}


def example(name, spec, stages=0):
    """`stages` registers, or as many as the unit has at most."""
    design = Design.of(name, spec, **OPTIONS.get(name, {}))
    return replace(design, stages=min(stages, len(design.cuts)))
