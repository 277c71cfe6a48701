"""Guidelines: corpus, retrieval, executable rules. Knows core only.

Opening a library and applying a rule load neither torch nor chromadb; the first search does.
"""

from citrus_agent.knowledge.library import Library, open_library

__all__ = ["Library", "open_library"]
