"""Tools: one file each. Knows core only; heads, index and rule book come by constructor."""
