"""cocotb benches of the units with a handshake: drivers, monitors, a scoreboard that is the golden model, coverage.

`run` starts a bench; `stream_plan` and `products` say what it sends and what must come back; `streams` and `axi` are
the sides that run inside the simulator, which load nothing that they do not need.
"""
