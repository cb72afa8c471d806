"""Vendors' tools that a design is exported to: what they are, and the texts that they and FuseSoC read."""
