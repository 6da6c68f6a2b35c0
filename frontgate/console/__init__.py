"""The hub's console: pages and a read-only API for people and units, in a process of its own.

It reads the journal and the projections by read-only handles, decides in one place (`access.py`)
what a person may see, and changes things only by asking the hub through its control socket.
"""
