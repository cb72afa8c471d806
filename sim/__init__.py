"""Runs the emitted RTL: compiled simulation, cocotb benches, verification, the `rtl` backend of nn."""
