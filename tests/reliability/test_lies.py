"""Files whose checksums are right and whose contents are not: refused, or safe to use.

The files are made by a second writer of the documented format, which also shows that the
document is enough to read and write one.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import nearfield as nf
import pytest
from reliability import container as c
from reliability import lies
from reliability.child import call
from reliability.samples import ADAPTED, CODED, GRAPHS, KINDS, LISTED, Links, build

Sample = tuple[str, str, bool, int]
SAMPLES: list[Sample] = [
    *((metric, storage, labelled, 0) for metric, storage in KINDS for labelled in (False, True)),
    *LISTED,
    *CODED,
    *GRAPHS,
    *ADAPTED,
]


def true_file(folder: Path, sample: Sample) -> c.Container:
    """Save a sample and read it with the second reader."""
    path = folder / "true.nf"
    metric, storage, labelled, nlist = sample
    build(metric, storage, labelled, 6, 4, nlist).save(path, durable=False)
    return c.parsed(path.read_bytes())


def written(folder: Path, files: Iterable[lies.Lie]) -> dict[str, str]:
    """Write files; return the path and the name of each."""
    names = {}
    for i, (name, content) in enumerate(files):
        path = folder / f"{i}.nf"
        path.write_bytes(c.sealed(content))
        Path(f"{path}.txt").write_text(name)
        names[str(path)] = name
    return names


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: "-".join(map(str, s)))
def test_the_document_describes_the_files(tmp_path: Path, sample: Sample) -> None:
    true = true_file(tmp_path, sample)
    assert c.sealed(true) == (tmp_path / "true.nf").read_bytes()
    meta = true.meta()
    kind = 3 if isinstance(sample[3], Links) else 2 if sample[3] else 1
    assert (meta["kind"], meta["kind_version"]) == (kind, 1)
    assert (meta["dim"], meta["count"], meta["has_labels"]) == (4, 6, int(sample[2]))
    assert c.crc32c(b"123456789") == 0xE3069283


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: "-".join(map(str, s)))
def test_lies_are_refused(tmp_path: Path, sample: Sample) -> None:
    names = written(tmp_path, lies.all_of(true_file(tmp_path, sample)))
    assert len(names) > 120
    found = call("reliability.probe:hostile", list(names), refuse=True)
    wrong = [(names[path], *rest) for path, *rest in found["wrong"]]
    assert wrong == []
    assert found["slowest"] < 1.0
    assert found["grown"] < 16 << 20


@pytest.mark.parametrize(
    "sample",
    [*SAMPLES[:30:7], *LISTED, *CODED, *GRAPHS, *ADAPTED],
    ids=lambda s: "-".join(map(str, s)),
)
def test_unusual_truths_are_opened(tmp_path: Path, sample: Sample) -> None:
    names = written(tmp_path, lies.truths(true_file(tmp_path, sample)))
    found = call("reliability.probe:hostile", list(names), refuse=False)
    assert [(names[path], *rest) for path, *rest in found["wrong"]] == []


def test_a_newer_format_says_what_to_install(tmp_path: Path) -> None:
    true = true_file(tmp_path, ("l2", "float32", False, 0))
    for header in ({1: 2, 2: 2, 8: 0x00020500}, {3: 4, 8: 0x00020500}):
        path = tmp_path / "newer.nf"
        path.write_bytes(c.sealed(c.Container(true.sections, header)))
        with pytest.raises(nf.CorruptFileError, match=r"2\.5\.0.*upgrade"):
            nf.load(path)


@pytest.mark.parametrize("nlist", [0, 3, Links(3)], ids=["flat", "ivf", "hnsw"])
def test_messages_name_the_file_and_the_place(tmp_path: Path, nlist: int) -> None:
    true = true_file(tmp_path, ("l2", "float32", True, nlist))
    names = written(tmp_path, lies.all_of(true))
    for path, name in names.items():
        with pytest.raises(nf.CorruptFileError) as caught:
            nf.load(path)
        assert path in str(caught.value), name
        assert "\n" not in str(caught.value), name


def test_more_lists_than_any_index_has(tmp_path: Path) -> None:
    true = true_file(tmp_path, LISTED[0])
    sizes = true.find(c.LIST_SIZES)
    data = sizes.data + bytes(4 * (2**24 + 1 - sizes.rows))
    sections = [s for s in true.sections if s.type != c.LIST_SIZES]
    many = c.Section(c.LIST_SIZES, c.U32, 2**24 + 1, 1, data, {6: 1})  # not looked at
    path = tmp_path / "many.nf"
    path.write_bytes(c.sealed(c.Container([*sections, many])))
    with pytest.raises(nf.CorruptFileError, match="list_sizes: 16777217 lists"):
        nf.load(path, mmap=True, verify=False)
