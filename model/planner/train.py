"""Train the planner: ``python -m citrus_agent.model.planner.train --busi DIR --out DIR``. Knows no real tool and no guideline.

Resumes from the checkpoint in ``--out`` when there is one. Writes ``config.json``, ``model.safetensors``, ``tokenizer.json``.
"""

from __future__ import annotations

import argparse
import logging
import math
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from citrus_agent.model.busi import read_busi
from citrus_agent.model.planner.batches import Batch, Example, collate, example, schedule
from citrus_agent.model.planner.dialogues import Dialogue, named, sample, texts
from citrus_agent.model.planner.images import ImageBank, image_bank
from citrus_agent.model.planner.network import PlannerNetwork
from citrus_agent.model.planner.prompt import Turn, build
from citrus_agent.model.planner.tokenizer import PlannerTokenizer
from citrus_agent.model.sentence import SentenceEncoder

log = logging.getLogger(__name__)
VOCABULARY = 2048
WARMUP = 50


@dataclass(frozen=True)
class Recipe:
    """All that decides the weights, apart from the images.

    ``opening_steps``: that many steps at the beginning see only the first call of each dialogue, and every third step after them does
    too. Few tokens lie between question and call there, so the network learns to look at the question before a long conclusion drowns it.
    """

    steps: int = 1800
    opening_steps: int = 150
    dialogues: int = 30000
    tokens: int = 2500
    rate: float = 4e-3
    seed: int = 0


@dataclass(frozen=True)
class Corpus:
    """Training examples with what their slots need. ``openings`` end with the first call."""

    examples: list[Example]
    openings: list[Example]
    bank: ImageBank
    vectors: dict[str, NDArray[np.float32]]
    tokenizer: PlannerTokenizer

    def batches(self, recipe: Recipe, start: int) -> Iterator[tuple[int, Batch]]:
        """Steps from ``start`` with their batches; step n is always the same batch."""
        orders = [schedule([len(item.prompt.ids) for item in part], recipe.tokens, recipe.seed) for part in (self.examples, self.openings)]
        for step in range(recipe.steps):
            random = np.random.default_rng([recipe.seed, 1, step])
            early = step < recipe.opening_steps or step % 3 == 0
            indices = next(orders[early])
            if step >= start:
                chosen = [(self.openings if early else self.examples)[i] for i in indices]
                yield step, collate(chosen, self.bank, self.vectors, self.tokenizer, random)


def corpus(bank: ImageBank, recipe: Recipe, out: Path) -> Corpus:
    """Simulate the dialogues, learn the tokenizer (once) and encode the questions."""
    played = [_played(recipe.seed * 1_000_003 + i, bank) for i in range(recipe.dialogues)]
    path = out / "tokenizer.json"
    if not path.is_file():
        PlannerTokenizer.train((text for _, turns in played[:8000] for text in texts(turns)), VOCABULARY).save(path)
    tokenizer = PlannerTokenizer.load(path)
    examples = [example(dialogue, build(turns, tokenizer, reply=False)) for dialogue, turns in played]
    openings = [example(dialogue, build(turns[:3], tokenizer, reply=False)) for dialogue, turns in played]
    questions = sorted({text for item in examples for _, text in item.prompt.sentences})
    log.info("%d dialogues, %d questions", len(examples), len(questions))
    return Corpus(examples, openings, bank, _vectors(questions, out / "vectors.npz"), tokenizer)


def _played(seed: int, bank: ImageBank) -> tuple[Dialogue, list[Turn]]:
    """A dialogue with its turns."""
    dialogue = sample(seed, bank)
    return dialogue, named(dialogue.play())


def _vectors(questions: list[str], kept: Path) -> dict[str, NDArray[np.float32]]:
    """Sentence vectors by question, kept so that a training that goes on need not encode again."""
    if kept.is_file():
        with np.load(kept) as file:
            vectors = dict(zip(file["questions"].tolist(), file["vectors"], strict=True))
        if set(questions) <= set(vectors):
            return vectors
    encoded = SentenceEncoder().encode(questions)
    np.savez(kept, questions=np.array(questions), vectors=encoded)
    return dict(zip(questions, encoded, strict=True))


def loss_of(network: PlannerNetwork, batch: Batch) -> torch.Tensor:
    """Weighted mean of the cross-entropy over the tokens of calls."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        embeds = network.embed(batch.ids)
        flat = network.fill(embeds.reshape(-1, embeds.shape[-1]), batch.images, batch.image_at, batch.sentences, batch.sentence_at)
        states = network.hidden(flat.reshape(embeds.shape), batch.positions)
        logits = network.logits(states.reshape(-1, states.shape[-1])[batch.target_at])
    losses = functional.cross_entropy(logits.float(), batch.targets, reduction="none")
    return (losses * batch.weights).sum() / batch.weights.sum()


def rate_at(step: int, recipe: Recipe) -> float:
    """Linear warm-up, then a cosine down to a twentieth."""
    if step < WARMUP:
        return recipe.rate * (step + 1) / WARMUP
    share = (step - WARMUP) / max(1, recipe.steps - WARMUP)
    return recipe.rate * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * share)))


def optimizers_of(network: PlannerNetwork, rate: float) -> list[torch.optim.Optimizer]:
    """Muon for all matrices but the embedding (Jordan K et al., 2024, kellerjordan.github.io/posts/muon), AdamW for the rest.

    The image and sentence projections read dense vectors: AdamW's steps move their output so far each time that the layers above
    learn to look away from it.
    """
    matrices = [p for name, p in network.named_parameters() if p.ndim == 2 and "embed_tokens" not in name]
    chosen = {id(p) for p in matrices}
    others = [p for p in network.parameters() if id(p) not in chosen]
    return [
        torch.optim.Muon(matrices, lr=rate, momentum=0.95, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=rate, betas=(0.9, 0.95), weight_decay=0.0),
    ]


def save_checkpoint(path: Path, network: PlannerNetwork, optimizers: Sequence[torch.optim.Optimizer], step: int) -> None:
    """Write beside and rename, so that a kill leaves the old checkpoint or the new one."""
    state = {
        "network": network.state_dict(),
        "optimizers": [o.state_dict() for o in optimizers],
        "step": step,
        "rng": torch.get_rng_state(),
    }
    torch.save(state, path.with_suffix(".new"))
    os.replace(path.with_suffix(".new"), path)


def load_checkpoint(path: Path, network: PlannerNetwork, optimizers: Sequence[torch.optim.Optimizer]) -> int:
    """The step to go on with: 0 where there is no checkpoint."""
    if not path.is_file():
        return 0
    state: dict[str, Any] = torch.load(path, weights_only=True)
    network.load_state_dict(state["network"])
    for optimizer, kept in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(kept)
    torch.set_rng_state(state["rng"])
    log.info("going on from step %d", state["step"])
    return int(state["step"])


def train(data: Corpus, recipe: Recipe, out: Path, checkpoint_every: int = 100) -> PlannerNetwork:
    """Run the recipe to its end and save the weights."""
    torch.manual_seed(recipe.seed)
    network = PlannerNetwork(len(data.tokenizer))
    optimizers = optimizers_of(network, recipe.rate)
    checkpoint = out / "checkpoint.pt"
    network.train()
    began = time.monotonic()
    mean = 0.0
    for step, batch in data.batches(recipe, load_checkpoint(checkpoint, network, optimizers)):
        for group in (group for optimizer in optimizers for group in optimizer.param_groups):
            group["lr"] = rate_at(step, recipe)
        loss = loss_of(network, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        network.zero_grad(set_to_none=True)
        mean = 0.95 * mean + 0.05 * loss.item() if mean else loss.item()
        if step % 20 == 0:
            log.info("step %d loss %.4f tokens %d seconds %.0f", step, mean, batch.ids.numel(), time.monotonic() - began)
        if (step + 1) % checkpoint_every == 0:
            save_checkpoint(checkpoint, network, optimizers, step + 1)
    save_checkpoint(checkpoint, network, optimizers, recipe.steps)
    network.eval().save(out)
    return network


def bank_for(busi: Path, out: Path, features: Path | None, *, held_out: bool) -> ImageBank:
    """Image tokens of the training or the held-out part; kept in ``out``."""
    kept = out / f"images{int(held_out)}.npz"
    if not kept.is_file():
        from citrus_agent.model.encoder import ImageEncoder

        log.info("encoding images")
        array = np.load(features, mmap_mode="r") if features else None
        image_bank(read_busi(busi), ImageEncoder(keep=1).embed, held_out=held_out, features=array).save(kept)
    return ImageBank.load(kept)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Train the planner of citrus-v-nano.")
    parser.add_argument("--busi", type=Path, required=True, help="folder in BUSI's layout")
    parser.add_argument("--out", type=Path, required=True, help="where weights, checkpoint and image tokens go")
    parser.add_argument(
        "--features", type=Path, help="float16 (N, 256, 64, 64) .npy of embeddings in the order of read_busi; spares the encoding"
    )
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--dialogues", type=int, default=Recipe.dialogues)
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    recipe = Recipe(steps=options.steps, dialogues=options.dialogues, seed=options.seed)
    bank = bank_for(options.busi, options.out, options.features, held_out=False)
    train(corpus(bank, recipe, options.out), recipe, options.out)


if __name__ == "__main__":
    main()
