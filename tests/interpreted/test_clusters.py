"""k-means steps by Triton kernels: labels and means by definition, the same bits every time."""

from __future__ import annotations

from pathlib import Path

import nearfield as nf
import numpy as np
import pytest
from oracle import kmeans as oracle
from property import adversarial

torch = pytest.importorskip("torch")
pytest.importorskip("triton")
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy, of what overflows

import nearfield.triton as nt
from interpreted.tensors import DTYPES, assert_caught, tensor
from nearfield.triton import clusters
from nearfield.triton.segments import segments


def wide(x: torch.Tensor) -> np.ndarray:
    return x.double().numpy()


@pytest.mark.parametrize("storage", DTYPES)
@pytest.mark.parametrize("spherical", [False, True])
def test_labels_are_the_definition(storage: str, spherical: bool) -> None:
    rng = np.random.default_rng(1)
    x = torch.from_numpy(rng.standard_normal((35, 20))).to(DTYPES[storage])
    for k in (33, 140):
        centroids = torch.from_numpy(rng.standard_normal((k, 20))).float()
        labels = nt.assign(x, centroids, spherical=spherical)
        expected = oracle.assign(wide(x), wide(centroids), spherical=spherical)
        np.testing.assert_array_equal(labels.numpy(), expected)


@pytest.mark.parametrize("kind", ["ties", "twins", "wild_norms", "zeros", "huge", "near_ties"])
def test_labels_on_hard_data(kind: str) -> None:
    case = adversarial.case(kind, "float32", 150, 9, 12, 3)
    labels = nt.assign(tensor(case.queries), tensor(case.rows)).numpy()
    every = ((case.queries[:, None].astype(np.longdouble) - case.rows[None]) ** 2).sum(axis=2)
    np.testing.assert_array_equal(every[np.arange(12), labels], every.min(axis=1))
    np.testing.assert_array_equal(labels, every.argmin(axis=1))


def test_equal_centroids_go_to_the_smaller_number() -> None:
    rng = np.random.default_rng(2)
    few = rng.standard_normal((10, 16)).astype(np.float32)
    centroids = np.concatenate([few, rng.standard_normal((80, 16)).astype(np.float32) * 9, few])
    for equal in (centroids, np.concatenate([few, few, centroids[10:60]])):
        labels = nt.assign(tensor(few), tensor(equal))
        np.testing.assert_array_equal(labels.numpy(), np.arange(10))


def test_labels_are_those_of_the_cpu() -> None:
    rng = np.random.default_rng(5)
    x = rng.standard_normal((400, 24)).astype(np.float32)
    fitted = nf.KMeans(40, niter=3, seed=1).fit(x)
    labels = nt.assign(tensor(x[:60]), tensor(fitted.centroids))
    np.testing.assert_array_equal(labels.numpy(), fitted.predict(x[:60]))


@pytest.mark.parametrize("storage", DTYPES)
@pytest.mark.parametrize("spherical", [False, True])
def test_means_are_the_definition(
    storage: str, spherical: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "CHUNK", 7)
    rng = np.random.default_rng(4)
    x = torch.from_numpy(rng.standard_normal((60, 70))).to(DTYPES[storage])
    labels = rng.integers(0, 4, 60)
    labels[:30] = 1
    labels[labels == 2] = 0
    start = torch.from_numpy(rng.standard_normal((6, 70))).float()
    means, counts = nt.update(x, tensor(labels), start, spherical=spherical)
    np.testing.assert_array_equal(counts.numpy(), np.bincount(labels, minlength=6))
    full = counts.numpy() > 0
    numbers = np.cumsum(full) - 1
    expected = oracle.means(wide(x), numbers[labels], int(full.sum()), spherical=spherical)
    np.testing.assert_allclose(wide(means)[full], expected, rtol=1e-6, atol=1e-12)
    assert torch.equal(means[~full], start[~full]), "an empty cluster stays"
    again, _ = nt.update(x, tensor(labels.astype(np.int32)), start, spherical=spherical)
    assert torch.equal(means, again)


def test_pieces_hold_every_row_once() -> None:
    kinds = tensor(np.random.default_rng(0).integers(0, 5, 83))
    kinds[kinds == 3] = 2
    cut = segments(kinds, 6, 4)
    seen = []
    for first, count, kind in zip(cut.first, cut.count, cut.kind, strict=True):
        rows = cut.order[first : first + count]
        assert (kinds[rows] == kind).all()
        assert (rows.diff() > 0).all()
        seen.append(rows)
    np.testing.assert_array_equal(torch.cat(seen).sort().values, np.arange(83))
    assert segments(kinds[:0], 2, 4).count.tolist() == [0, 0]


FAULTS = {
    "a centroid off the end": ("kernels.assign", "centroid[None, :] < n_centroids",
                               "centroid[None, :] < n_centroids - 1"),
    "no second best": ("kernels.assign", "next_best = tl.maximum(next_best, runner_up)", "pass"),
    "the last of equal ones": ("kernels.rescan", "tl.min(tl.where(score == most, row, n_rows)",
                               "tl.max(tl.where(score == most, row, -1)"),
    "no margin": ("clusters", ">= scaled(", "< -1e30 + 0 * scaled("),
    "a point too few": ("kernels.assign", "for i in range(count)", "for i in range(count - 1)"),
    "a chunk too few": ("kernels.assign", "tl.load(first_chunk + cluster + 1))",
                        "tl.load(first_chunk + cluster + 1) - 1)"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_caught(
    fault: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert_caught(monkeypatch, tmp_path, FAULTS[fault], labels_and_means)


def labels_and_means() -> None:
    """Run what each of the faults shows in."""
    test_labels_on_hard_data("near_ties")
    test_equal_centroids_go_to_the_smaller_number()
    with pytest.MonkeyPatch.context() as chunks:
        test_means_are_the_definition("float32", False, chunks)
    test_labels_are_the_definition("float32", False)
