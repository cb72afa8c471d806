"""Formal proofs of emitted Verilog by Yosys alone: its SAT solver, and ABC's property-directed reachability in it.

`engine` runs them, `harness` writes what surrounds a unit, `prove` has the classes: handshake, table, pipeline.
Those of synthesised netlists are in `positcore.fpga.netlist_proof`.
"""
