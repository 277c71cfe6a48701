"""Training of the grounding heads on BUSI: ``python -m citrus_agent.model.train_grounding --busi DIR --out DIR``.

The encoder stays frozen; its embeddings are computed once for a few augmented variants of each image. Fold 0 of the near-duplicate
groups is never trained on; ``pack_grounding`` makes one file of several runs. Killed at any point, the same command goes on from the last
epoch.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from citrus_agent.model.busi import LABELS, Item, read_busi
from citrus_agent.model.features import FeatureSet, features
from citrus_agent.model.grounding import GroundingHead, GroundingOutput


@dataclass(frozen=True)
class Recipe:
    """Every knob of the run; written beside the weights."""

    epochs: int = 40
    batch: int = 8
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.02
    finding_weight: float = 0.5
    ema: float = 0.995
    variants: int = 3
    width: int = 64
    seed: int = 0


def load_batch(
    sets: Sequence[FeatureSet], items: Sequence[Item], indices: Sequence[int], random: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Embeddings (B, 256, 64, 64), lesion share of each cell (B, 1, 64, 64), labels (B,), each image in a variant drawn at random."""
    chosen = [sets[random.integers(len(sets))] for _ in indices]
    embeddings = np.stack([one.embeddings[i] for one, i in zip(chosen, indices, strict=True)]).astype(np.float32)
    masks = np.stack([one.masks[i] for one, i in zip(chosen, indices, strict=True)]).astype(np.float32)
    target = functional.avg_pool2d(torch.from_numpy(masks)[:, None], 4)
    return torch.from_numpy(embeddings), target, torch.tensor([LABELS.index(items[i].label) for i in indices])


class GroundingLoss(nn.Module):
    """Dice plus binary cross entropy on the lesion map (MONAI's ``DiceCELoss``), cross entropy on the finding."""

    def __init__(self, finding_weight: float) -> None:
        super().__init__()
        from monai.losses import DiceCELoss

        self.lesion = DiceCELoss(sigmoid=True, squared_pred=True, batch=False, smooth_nr=1.0, smooth_dr=1.0)
        self.finding = nn.CrossEntropyLoss(label_smoothing=0.05)
        self.finding_weight = finding_weight

    def forward(self, output: GroundingOutput, target: Tensor, label: Tensor) -> Tensor:
        """Scalar loss."""
        loss: Tensor = self.lesion(output.lesion, target) + self.finding_weight * self.finding(output.finding, label)
        return loss


def _jitter(embeddings: Tensor, target: Tensor, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Feature-level augmentation: dropped channels and a shift of a few cells, the same for features and target."""
    keep = torch.from_numpy((random.random(embeddings.shape[:2]) > 0.1).astype(np.float32))[..., None, None]
    shift = tuple(int(s) for s in random.integers(-6, 7, 2))
    padded = (functional.pad(x, (6, 6, 6, 6), mode="replicate") for x in (embeddings * keep, target))
    rows, columns = slice(6 + shift[0], 70 + shift[0]), slice(6 + shift[1], 70 + shift[1])
    moved = [x[..., rows, columns] for x in padded]
    return moved[0], moved[1]


@torch.inference_mode()
def quick_scores(model: nn.Module, data: FeatureSet, items: Sequence[Item], indices: Sequence[int]) -> dict[str, float]:
    """Dice of the coarse map and AUC suspicious-versus-benign, for watching only: the model card's figures come from ``eval images``."""
    from sklearn.metrics import roc_auc_score

    dice, truth, score, marked = [], [], [], []
    model.eval()
    for i in indices:
        output = model(torch.from_numpy(data.embeddings[i].astype(np.float32))[None])
        lesion = functional.interpolate(output.lesion, scale_factor=4, mode="bilinear", align_corners=False)[0, 0].numpy() > 0
        mask, probabilities = data.masks[i], output.finding.softmax(1)[0]
        if items[i].label == "normal":
            marked.append(float(lesion.any()))
            continue
        dice.append(2 * (lesion & mask).sum() / max(1, lesion.sum() + mask.sum()))
        truth.append(items[i].label == "malignant")
        score.append(float(probabilities[2] / (probabilities[1] + probabilities[2])))
    model.train()
    return {"dice": float(np.mean(dice)), "auc": float(roc_auc_score(truth, score)), "normal_marked": float(np.mean(marked))}


def train(busi: Path, out: Path, cache: Path, recipe: Recipe) -> None:
    """Run or go on; writes ``grounding.pt`` (resume point), ``member.safetensors`` (averaged weights) and ``recipe.json`` into ``out``."""
    from safetensors.torch import save_file

    out.mkdir(parents=True, exist_ok=True)
    items = read_busi(busi)
    sets = [features(items, variant, cache) for variant in range(recipe.variants)]
    training = [i for i, item in enumerate(items) if item.fold != 0]
    held = [i for i, item in enumerate(items) if item.fold == 0]
    torch.manual_seed(recipe.seed)
    model = GroundingHead(recipe.width).train()
    average = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(recipe.ema))
    optimiser = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    steps = recipe.epochs * (len(training) // recipe.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.learning_rate, total_steps=steps, pct_start=0.15)
    parts = {"model": model, "average": average, "optimiser": optimiser, "schedule": schedule}
    first = _resume(out / "grounding.pt", parts)
    loss_of = GroundingLoss(recipe.finding_weight)
    for epoch in range(first, recipe.epochs):
        random = np.random.default_rng([recipe.seed, epoch])
        torch.manual_seed(1000 * recipe.seed + epoch)
        order = random.permutation(training)
        losses = []
        for start in range(0, len(order) - recipe.batch + 1, recipe.batch):
            embeddings, target, label = load_batch(sets, items, order[start : start + recipe.batch].tolist(), random)
            embeddings, target = _jitter(embeddings, target, random)
            loss = loss_of(model(embeddings), target, label)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            average.update_parameters(model)
            losses.append(loss.item())
        _checkpoint(out / "grounding.pt", parts, epoch + 1)
        watch = quick_scores(average.module, sets[0], items, held) if epoch % 4 == 3 else {}
        print(json.dumps({"epoch": epoch, "loss": round(float(np.mean(losses)), 4), **watch}), flush=True)
    weights = {key: value.half() for key, value in average.module.state_dict().items()}
    save_file(weights, out / "member.safetensors")
    (out / "recipe.json").write_text(json.dumps(asdict(recipe), indent=2))


def _checkpoint(path: Path, parts: dict, epoch: int) -> None:
    temporary = path.with_suffix(".new")
    torch.save({"epoch": epoch, **{name: part.state_dict() for name, part in parts.items()}}, temporary)
    temporary.replace(path)


def _resume(path: Path, parts: dict) -> int:
    if not path.exists():
        return 0
    saved = torch.load(path, weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(saved[name])
    return int(saved["epoch"])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--busi", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache", type=Path, help="where embeddings are kept; default OUT/features")
    parser.add_argument("--threads", type=int)
    for name, value in asdict(Recipe()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    recipe = Recipe(**{name: getattr(options, name) for name in asdict(Recipe())})
    train(options.busi, options.out, options.cache or options.out / "features", recipe)


if __name__ == "__main__":
    main()
