"""The seed's two years played through real seals, the hub's own intake, its ledger and projections.

Offers: `plan` (what to play: counts, units, days), `province` (500+ units with keys), `units` (what they
send, made in batches by a process of its own), `play` (the run and its figures). Time is virtual;
everything else is what a hub does every day.
"""
