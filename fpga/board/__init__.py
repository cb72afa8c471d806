"""The host's side of a board that holds a gemm: the link over a serial port, products, and a board in simulation."""
