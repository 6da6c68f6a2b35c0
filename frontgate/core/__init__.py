"""Verbs: pure decisions on values. No file, network, clock or database is touched here."""
