"""Text to token ids and back: a small byte-level BPE with Qwen's special tokens. Knows no message and no network."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Self

from llguidance import LLTokenizer
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from citrus_agent.core.errors import ResourceError

PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
VISION_START, IMAGE, VISION_END = "<|vision_start|>", "<|image_pad|>", "<|vision_end|>"
SENTENCE = "<|sentence_pad|>"
CALL, CALL_END = "<tool_call>", "</tool_call>"
REPLY, REPLY_END = "<tool_response>", "</tool_response>"
SEG = "[SEG]"
SPECIAL = (PAD, START, END, VISION_START, IMAGE, VISION_END, SENTENCE, CALL, CALL_END, REPLY, REPLY_END, SEG)
"""Qwen2.5-VL's chat and tool tokens, Citrus-V's ``[SEG]``, and one slot for a sentence vector."""

# Qwen2's pre-tokenizer with one change: a handle such as E12 is one word, so that pointing at evidence is one token.
_WORDS = r"""E\d+|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""
_HANDLES = 64


class PlannerTokenizer:
    """A ``tokenizers.Tokenizer`` with the special tokens at hand by name."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._tokenizer.encode_special_tokens = True  # text that spells a special token stays text
        self.ids = {name: tokenizer.token_to_id(name) for name in SPECIAL}

    @classmethod
    def train(cls, texts: Iterable[str], vocabulary: int) -> Self:
        """Learn the merges from ``texts``; handles E1 to E63 always become single tokens."""
        tokenizer = Tokenizer(models.BPE())
        split = pre_tokenizers.Split(Regex(_WORDS), "isolated")
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
        tokenizer.decoder = decoders.ByteLevel()
        handles = [" ".join(f"E{i}" for i in range(1, _HANDLES))] * 1000
        trainer = trainers.BpeTrainer(
            vocab_size=vocabulary,
            min_frequency=3,
            special_tokens=list(SPECIAL),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        tokenizer.train_from_iterator([*texts, *handles], trainer)
        return cls(tokenizer)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read ``tokenizer.json``."""
        if not path.is_file():
            raise ResourceError(f"the planner's {path.name} is missing; reinstall the package, or point --model at a complete folder")
        return cls(Tokenizer.from_file(str(path)))

    def save(self, path: Path) -> None:
        """Write ``tokenizer.json``."""
        self._tokenizer.save(str(path))

    def __len__(self) -> int:
        return self._tokenizer.get_vocab_size()

    def encode(self, text: str) -> list[int]:
        """Ids of plain text; never a special token, whatever the text spells."""
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def decode(self, ids: Iterable[int]) -> str:
        """Text of ids, special tokens spelled out."""
        return self._tokenizer.decode(list(ids), skip_special_tokens=False)

    @cached_property
    def guide(self) -> LLTokenizer:
        """The same vocabulary for constrained decoding."""
        return LLTokenizer(self._tokenizer.to_str(), eos_token=self.ids[END])

    @cached_property
    def closing(self) -> list[int]:
        """Ids of tokens that only close: made of quotes and closing brackets."""
        return [i for i in range(len(self)) if i not in self.ids.values() and not self.decode([i]).strip('"]}')]
