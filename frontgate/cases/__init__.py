"""What the hub tells of cases: projections of the journal, in a file of their own.

Offers: `project` (journal → `state/cases.db`), `read` (cases, timelines, deadlines), `questions`
(supervision), `stats`. Guarantees: nothing here writes the journal or stands in the way of the exchange;
the file may be thrown away at any time and comes out the same again.
"""
