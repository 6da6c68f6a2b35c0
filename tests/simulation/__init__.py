"""Deterministic simulation: real gateways and a real hub in one thread, on virtual time."""
