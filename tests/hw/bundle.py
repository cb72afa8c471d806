"""Many units in one design with shared inputs, so that many formats cost one conversion."""

from amaranth.hdl import Elaboratable, Module, Shape, Signal

from positcore.hw.emit import FlatUnit, emit_modules
from positcore.sim.verilog import run_text


class Bundle(Elaboratable):
    """Designs by name; inputs of one name are shared (the low bits go where a port is narrower)."""

    def __init__(self, designs):
        self.flats = {name: FlatUnit(design.component()) for name, design in designs.items()}
        self.shared, outputs = {}, []
        for name, flat in self.flats.items():
            for port in flat.ports:
                if port.direction == "input":
                    other = self.shared.get(port.name)
                    if other is None or other.width < port.width:
                        self.shared[port.name] = port._replace(signed=False)
                else:
                    outputs.append(port._replace(name=f"{name}_{port.name}"))
        self.ports = (*self.shared.values(), *outputs)
        self.signals = {port.name: Signal(Shape(port.width, port.signed), name=port.name) for port in self.ports}

    def elaborate(self, platform):
        m = Module()
        for name, flat in self.flats.items():
            m.submodules[name] = flat
            for port in flat.ports:
                if port.direction == "input":
                    m.d.comb += flat.signals[port.name].eq(self.signals[port.name][: port.width])
                else:
                    m.d.comb += self.signals[f"{name}_{port.name}"].eq(flat.signals[port.name])
        return m


def run_bundle(designs, inputs):
    """The outputs of each design for the same inputs, from its Verilog under Icarus: {name: {port: array}}."""
    bundle = Bundle(designs)
    text = emit_modules(bundle, "bundle", bundle.signals)
    results = run_text(text, "bundle", bundle.ports, inputs)
    return {
        name: {port.name: results[f"{name}_{port.name}"] for port in flat.ports if port.direction == "output"}
        for name, flat in bundle.flats.items()
    }
