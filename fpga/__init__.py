"""What the emitted Verilog becomes on an FPGA: synthesis with Yosys, and the report of it."""
