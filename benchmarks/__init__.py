"""Measurements; run by `./dev bench` and `./dev bench-quick`."""
