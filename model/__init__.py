"""Citrus-V: heads, planner language model, training and evaluation. Knows core only."""
