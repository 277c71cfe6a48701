"""Citrus Agent: agentic tool use in medical imaging with traceable evidence. Importing it loads neither torch nor transformers."""
