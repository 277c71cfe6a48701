"""Writing one call, token by token, under a grammar. Knows no LangChain message and no schema.

Tokens that the grammar forces are not sampled and not even run one by one: the network sees them together, when it next has a choice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from llguidance import LLMatcher
from numpy.typing import NDArray
from torch import Tensor
from transformers import DynamicCache

from citrus_agent.core.errors import PlannerError
from citrus_agent.model.planner.network import CONTEXT, PlannerNetwork
from citrus_agent.model.planner.prompt import IMAGE_TOKENS, Prompt
from citrus_agent.model.planner.tokenizer import PlannerTokenizer

RESERVE = 160
"""Tokens kept back for closing a call: near the limit the writer takes a closing token wherever the grammar allows one."""


@dataclass(frozen=True)
class Sampling:
    """``temperature`` 0 is greedy. ``seed`` makes sampling repeatable."""

    temperature: float = 0.0
    seed: int = 0


@dataclass
class Slots:
    """What fills a prompt's slots: image tokens float32 (N * 16, 256) and sentence vectors float32 (M, 384)."""

    images: NDArray[np.float32]
    sentences: NDArray[np.float32]


class CallWriter:
    """Writes calls for one network and tokenizer. Not thread-safe: the caller holds a lock."""

    def __init__(self, network: PlannerNetwork, tokenizer: PlannerTokenizer) -> None:
        self.network = network
        self.tokenizer = tokenizer
        self.choices = 0  # tokens that the network decided, forced ones not counted

    def write(self, prompt: Prompt, slots: Slots, matcher: LLMatcher, limit: int, sampling: Sampling | None = None) -> Iterator[list[int]]:
        """The ids of one call, in pieces as they are settled. ``PlannerError`` when it cannot be closed within ``limit``."""
        if len(prompt.ids) + limit > CONTEXT:
            raise PlannerError(f"the conversation is too long for this planner ({len(prompt.ids)} of {CONTEXT} tokens): ask in a new one")
        sampling = sampling or Sampling()
        reader = _Reader(self.network, prompt, slots)
        random = torch.Generator().manual_seed(sampling.seed)
        written, self.choices = 0, 0
        while not matcher.is_stopped():
            piece = matcher.compute_ff_tokens() or [self._choose(reader, matcher, written > limit - RESERVE, sampling, random)]
            if not matcher.consume_tokens(piece):
                raise PlannerError(f"the grammar refused the planner's token: {matcher.get_error()[:200]}")
            reader.add(piece)
            written += len(piece)
            if written > limit:
                raise PlannerError(f"the call is longer than {limit} tokens: raise max_tokens of the chat model")
            yield piece
        if matcher.is_error():
            raise PlannerError(f"constrained decoding failed: {matcher.get_error()[:200]}")

    def _choose(self, reader: _Reader, matcher: LLMatcher, closing: bool, sampling: Sampling, random: torch.Generator) -> int:
        allowed = torch.frombuffer(bytearray(matcher.compute_logit_bias()), dtype=torch.uint8)[: len(self.tokenizer)] > 0
        if closing:
            closers = torch.zeros_like(allowed)
            closers[self.tokenizer.closing] = True
            allowed = allowed & closers if bool((allowed & closers).any()) else allowed
        if not bool(allowed.any()):
            raise PlannerError("the grammar allows no further token")
        if int(allowed.sum()) == 1:
            return int(allowed.nonzero()[0])
        self.choices += 1
        logits = reader.logits().masked_fill(~allowed, -torch.inf)
        if sampling.temperature <= 0:
            return int(logits.argmax())
        return int(torch.multinomial(torch.softmax(logits / sampling.temperature, 0), 1, generator=random))


class _Reader:
    """The network's state along the sequence, with a key-value cache; tokens wait until logits are asked for."""

    def __init__(self, network: PlannerNetwork, prompt: Prompt, slots: Slots) -> None:
        self._network = network
        self._cache = DynamicCache(config=network.text.config)
        self._next = prompt.next_position
        self._last = prompt.ids[-1]
        self._waiting: list[int] = []
        self._logits: Tensor | None = None
        with torch.inference_mode():
            embeds = network.embed(torch.tensor(prompt.ids))
            image_at = torch.tensor([at + i for at in prompt.images for i in range(IMAGE_TOKENS)], dtype=torch.int64)
            sentence_at = torch.tensor([at for at, _ in prompt.sentences], dtype=torch.int64)
            filled = network.fill(embeds, torch.from_numpy(slots.images), image_at, torch.from_numpy(slots.sentences), sentence_at)
            self._run(filled, torch.from_numpy(prompt.position_array()))

    def add(self, ids: list[int]) -> None:
        """Tokens that follow; they are run when logits are next asked for."""
        self._waiting += ids

    def logits(self) -> Tensor:
        """Logits (vocabulary,) for the next token."""
        if self._waiting:
            count = len(self._waiting)
            positions = torch.arange(self._next, self._next + count).expand(3, count)
            with torch.inference_mode():
                self._run(self._network.embed(torch.tensor(self._waiting), torch.tensor([self._last])), positions)
            self._next += count
            self._last = self._waiting[-1]
            self._waiting = []
        assert self._logits is not None
        return self._logits

    def _run(self, embeds: Tensor, positions: Tensor) -> None:
        states = self._network.hidden(embeds[None], positions[:, None], self._cache)
        self._logits = self._network.logits(states[0, -1]).float()
