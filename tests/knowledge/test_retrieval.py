"""Search: expected sections, the relevance floor, filters, the index on disk, and what is loaded when."""

import hashlib
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from citrus_agent.core.errors import ResourceError, ToolArgumentError
from citrus_agent.core.protocols import Retriever, SearchFilter
from citrus_agent.knowledge import open_library
from citrus_agent.knowledge.retrieval import reciprocal_rank, tokens

QUERIES = [
    ("when to repeat the scan for a probably benign mass", "category-3-followup"),
    ("FA follow up interval", "category-3-followup"),
    ("how long until next ultrasound for a fibroadenoma", "category-3-followup"),
    ("PPV of 4B", "category-4b"),
    ("what does 4A mean", "category-4a"),
    ("BI-RADS 4c likelihood", "category-4c"),
    ("how likely is cancer in BI-RADS 5", "category-5"),
    ("benign result after BI-RADS 5 biopsy", "category-5"),
    ("already proven cancer before chemo", "category-6"),
    ("incomplete exam, need more imaging", "category-0"),
    ("no lesion seen", "category-1"),
    ("is there a scoring algorithm to choose the subcategory", "subdivision-no-formula"),
    ("lump taller than it is wide", "orientation"),
    ("lump is deeper than wide, is that bad", "orientation"),
    ("spiculated margin meaning", "margin-spiculated"),
    ("stellate", "margin-spiculated"),
    ("halo", "margin-indistinct"),
    ("edges sharp all around", "margin-circumscribed"),
    ("dark shadow behind lesion", "posterior-features"),
    ("brightness of a mass compared with fat", "echo-pattern"),
    ("mural nodule inside a cyst", "echo-complex-cystic-solid"),
    ("fluid filled cyst features", "special-simple-cyst"),
    ("cyst with debris and fluid level", "special-complicated-cyst"),
    ("cluster of tiny cysts", "special-clustered-microcysts"),
    ("LN in axilla", "special-lymph-nodes"),
    ("elastography stiff", "associated-elasticity"),
    ("doppler flow", "associated-vascularity"),
    ("clock position and distance from nipple", "report-findings"),
    ("what sections does a report have", "report-structure"),
]
ELSEWHERE = [
    "write me a poem about spring",
    "capital of France",
    "who won the world cup",
    "what antibiotic dose for pneumonia",
    "prescribe ibuprofen",
    "knee MRI meniscus tear",
    "thyroid nodule TI-RADS",
    "prostate PI-RADS",
    "chest x-ray pneumothorax",
    "coronary calcium score",
    "the",
]


def constant_embed(texts):
    return np.ones((len(texts), 4), np.float32) / 2


@pytest.mark.parametrize(("query", "section"), QUERIES)
def test_expected_section_is_in_the_first_three(library, query, section):
    assert section in [item.section for item in library.search(query, 3)]


@pytest.mark.parametrize("query", ELSEWHERE)
def test_a_question_from_elsewhere_finds_nothing(library, query):
    assert library.search(query) == []


def test_passage_is_evidence(library):
    found = library.search("short interval follow-up", 2)
    assert [item.score for item in found] == sorted((item.score for item in found), reverse=True)
    best = found[0]
    assert best.section == "category-3-followup"
    assert best.text_sha256 == hashlib.sha256(best.text.encode()).hexdigest()
    assert best.span == (0, len(best.text))
    assert best.citation == "ACR BI-RADS Atlas 5th ed. 2013, Ultrasound, Reporting System, Assessment Categories"
    assert (best.tool, best.model_digest, best.edition) == ("search_guidelines", library.digest, "5th edition")
    assert 0 < best.score <= 1


def test_filters(library):
    both = SearchFilter(guideline="birads_us_2013", modality="US", organ="breast")
    assert library.search("simple cyst", 1, both) == library.search("simple cyst", 1)
    assert library.search("simple cyst", where=SearchFilter(modality="MG")) == []
    assert library.search("simple cyst", where=SearchFilter(organ="thyroid")) == []
    with pytest.raises(ToolArgumentError, match="birads_us_2013"):
        library.search("simple cyst", where=SearchFilter(guideline="nccn"))


@pytest.mark.parametrize(("query", "k"), [("", 3), ("  ", 3), ("cyst", 0)])
def test_wrong_calls(library, query, k):
    with pytest.raises(ToolArgumentError):
        library.search(query, k)


def test_reciprocal_rank_fusion():
    fused = reciprocal_rank([["a", "b"], ["a", "c", "b"]])
    assert fused["a"] == pytest.approx(1.0)
    assert fused["b"] == pytest.approx((1 / 62 + 1 / 63) * 61 / 2)
    assert fused["c"] == pytest.approx(1 / 62 * 61 / 2)


def test_negation_is_a_word():
    assert tokens("The mass is not parallel: BI-RADS 4A, cysts") == ["mass", "not", "parallel", "birads", "4a", "cyst"]


def test_index_is_built_once_and_found_again(tmp_path):
    calls = []

    def embed(texts):
        calls.append(len(texts))
        return constant_embed(texts)

    for _ in range(2):
        library = open_library(tmp_path, embed)
        assert isinstance(library, Retriever)
        assert library.search("simple cyst")
        library.close()
    # The passages once, then a query each.
    assert calls[0] > 1
    assert calls[1:] == [1, 1]
    assert len(list((tmp_path / "guidelines").iterdir())) == 1


def test_a_damaged_index_says_what_to_do(tmp_path):
    library = open_library(tmp_path, constant_embed)
    library.search("simple cyst")
    library.close()
    (folder,) = (tmp_path / "guidelines").iterdir()
    (folder / "chroma.sqlite3").unlink()
    with pytest.raises(ResourceError, match=folder.name):
        open_library(tmp_path, constant_embed).search("simple cyst")


def test_a_cache_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "guidelines").write_text("a file, not a folder")
    with pytest.raises(ResourceError, match="cache folder"):
        open_library(tmp_path, constant_embed).search("simple cyst")


def test_an_embedder_that_gives_nonsense_is_refused(tmp_path):
    with pytest.raises(ResourceError, match="another embedder"):
        open_library(tmp_path, lambda texts: np.full((len(texts), 4), np.nan, np.float32)).search("simple cyst")
    assert not list((tmp_path / "guidelines").iterdir())


def run(code, *arguments):
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_opening_and_applying_load_no_heavy_package(tmp_path):
    process = run(
        """
        import sys
        from pathlib import Path
        from citrus_agent.core.protocols import Fact
        from citrus_agent.knowledge import open_library
        library = open_library(Path(sys.argv[1]))
        assert library.apply("birads_us_2013", {"finding": Fact("normal")}).category == "BI-RADS 1"
        heavy = {"torch", "chromadb", "bm25s", "transformers", "sentence_transformers"} & set(sys.modules)
        assert not heavy, heavy
        assert not list(Path(sys.argv[1]).iterdir())
        """,
        tmp_path,
    )
    assert process.communicate(timeout=120)[1] == ""
    assert process.returncode == 0


def test_two_processes_build_one_index(tmp_path):
    code = """
        import sys, time
        from pathlib import Path
        import numpy as np
        from citrus_agent.knowledge import open_library
        cache, me, other = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
        def embed(texts):
            # Both stand here, each without an index, before either goes on to build one.
            me.touch()
            deadline = time.monotonic() + 90
            while not other.exists():
                assert time.monotonic() < deadline
                time.sleep(0.01)
            return np.ones((len(texts), 4), np.float32) / 2
        library = open_library(cache, embed)
        print([item.section for item in library.search("simple cyst", 3)])
        library.close()
        """
    one, two = tmp_path / "one", tmp_path / "two"
    processes = [run(code, tmp_path / "cache", one, two), run(code, tmp_path / "cache", two, one)]
    outputs = [process.communicate(timeout=180) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert outputs[0] == outputs[1]
    assert outputs[0][0].count("'") == 6
    (folder,) = (tmp_path / "cache" / "guidelines").iterdir()
    assert not folder.name.startswith(".build-")
