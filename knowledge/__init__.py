"""Guidelines: corpus, retrieval, executable rules. Knows core only."""
