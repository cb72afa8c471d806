"""Amaranth generators of posit units; the description they read is `PositFormat` and `MacSpec`."""
