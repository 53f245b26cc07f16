"""The command line: what each command prints, its JSON, its errors and exit codes."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nearfield as nf
import numpy as np
import pytest
from nearfield import cli
from nearfield.cli import build, doctor
from nearfield.cli.output import Output, size, spell_seconds

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: object) -> tuple[int, str, str]:
        code = cli.main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


@pytest.fixture
def vectors(tmp_path: Path) -> Path:
    rows = np.random.default_rng(0).standard_normal((300, 8)).astype(np.float32)
    np.save(tmp_path / "vectors.npy", rows)
    np.save(tmp_path / "queries.npy", rows[:4] + np.float32(0.01))
    return tmp_path / "vectors.npy"


@pytest.fixture
def built(run: Run, vectors: Path) -> Path:
    path = vectors.with_name("built.nf")
    assert run("build", vectors, "-o", path, "--metric", "cosine")[0] == 0
    return path


def failed(result: tuple[int, str, str], *words: str) -> None:
    """One line on standard error, exit code 2, nothing on standard output."""
    code, out, err = result
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    for word in words:
        assert word in err


@pytest.mark.parametrize("command", ["", *cli.COMMANDS])
def test_help(run: Run, command: str) -> None:
    code, out, err = run(*filter(None, [command]), "--help")
    assert (code, err) == (0, "")
    assert out.startswith("usage: nearfield")
    assert len(out) > 200


def test_every_command_is_a_module_with_the_same_three_names() -> None:
    files = {path.stem for path in Path(cli.__file__).parent.glob("*.py")}
    for name in cli.COMMANDS:
        assert name in files
        module = sys.modules[f"nearfield.cli.{name}"]
        assert isinstance(module.SUMMARY, str)
        assert callable(module.configure)
        assert callable(module.run)


def test_version(run: Run) -> None:
    assert run("--version")[1] == f"nearfield {nf.__version__}\n"


def test_usage_errors_are_one_line(run: Run) -> None:
    failed(run("sarch"), "sarch", "--help")
    failed(run("search"), "INDEX, QUERY", "nearfield search --help")
    failed(run(), "COMMAND")
    failed(run("build", "a.npy", "-o", "b", "--metric", "cos"), "--metric", "cosine")


def test_build_and_search_vectors(run: Run, vectors: Path, built: Path) -> None:
    queries = vectors.with_name("queries.npy")
    code, out, err = run("search", built, queries, "-k", 3, "--json")
    assert (code, err) == (0, "")
    report = json.loads(out)
    expected = nf.topk(np.load(queries), np.load(vectors), k=3, metric="cosine")
    ids = [[hit["id"] for hit in result["hits"]] for result in report["results"]]
    assert ids == expected.ids.tolist()
    code, out, _ = run("search", built, queries, "-k", 1)
    assert out.splitlines()[0].split() == ["query", "rank", "score", "id"]
    assert len(out.splitlines()) == 5


@pytest.mark.parametrize("suffix", ["npy", "txt", "txt.gz"])
def test_build_with_ids(run: Run, vectors: Path, suffix: str) -> None:
    ids = np.arange(300) * 7
    path = vectors.with_name(f"ids.{suffix}")
    text = "\n".join(map(str, ids))
    if suffix == "npy":
        np.save(path, ids)
    elif suffix == "txt":
        path.write_text(text)
    else:
        path.write_bytes(gzip.compress(text.encode()))
    output = vectors.with_name("with_ids.nf")
    code, out, _ = run(
        "build", vectors, "-o", output, "--ids", path, "--dtype", "float16", "--json"
    )
    assert code == 0
    report = json.loads(out)
    assert (report["rows"], report["dim"]) == (300, 8)
    assert (report["metric"], report["dtype"]) == ("l2", "float16")
    assert nf.load(output).ids.tolist() == ids.tolist()


def test_build_from_json_lines(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl.gz"
    lines = [json.dumps({"id": at + 5, "vector": [at, 1.0]}) for at in range(4)]
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    assert run("build", path, "-o", tmp_path / "x.nf")[0] == 0
    index = nf.load(tmp_path / "x.nf")
    np.testing.assert_array_equal(index.reconstruct([8]), [[3, 1]])


def test_build_errors(run: Run, vectors: Path, built: Path, tmp_path: Path) -> None:
    before = built.read_bytes()
    failed(run("build", vectors, "-o", built), "exists", "--force")
    assert run("build", vectors, "-o", built, "--force")[0] == 0
    built.write_bytes(before)
    out = tmp_path / "never"
    failed(run("build", tmp_path / "no.npy", "-o", out), "no.npy", "No such file")
    failed(run("build", tmp_path / "x.csv", "-o", out), "x.csv", ".npy, .jsonl")
    failed(run("build", vectors, "-o", out, "--model", "m"), "--model is for texts")
    for name, content, words in [
        ("a.jsonl", '{"vector": [1, 2]}\n{"vector": [1]}', "different lengths"),
        ("b.jsonl", '{"vector": [1]}\nnot json', "b.jsonl:2"),
        ("c.jsonl", '{"other": 1}', 'c.jsonl:1: expected "text"'),
        ("d.jsonl", '{"vector": [1]}\n{"text": "t"}', "1 only texts"),
        ("e.jsonl", '{"vector": [1], "id": "s"}', "integers only"),
        ("f.jsonl", '{"vector": [1], "id": 1}\n{"vector": [1]}', "1 of 2 records have an id"),
        ("g.txt", "a text", "--model"),
        ("i.jsonl", '{"vector": [1], "id": 9223372036854775808}', "ids: got 9223372036854775808"),
        ("j.jsonl", '{"vector": [1]}\n{"vector": [1e39]}', "j.jsonl: x: row 1 holds 1e+39"),
        ("h.txt", "\n\n", "no text"),
    ]:
        (tmp_path / name).write_text(content)
        failed(run("build", tmp_path / name, "-o", out), words)
    (tmp_path / "short.txt").write_text("1\n2")
    failed(run("build", vectors, "-o", out, "--ids", tmp_path / "short.txt"), "got 2, expected 300")
    (tmp_path / "latin.txt").write_bytes(b"\xff\xfe\xfd")
    failed(run("build", tmp_path / "latin.txt", "-o", out), "latin.txt", "UTF-8")
    np.save(tmp_path / "objects.npy", np.asarray([{}, None]), allow_pickle=True)
    failed(run("build", tmp_path / "objects.npy", "-o", out), "objects.npy", "not a .npy file")
    np.save(tmp_path / "nan.npy", np.full((3, 2), np.nan, dtype=np.float32))
    failed(run("build", tmp_path / "nan.npy", "-o", out), "nan.npy: x: row 0 ", "NaN")
    assert not out.exists()


def test_build_says_in_which_part_of_a_long_file_the_bad_row_is(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "_CHUNK_BYTES", 10 * 8)
    rows = np.zeros((35, 2), dtype=np.float32)
    rows[23, 1] = np.inf
    np.save(tmp_path / "long.npy", rows)
    result = run("build", tmp_path / "long.npy", "-o", tmp_path / "never")
    failed(result, "long.npy from row 20 on: x: row 3 ")


def test_search_errors(run: Run, vectors: Path, built: Path, tmp_path: Path) -> None:
    queries = vectors.with_name("queries.npy")
    failed(run("search", built, queries, "--model", "m"), "--model is for texts")
    failed(run("search", built, queries, "--threads", 257), "threads: got 257", "256")
    failed(run("search", tmp_path / "none.nf", queries), "none.nf", "no such index")
    failed(run("search", built, "a question"), "queries come from a .npy file")
    failed(run("search", built, tmp_path / "none.npy"), "none.npy")
    failed(run("search", built, queries, "-k", 0), "k")
    np.save(tmp_path / "wide.npy", np.zeros((2, 9), dtype=np.float32))
    failed(run("search", built, tmp_path / "wide.npy"), "wide.npy: q: got shape (2, 9)", "(n, 8)")
    np.save(tmp_path / "nan.npy", np.full((2, 8), np.nan))
    failed(run("search", built, tmp_path / "nan.npy"), "nan.npy: q: query 0 ", "NaN")


def test_tune(run: Run, vectors: Path, tmp_path: Path) -> None:
    index = nf.IVFIndex(8, 16)
    rows = np.load(vectors)
    index.train(rows)
    index.add(rows)
    path, queries = tmp_path / "lists.nf", tmp_path / "sample.npy"
    index.save(path)
    np.save(queries, np.random.default_rng(1).standard_normal((40, 8)))
    failed(run("search", path, queries, "--recall", "0.9"), "not tuned", "nf.tune")
    before = path.read_bytes()
    copy = tmp_path / "tuned.nf"
    code, out, _ = run("tune", path, queries, "--recall", "0.6", "0.9", "-k", 3, "-o", copy)
    assert code == 0
    assert out.splitlines()[0].split()[:3] == ["k", "batch", "level"]
    assert path.read_bytes() == before
    code, out, _ = run("tune", path, queries, "--recall", "0.6", "-k", "3", "--json")
    report = json.loads(out)
    assert (code, report["output"]) == (0, str(path))
    assert {one["level"] for one in report["settings"]} >= {0.6, 1.0}
    tuned = nf.load(path)
    assert tuned.tuning is not None
    assert [one._asdict() for one in tuned.tuning] == report["settings"]
    code, out, _ = run("search", path, queries, "-k", 3, "--recall", "1", "--json")
    found = [[hit["id"] for hit in one["hits"]] for one in json.loads(out)["results"]]
    assert found == index.search(np.load(queries), 3, nprobe=16).ids.tolist()
    failed(run("tune", tmp_path / "no.nf", queries), "no.nf")
    failed(run("tune", path, vectors.with_name("queries.npy")), "queries: got 4")
    truth = tmp_path / "truth.npy"
    np.save(truth, np.zeros((40, 2), np.int64))
    failed(run("tune", path, queries, "--truth", truth), "truth: got shape (40, 2)")


@pytest.mark.parametrize(
    ("options", "quantizer", "refine", "nlist"),
    [
        (["--quantizer", "sq8"], "sq8", None, 0),
        (["--quantizer", "pq4x4", "--refine", "float16"], "pq4x4", "float16", 0),
        (["--quantizer", "rabitq2", "--lists", "5"], "rabitq2", None, 5),
        (["--dtype", "float16", "--lists", "5"], "float16", None, 5),
        (["--index", "OPQ4,IVF5,PQ4x4fs,Refine(SQbf16)"], "opq4x4", "bfloat16", 5),
        (["--index", "Flat"], "float32", None, 0),
    ],
    ids=str,
)
def test_build_small_codes(
    run: Run, vectors: Path, options: list[str], quantizer: str, refine: str | None, nlist: int
) -> None:
    output = vectors.with_name("coded.nf")
    code, out, err = run("build", vectors, "-o", output, *options, "--metric", "ip")
    assert (code, err) == (0, "")
    assert f"(ip, {quantizer}{f' and {refine}' if refine else ''})" in out
    index = nf.load(output)
    assert (len(index), index.metric) == (300, "ip")
    assert (index.quantizer, index.refine) == (quantizer, refine)
    assert getattr(index, "nlist", 0) == nlist
    report = json.loads(run("info", output, "--json")[1])
    assert (report["quantizer"], report["refine"]) == (quantizer, refine)
    shown = run("info", output)[1]
    assert any(line.split()[:2] == ["quantizer", quantizer] for line in shown.splitlines())
    assert any(line.split()[:2] == ["refine", str(refine)] for line in shown.splitlines())
    code, out, _ = run("verify", output)
    assert code == 0
    assert quantizer in out
    assert run("search", output, vectors.with_name("queries.npy"), "-k", 2)[0] == 0


@pytest.mark.parametrize(
    ("options", "m", "breadth", "quantizer", "refine"),
    [
        (["--index", "hnsw"], 32, 200, "float32", None),
        (["--index", "hnsw", "--m", "9", "--ef-construction", "30"], 9, 30, "float32", None),
        (["--index", "hnsw", "--dtype", "float16"], 32, 200, "float16", None),
        (["--index=hnsw", "--quantizer=sq8", "--refine=float16"], 32, 200, "sq8", "float16"),
        (["--index", "HNSW16_SQ4"], 16, 200, "sq4", None),
    ],
    ids=str,
)  # fmt: skip
def test_build_a_graph(
    run: Run,
    vectors: Path,
    options: list[str],
    m: int,
    breadth: int,
    quantizer: str,
    refine: str | None,
) -> None:
    output, queries = vectors.with_name("graph.nf"), vectors.with_name("queries.npy")
    assert run("build", vectors, "-o", output, *options, "--metric", "ip")[0] == 0
    index = nf.load(output)
    assert isinstance(index, nf.HNSWIndex)
    assert (index.m, index.ef_construction, index.metric, len(index)) == (m, breadth, "ip", 300)
    assert (index.quantizer, index.refine) == (quantizer, refine)
    report = json.loads(run("info", output, "--json")[1])
    assert (report["kind"], report["m"], report["ef_construction"]) == ("hnsw", m, breadth)
    assert report["levels"][0] == 300
    assert report["reachable"] == 300
    shown = {
        line.split()[0]: line.split()[1:] for line in run("info", output)[1].splitlines() if line
    }
    assert shown["kind"] == ["hnsw"]
    assert shown["levels"][0].rstrip(",") == "300"
    assert float(shown["mean_links"][0]) == pytest.approx(report["mean_links"], rel=1e-3)
    assert run("verify", output)[0] == 0
    found = json.loads(run("search", output, queries, "-k", "2", "--json")[1])
    expected = index.search(np.load(queries), 2).ids.tolist()
    assert [[hit["id"] for hit in one["hits"]] for one in found["results"]] == expected


def test_tune_a_graph(run: Run, vectors: Path, tmp_path: Path) -> None:
    path, sample = tmp_path / "graph.nf", tmp_path / "sample.npy"
    np.save(sample, np.random.default_rng(1).standard_normal((40, 8)))
    assert run("build", vectors, "-o", path, "--index", "hnsw", "--m", "8")[0] == 0
    code, out, _ = run("tune", path, sample, "--recall", "0.6", "-k", "3")
    assert code == 0
    assert "ef_search=all" in out
    code, out, _ = run("search", path, sample, "-k", "3", "--recall", "1", "--json")
    found = [[hit["id"] for hit in one["hits"]] for one in json.loads(out)["results"]]
    assert found == nf.topk(np.load(sample), np.load(vectors), 3, "l2").ids.tolist()


def test_build_errors_of_small_codes(run: Run, vectors: Path) -> None:
    out = vectors.with_name("never")
    for options, words in (
        (["--quantizer", "pq3x4"], "m: got 3 for dim 8"),
        (["--quantizer", "sq9"], "quantizer: got 'sq9'"),
        (["--refine", "float16"], "refine: got 'float16', expected None"),
        (["--quantizer", "sq8", "--dtype", "float16"], "--quantizer stores codes"),
        (["--index", "SQ8", "--lists", "4"], "leave --lists out"),
        (["--index", "SQ8", "--dtype", "float32"], "leave --dtype out"),
        (["--index", "HNSW32,Graph"], "description: got 'HNSW32,Graph'"),
        (["--index", "HNSW32", "--m", "8"], "leave --m out"),
        (["--index", "SQ8", "--ef-construction", "8"], "leave --ef-construction out"),
        (["--index", "hnsw", "--lists", "4"], "leave --lists out"),
        (["--m", "8"], "--m is of a graph; add --index hnsw"),
        (["--lists", "4", "--ef-construction", "8"], "--ef-construction is of a graph"),
        (["--index", "hnsw", "--m", "1"], "m: got 1, expected an integer >= 2 and <= 512"),
        (["--index", "hnsw", "--ef-construction", "0"], "ef_construction: got 0"),
        (["--lists", "0"], "nlist: got 0"),
        (["--lists", "301"], "got 300 rows to train on"),
        (["--quantizer", "pq4x9"], "vectors.npy: x: got 300 rows to train on"),
    ):
        failed(run("build", vectors, "-o", out, *options), words)
    rows = np.load(vectors)
    rows[7, 3] = np.inf
    np.save(vectors, rows)
    failed(run("build", vectors, "-o", out, "--quantizer", "sq8"), "vectors.npy: x: row 7 ")
    assert not out.exists()


def test_info(run: Run, built: Path) -> None:
    code, out, _ = run("info", built, "--json")
    assert code == 0
    report = json.loads(out)
    assert report["type"] == "index"
    assert report["file_bytes"] == built.stat().st_size
    assert report["sections"]
    code, out, _ = run("info", built)
    assert code == 0
    assert "Sections" in out
    assert f"{built.stat().st_size:,}" in out


def test_verify(run: Run, built: Path, tmp_path: Path) -> None:
    code, out, err = run("verify", built)
    assert (code, err) == (0, "")
    assert "whole" in out
    damaged = tmp_path / "damaged.nf"
    data = bytearray(built.read_bytes())
    data[len(data) // 2] ^= 1
    damaged.write_bytes(data)
    code, out, err = run("verify", damaged, tmp_path / "none.nf", built, "--json")
    assert code == 2
    assert [result["ok"] for result in json.loads(out)["results"]] == [False, False, True]
    assert err.count("\n") == 2
    assert "damaged.nf" in err
    assert "none.nf" in err
    failed(run("info", damaged))


def test_doctor(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_version", lambda name: None if name == "torch" else "1.0")
    code, out, err = run("doctor")
    assert (code, err) == (0, "")
    assert 'pip install "nearfield[hf]"' in out
    assert nf.isa() in out
    report = json.loads(run("doctor", "--json")[1])
    assert report["isa"] == nf.isa()
    assert report["threads"] == nf.num_threads()
    assert report["cpu_features"] == nf.cpu_features()


def test_doctor_hints() -> None:
    report: dict[str, Any] = {
        "isa": "avx2",
        "cpu_features": {"avx2": True, "avx512": True, "amx": False},
        "threads": 1,
        "processors": 4,
        "huge pages": "never",
    }
    hints = doctor._hints(report)
    assert len(hints) == 3
    assert "this CPU has avx512 but avx2 is in use" in hints[0]
    assert doctor._hints(report | {"isa": "avx512", "threads": 4, "huge pages": "madvise"}) == []


def test_interrupt(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor, "run", interrupted)
    assert run("doctor") == (130, "", "nearfield: interrupted\n")


def test_plain_table(capsys: pytest.CaptureFixture[str]) -> None:
    Output().table(("name", "n"), [("a [b]", "1,000"), ("long name", 2)])
    assert capsys.readouterr().out == "name           n\na [b]      1,000\nlong name      2\n"


def test_rich_table_keeps_brackets(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("rich")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    Output().table(("name", "n"), [("a [b]", 1)])
    assert "a [b]" in capsys.readouterr().out


def test_spelled_quantities() -> None:
    assert [size(n) for n in (12, 1_500, 2_500_000, 3e12)] == [
        "12 bytes",
        "1.5 kB",
        "2.5 MB",
        "3.0 TB",
    ]
    assert [spell_seconds(s) for s in (2e-6, 0.0125, 1.5)] == ["2 µs", "12.5 ms", "1.5 s"]
