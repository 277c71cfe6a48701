"""Dialogues as training batches: ids, positions, slots and targets. Knows no optimiser and no file but the tokenizer's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from citrus_agent.model.planner.dialogues import Dialogue, Reference
from citrus_agent.model.planner.images import ImageBank
from citrus_agent.model.planner.network import CHANNELS
from citrus_agent.model.planner.prompt import IMAGE_TOKENS, Prompt
from citrus_agent.model.planner.tokenizer import PAD, PlannerTokenizer

_CHUNK = 1024  # dialogues sorted by length together, so that a batch holds little padding
_NOISE_IMAGE, _NOISE_SENTENCE = 0.05, 0.018
_BLANKED, _BLANK = 0.3, 0.15
_HEAD, _HEAD_WEIGHT = 16, 8.0


@dataclass(frozen=True)
class Example:
    """A dialogue as tokens. ``plain``: the question holds no number that a call copies, so words of it may be blanked."""

    prompt: Prompt
    images: list[Reference]
    plain: bool


@dataclass(frozen=True)
class Batch:
    """``ids`` (B, T), ``positions`` (3, B, T); slots are rows of the flattened (B * T); ``targets`` are the ids at ``target_at`` + 1.

    ``weights``: the head of a call, where its name and first argument stand, counts more than the long tail of a conclusion.
    """

    ids: Tensor
    positions: Tensor
    images: Tensor
    image_at: Tensor
    sentences: Tensor
    sentence_at: Tensor
    target_at: Tensor
    targets: Tensor
    weights: Tensor


def example(dialogue: Dialogue, prompt: Prompt) -> Example:
    """The dialogue's tokens with what batching needs to know of it."""
    scene = dialogue.scene
    plain = scene.box is None and scene.point is None and "guideline" not in scene.wants
    return Example(prompt, dialogue.images, plain)


def schedule(lengths: Sequence[int], tokens: int, seed: int) -> Iterator[list[int]]:
    """Endless lists of indices, each of at most ``tokens`` padded tokens; the same for the same seed."""
    epoch = 0
    while True:
        random = np.random.default_rng([seed, epoch])
        order = random.permutation(len(lengths))
        found: list[list[int]] = []
        for start in range(0, len(order), _CHUNK):
            chunk = sorted((int(i) for i in order[start : start + _CHUNK]), key=lambda i: lengths[i])
            found += _cut(chunk, lengths, tokens)
        for index in random.permutation(len(found)):
            yield found[int(index)]
        epoch += 1


def _cut(chunk: list[int], lengths: Sequence[int], tokens: int) -> list[list[int]]:
    batches: list[list[int]] = [[]]
    for index in chunk:
        if batches[-1] and lengths[index] * (len(batches[-1]) + 1) > tokens:
            batches.append([])
        batches[-1].append(index)
    return batches


def collate(
    examples: Sequence[Example],
    bank: ImageBank,
    vectors: dict[str, NDArray[np.float32]],
    tokenizer: PlannerTokenizer,
    random: np.random.Generator | None,
) -> Batch:
    """Pad on the right (a causal network never looks there) and gather the slots. ``random`` adds noise; None leaves all as it is."""
    width = max(len(e.prompt.ids) for e in examples)
    ids = np.full((len(examples), width), tokenizer.ids[PAD], np.int64)
    positions = np.zeros((3, len(examples), width), np.int64)
    images, image_at, sentences, sentence_at, target_at, weights = [], [], [], [], [], []
    for row, item in enumerate(examples):
        base, prompt = row * width, item.prompt
        ids[row, : len(prompt.ids)] = prompt.ids
        positions[:, row, : len(prompt.ids)] = prompt.position_array()
        images += [bank.get(reference) for reference in item.images]
        image_at += [base + start + i for start in prompt.images for i in range(IMAGE_TOKENS)]
        sentences += [vectors[text] for _, text in prompt.sentences]
        sentence_at += [base + at for at, _ in prompt.sentences]
        target_at += [base + i - 1 for start, end in prompt.spans for i in range(start, end)]
        weights += [_HEAD_WEIGHT if i < _HEAD else 1.0 for start, end in prompt.spans for i in range(end - start)]
        if random is not None and item.plain and random.random() < _BLANKED:
            _blank(ids[row], prompt, tokenizer, random)
    pixels = np.concatenate(images) if images else np.zeros((0, CHANNELS), np.float32)
    words = np.stack(sentences)
    if random is not None:
        pixels = pixels + random.normal(0, _NOISE_IMAGE, pixels.shape).astype(np.float32)
        words = words + random.normal(0, _NOISE_SENTENCE, words.shape).astype(np.float32)
    flat = torch.from_numpy(ids)
    at = torch.tensor(target_at)
    return Batch(
        flat,
        torch.from_numpy(positions),
        torch.from_numpy(pixels),
        torch.tensor(image_at, dtype=torch.int64),
        torch.from_numpy(words),
        torch.tensor(sentence_at),
        at,
        flat.reshape(-1)[at + 1],
        torch.tensor(weights),
    )


def _blank(row: NDArray[np.int64], prompt: Prompt, tokenizer: PlannerTokenizer, random: np.random.Generator) -> None:
    """Blank words of the user's text, so that the sentence vector is learned as well as the words."""
    for start, end in prompt.texts:
        dropped = random.random(end - start) < _BLANK
        row[start:end][dropped] = tokenizer.ids[PAD]
