"""Faults at every durable step: a small province whose nodes are processes that take turns.

`world` sets a province up and makes nodes; `driver` runs each node in a process of its own, forked
from a warm one, and turns them in a fixed order; `gap` is a device between two of them, where a scene
has one; `scenes` are lives of messages; `judge` says
whether a life ended well; `kills`, `failures` and `powercut` are the faults; `rows` collects what
was tried. `python -m faults` replays one point.
"""
