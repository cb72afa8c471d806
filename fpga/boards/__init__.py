"""Boards that a gemm is built for: what they are, and the hardware between their pins and the Verilog of `hw/`."""
