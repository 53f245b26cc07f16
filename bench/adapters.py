"""What adapters cost: python -m bench.adapters --data SET --out FOLDER [--parts query corpus ...].

Three questions, each answered by calls that run in turn in one process, every round in another
order; what is compared is the median of the ratios within a round.

query     A batch through a query adapter, and through sixteen in one batch, beside the search of
          the same vectors mapped beforehand: equal work for the search, since a mapped query may be
          an easier or a harder one.
corpus    Switching a corpus adapter on, and searching under it, beside plain search.
pipeline  Transform, normalise and search as one call, beside the same in NumPy or torch with
          faiss's IndexFlatIP, and beside torch alone (matmul, topk); recall of each.

Before each call all threads rest for a moment: those of faiss and torch spin for a while after
their work, on the cores that the next call needs.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import nearfield as nf
import numpy as np

from bench.pareto.datasets import Source, load
from bench.pareto.environment import header
from bench.pareto.judge import Array, exact_neighbours, hits
from bench.pareto.methods.base import required
from bench.pareto.timing import wait_until_quiet

K, BATCH, TENANTS = 10, 10_000, 16
SEED = 20_261_130
REST = 0.25  # seconds
JUDGED = 500  # queries that recall is counted on
FORMS = ("low_rank 16", "key_value 64", "affine")
KINDS = ("flat", "ivf", "hnsw")
PARTS = ("query", "corpus", "pipeline")
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}

Call = Callable[[], Any]
Row = dict[str, Any]


def adapter(form: str, dim: int, seed: int) -> nf.transforms.Transform:
    """Return an adapter of a form, a small step away from the identity."""
    rng = np.random.default_rng([SEED, seed])

    def weights(*shape: int) -> Array:
        return (rng.standard_normal(shape) * 0.02).astype(np.float32)

    kind, _, size = form.partition(" ")
    if kind == "low_rank":
        return nf.transforms.LowRank(weights(int(size), dim), weights(dim, int(size)))
    if kind == "key_value":
        return nf.transforms.KeyValue(weights(int(size), dim), weights(int(size), dim))
    return nf.transforms.Affine(np.eye(dim, dtype=np.float32) + 0.1 * weights(dim, dim))


def in_turn(ways: dict[str, Call], args: argparse.Namespace) -> dict[str, Array]:
    """Seconds of every way in every round, after one untimed call of each."""
    rng, clock = np.random.default_rng(SEED), CLOCKS[args.clock]
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for call in ways.values():
        call()
    for _ in range(args.repeats):
        wait_until_quiet(args.quiet)
        for name in rng.permutation(list(ways)):
            time.sleep(REST)
            start = clock()
            ways[name]()
            spent[name].append(clock() - start)
    return {name: np.array(seconds) for name, seconds in spent.items()}


def compared(spent: dict[str, Array], name: str, with_: str) -> Row:
    """Medians of two ways, and quartiles of the ratio within a round."""
    low, ratio, high = np.quantile(spent[name] / spent[with_], [0.25, 0.5, 0.75])
    return {
        "way": name,
        "beside": with_,
        "seconds": float(np.median(spent[name])),
        "seconds_beside": float(np.median(spent[with_])),
        "ratio": float(ratio),
        "quartiles": [float(low), float(high)],
    }


def query_part(base: Array, queries: Array, args: argparse.Namespace) -> Iterable[Row]:
    """Measure one adapter, and sixteen in one batch."""
    index = nf.FlatIndex(base.shape[1], "ip")
    index.add(base)
    tenants = np.arange(len(queries)) % TENANTS
    ways: dict[str, Call] = {"plain": lambda: index.search(queries, K, threads=args.threads)}
    for form in FORMS:
        several = [adapter(form, base.shape[1], seed) for seed in range(TENANTS)]
        mapped = several[0](queries)

        def before(mapped: Array = mapped) -> Any:
            return index.search(mapped, K, threads=args.threads)

        def one(transform: Any = several[0]) -> Any:
            return index.search(queries, K, transform=transform, threads=args.threads)

        def many(transforms: Any = several) -> Any:
            return index.search(
                queries, K, transform=transforms, transform_ids=tenants, threads=args.threads
            )

        ways |= {f"{form}, before": before, form: one, f"{form}, {TENANTS} of it": many}
    spent = in_turn(ways, args)
    for form in FORMS:
        yield compared(spent, form, f"{form}, before")
        yield compared(spent, f"{form}, {TENANTS} of it", form)
        yield compared(spent, form, "plain")


def index_of(kind: str, base: Array, threads: int) -> tuple[nf.Index, dict[str, int]]:
    """Build an index of a kind, and say what it is searched with."""
    dim = base.shape[1]
    index: Any
    if kind == "flat":
        index, params = nf.FlatIndex(dim, "cosine"), {}
    elif kind == "ivf":
        index, params = nf.IVFIndex(dim, 512, "cosine"), {"nprobe": 16}
        index.train(base, threads=threads)
    else:
        index, params = nf.HNSWIndex(dim, 16, "cosine"), {"ef_search": 64}
    index.add(base, threads=threads)
    return index, params


def corpus_part(base: Array, queries: Array, args: argparse.Namespace) -> Iterable[Row]:
    """Switch adapters of rank 16 on, and search under them."""
    dim = base.shape[1]
    rng = np.random.default_rng(SEED)
    u, v = (rng.standard_normal((2, dim, 16)) / np.sqrt(dim)).astype(np.float32)
    u *= np.float32(0.5)
    for kind in KINDS:
        index, params = index_of(kind, base, args.threads)
        params = {**params, "threads": args.threads}

        def on(index: Any = index) -> None:
            index.add_corpus_adapter("a", u, v, sample=0, threads=args.threads)

        switched = []
        for _ in range(args.repeats):
            wait_until_quiet(args.quiet)
            start = CLOCKS[args.clock]()
            on()
            switched.append(CLOCKS[args.clock]() - start)
            index.remove_corpus_adapter("a")
        on()
        spent = in_turn(
            {
                f"{kind}, adapted": lambda i=index, p=params: i.search(  # type: ignore[misc]
                    queries, K, corpus_adapter="a", **p
                ),
                f"{kind}, plain": lambda i=index, p=params: i.search(  # type: ignore[misc]
                    queries, K, **p
                ),
            },
            args,
        )
        yield {
            **compared(spent, f"{kind}, adapted", f"{kind}, plain"),
            "on_seconds_per_million": float(np.median(switched)) / len(base) * 1e6,
        }


def in_numpy(transform: Any, x: Array) -> Array:
    """Map and normalise, the way one writes it with NumPy."""
    kind = transform.kind
    if kind == "affine":
        mapped = x @ transform.w.T
    elif kind == "low_rank":
        mapped = x + (x @ transform.a.T) @ transform.b.T
    else:
        weights = np.exp(x @ transform.keys.T)
        mapped = x + weights / weights.sum(axis=1, keepdims=True) @ transform.values
    return mapped / np.linalg.norm(mapped, axis=1, keepdims=True)


def in_torch(transform: Any, x: Any) -> Any:
    """Map and normalise, the way one writes it with torch."""
    torch = required("torch")
    w = {name: torch.from_numpy(np.array(a)) for name, a in transform.parameters().items()}
    if transform.kind == "affine":
        mapped = torch.nn.functional.linear(x, w["w"])
    elif transform.kind == "low_rank":
        mapped = x + (x @ w["a"].T) @ w["b"].T
    else:
        mapped = x + torch.softmax(x @ w["keys"].T, dim=1) @ w["values"]
    return torch.nn.functional.normalize(mapped)


def pipeline_part(base: Array, queries: Array, args: argparse.Namespace) -> Iterable[Row]:
    """One call, beside the obvious pipelines, for a batch and for one query."""
    faiss, torch = required("faiss"), required("torch")
    index = nf.FlatIndex(base.shape[1], "ip")
    index.add(base)
    theirs = faiss.IndexFlatIP(base.shape[1])
    theirs.add(base)
    table = torch.from_numpy(base)
    for size, threads in ((1, 1), (len(queries), args.threads)):
        asked = queries[:size]
        faiss.omp_set_num_threads(threads)
        torch.set_num_threads(threads)
        for form in FORMS:
            one = adapter(form, base.shape[1], 0)
            chain = nf.transforms.Chain([one, nf.transforms.Normalize()])
            head = f"{form}, batch {size:,}, {threads} threads"
            ways = _pipelines(index, theirs, table, asked, chain, one, threads)
            if size == 1:
                ways = {name: _often(call) for name, call in ways.items()}
            spent = in_turn(ways, args)
            mapped = in_numpy(one, asked[:JUDGED])
            kth = exact_neighbours(base, mapped, K, "ip")[1][:, -1]
            for name, call in ways.items():
                right = hits(call()[:JUDGED], base, mapped, kth, "ip", 1.0)
                row = compared(spent, name, "nearfield")
                yield {**row, "way": f"{head}: {name}", "recall": right / (K * len(mapped))}


def _pipelines(
    index: Any, theirs: Any, table: Any, asked: Array, chain: Any, one: Any, threads: int
) -> dict[str, Call]:
    torch = required("torch")
    held = torch.from_numpy(asked)
    return {
        "nearfield": lambda: index.search(asked, K, transform=chain, threads=threads).ids,
        "numpy + faiss": lambda: theirs.search(in_numpy(one, asked), K)[1],
        "torch + faiss": lambda: theirs.search(in_torch(one, held).numpy(), K)[1],
        "torch": lambda: torch.topk(in_torch(one, held) @ table.T, K).indices.numpy(),
    }


def _often(call: Call, times: int = 20) -> Call:
    def calls() -> Any:
        for _ in range(times - 1):
            call()
        return call()

    return calls


def page(result: dict[str, Any]) -> str:
    """Readable page."""
    about = result["header"]
    lines = [
        f"# What adapters cost: {result['data']}, {result['rows']:,} x {result['dim']}",
        "",
        f"{result['queries']:,} queries a batch, k = {K}, {result['threads']} threads, "
        f"{result['repeats']} rounds, {result['clock']} time. {about['cpu']}, {about['isa']}; "
        f"commit {about['commit']}; {about['date']}. Ratio: median (quartiles) of the ratios "
        "within a round.",
    ]
    for part, rows in result["parts"].items():
        lines += ["", f"## {part}", ""]
        lines.append("| way | beside | ms | ms beside | ratio | |\n|---|---|---|---|---|---|")
        for row in rows:
            extra = ""
            if "on_seconds_per_million" in row:
                extra = f"on in {row['on_seconds_per_million']:.3f} s a million rows"
            if "recall" in row:
                extra = f"recall {row['recall']:.4f}"
            low, high = row["quartiles"]
            lines.append(
                f"| {row['way']} | {row['beside']} | {row['seconds'] * 1e3:,.2f} "
                f"| {row['seconds_beside'] * 1e3:,.2f} | {row['ratio']:.3f} ({low:.3f} to "
                f"{high:.3f}) | {extra} |"
            )
    return "\n".join(lines) + "\n"


def parse() -> argparse.Namespace:
    """Options."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.adapters",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--data", default="minilm-debian", help="a set as bench.pareto takes it")
    add("--rows", type=int, default=0, help="only so many of its rows")
    add("--batch", type=int, default=BATCH, help="queries")
    add("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    add("--repeats", type=int, default=15, help="rounds")
    add("--quiet", type=float, default=3.0, help="seconds to wait for silence before a round")
    add("--threads", type=int, default=2)
    add(
        "--clock",
        choices=CLOCKS,
        default="wall",
        help="cpu: of all threads; where cores are shared",
    )
    add("--out", type=Path, required=True, help="folder for adapters.json and adapters.md")
    return parser.parse_args()


def main() -> None:
    """Measure part by part, write."""
    args = parse()
    data = load(Source(args.data, args.rows, pool=args.batch))
    queries = np.ascontiguousarray(data.pool[: args.batch])
    measure = {"query": query_part, "corpus": corpus_part, "pipeline": pipeline_part}
    result: dict[str, Any] = {
        "data": data.name,
        "rows": data.n,
        "dim": data.dim,
        "queries": len(queries),
        "threads": args.threads,
        "repeats": args.repeats,
        "clock": args.clock,
        "parts": {part: list(measure[part](data.base, queries, args)) for part in args.parts},
        "header": header("adapters", {k: str(v) for k, v in vars(args).items()}),
    }
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "adapters.json").write_text(json.dumps(result, indent=1) + "\n")
    (args.out / "adapters.md").write_text(page(result))
    print(page(result), end="")


if __name__ == "__main__":
    main()
