"""Nouns, evidence graph, trace, verifier, protocols, errors, settings. Knows nobody."""
