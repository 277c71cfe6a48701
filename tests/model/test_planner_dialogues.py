"""The question bank, the simulated tools and the teacher: what training is made of."""

import re
from collections import Counter

import numpy as np
import pytest

from citrus_agent.core.phrases import fill
from citrus_agent.model.planner.arguments import ARGUMENTS
from citrus_agent.model.planner.batches import collate, example, schedule
from citrus_agent.model.planner.dialogues import sample
from citrus_agent.model.planner.grammar import Context
from citrus_agent.model.planner.images import ImageBank, other_pictures
from citrus_agent.model.planner.network import pool
from citrus_agent.model.planner.prompt import build
from citrus_agent.model.planner.questions import ask, bank
from citrus_agent.model.planner.tokenizer import PAD, PlannerTokenizer

COUNT = 300


@pytest.fixture(scope="module")
def images() -> ImageBank:
    random = np.random.default_rng(0)
    return ImageBank({key: random.normal(size=(5, 16, 256)).astype(np.float32) for key in ("normal", "benign", "suspicious", "outside")})


@pytest.fixture(scope="module")
def played(images):
    return [(dialogue, dialogue.play()) for dialogue in (sample(seed, images) for seed in range(COUNT))]


def test_bank_is_large_and_each_group_has_both_parts():
    wordings = bank()
    assert len({w.text for w in wordings}) == len(wordings)
    groups = Counter((w.wants[0], w.held_out) for w in wordings if len(w.wants) == 1)
    for name in {w.wants[0] for w in wordings if len(w.wants) == 1}:
        assert groups[name, False] + groups[name, True] >= 25, name
        assert groups[name, True] >= 2, name
    assert groups["out_of_scope", False] + groups["out_of_scope", True] >= 150


def test_held_out_wordings_are_never_trained_on(images):
    held = {w.text for w in bank() if w.held_out}
    assert all(sample(seed, images).wording.text not in held for seed in range(200))
    assert all(sample(seed, images, held_out=True).wording.text in held for seed in range(200))


@pytest.mark.parametrize("part", ["{box}", "{point}"])
def test_a_box_or_point_in_a_question_can_be_read_back(part):
    random = np.random.default_rng(0)
    for wording in (w for w in bank() if part in w.text):
        for _ in range(8):
            asked = ask(wording, random, 500, 400, noise=True)
            known = Context()
            known.read_question(asked.text)
            assert asked.box in known.boxes if asked.box else asked.point in known.points, asked.text


def test_every_call_of_the_teacher_fits_its_schema_and_ends_the_run(played):
    for dialogue, turns in played:
        for turn in turns:
            if turn.role == "call":
                assert turn.name in dialogue.scene.tools
                ARGUMENTS[turn.name].model_validate(turn.arguments)
        assert turns[-1].name in ("conclude", "abstain")


def test_every_sentence_names_evidence_and_prints_without_a_digit_of_its_own(played):
    for dialogue, turns in played:
        for claim in turns[-1].arguments.get("claims", []):
            assert claim["evidence"]
            for handle in claim["evidence"]:
                dialogue.world.graph.resolve(handle)
            assert not re.search(r"\d", re.sub(r"\{E\d+[^}]*\}", "", claim["text"]))
            assert "{" not in fill(claim["text"], dialogue.world.graph)
            assert set(re.findall(r"\{(E\d+)", claim["text"])) <= set(claim["evidence"])


def test_full_report_follows_the_reading_order(images):
    for seed in range(2000):
        dialogue = sample(seed, images, faulty=False)
        if dialogue.scene.wants == ("report",) and dialogue.world.regions and not dialogue.scene.box and not dialogue.scene.point:
            break
    names = [turn.name for turn in dialogue.play() if turn.role == "call"]
    expected = ["detect_lesions", "segment_lesion", "measure_lesion", "describe_lesion", "apply_guideline", "search_guidelines", "conclude"]
    assert names == expected


def test_same_seed_same_dialogue(images):
    assert sample(7, images).play() == sample(7, images).play()


def test_no_category_without_a_fitting_study(played):
    for dialogue, turns in played:
        study = dialogue.scene.study
        if study is not None and study.modality not in ("US", "unknown"):
            assert not turns[-1].arguments.get("category")


def test_batches_hold_to_the_budget_and_learn_only_calls(played, images):
    tokenizer = PlannerTokenizer.train((turn.text for _, turns in played for turn in turns), 600)
    examples = [example(dialogue, build(turns, tokenizer, reply=False)) for dialogue, turns in played[:40]]
    lengths = [len(item.prompt.ids) for item in examples]
    order = schedule(lengths, 4000, 0)
    indices = next(order)
    assert max(lengths[i] for i in indices) * len(indices) <= max(4000, max(lengths))
    chosen = [examples[i] for i in indices]
    vectors = {text: np.ones(384, np.float32) for item in chosen for _, text in item.prompt.sentences}
    batch = collate(chosen, images, vectors, tokenizer, None)
    assert len(batch.targets) == sum(end - start for item in chosen for start, end in item.prompt.spans)
    assert tokenizer.ids[PAD] not in batch.targets
    assert len(batch.image_at) == len(batch.images)
    noisy = collate(chosen, images, vectors, tokenizer, np.random.default_rng(0))
    assert (noisy.targets == batch.targets).all()
    assert next(schedule(lengths, 4000, 0)) == indices


def test_pooling_keeps_rows_and_columns():
    embedding = np.zeros((256, 64, 64), np.float32)
    embedding[3, 16:32, 48:64] = 1
    tokens = pool(embedding)
    assert tokens.shape == (16, 256)
    assert np.argwhere(tokens).tolist() == [[7, 3]]


def test_other_pictures_are_varied_and_local():
    pictures = dict(other_pictures())
    assert len(pictures) >= 50
    assert {image.ndim for image in pictures.values()} == {2, 3}
    assert all(image.dtype == np.uint8 for image in pictures.values())
