"""Retriever: texts in, the texts that answer a question out.

The idea in one sentence: an encoder turns texts into vectors, an index keeps the vectors under
running int64 labels, and a table from label to (id, text, payload) turns answers back into texts.
`retriever_files` writes and reads a saved one.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, overload

import numpy as np
from numpy.typing import NDArray

from .arguments import as_path, as_positive
from .arrays import as_queries
from .progress import Progress, bar
from .retriever_files import Entry, Saved, read_retriever, write_retriever

__all__ = ["Hit", "Retriever", "TextEncoder"]

_CHUNK = 4_096  # texts between two visits to the index: bounds the vectors held outside it
_Id = str | int


class TextEncoder(Protocol):
    """What a retriever needs of an encoder; `nearfield.Encoder` is one.

    Optional attributes: ``metric`` ("cosine", "ip", "l2") chooses the default index, and
    ``fingerprint`` (a JSON-able dict) is stored with the texts and compared when they are loaded.
    """

    @property
    def dim(self) -> int:
        """Length of a vector."""

    def encode(self, texts: list[str], kind: Any) -> NDArray[np.float32]:
        """Return (n, dim) vectors of `texts`; `kind` is "query" or "document"."""


class Hit(NamedTuple):
    """One answer.

    Attributes
    ----------
    id : str or int
        The text's id, as given to `Retriever.add`.
    score : float
        Similarity, larger is better; squared distance, smaller is better, for an "l2" index.
    text : str
        The text itself.
    payload : Any
        What came with the text, None where nothing did.
    """

    id: str | int
    score: float
    text: str
    payload: Any


class Retriever:
    """Search texts by meaning.

    Parameters
    ----------
    encoder : TextEncoder
        Usually a `nearfield.Encoder`; anything with ``dim`` and ``encode(texts, kind=...)``
        will do.
    index : FlatIndex, optional
        An empty index of the encoder's dimension. Default: an exact `FlatIndex` with the metric the
        encoder names, else cosine.

    Raises
    ------
    TypeError, ValueError
        `encoder` lacks an attribute; `index` is not empty or of another dimension.

    Notes
    -----
    Any number of threads may search while others add, remove or save.

    Examples
    --------
    >>> import numpy as np, nearfield as nf
    >>> class Letters:
    ...     dim = 26
    ...     def encode(self, texts, kind):
    ...         rows = [[text.count(chr(97 + i)) for i in range(26)] for text in texts]
    ...         return np.asarray(rows, dtype=np.float32)
    >>> retriever = nf.Retriever(Letters())
    >>> retriever.add(["apple", "banana"], ids=["a", "b"])
    ['a', 'b']
    >>> retriever.search("bananas", k=1)[0].text
    'banana'
    """

    def __init__(self, encoder: TextEncoder, index: Any = None) -> None:
        _check_encoder(encoder)
        if index is None:
            from .flat import FlatIndex

            index = FlatIndex(encoder.dim, getattr(encoder, "metric", "cosine"))
        if not hasattr(index, "dim") or not hasattr(index, "search"):
            raise TypeError(f"index: got {type(index).__name__}, expected a nearfield.FlatIndex")
        if index.dim != encoder.dim:
            raise ValueError(
                f"index: got dimension {index.dim}, expected {encoder.dim}, that of the encoder"
            )
        if len(index):
            raise ValueError(
                f"index: got {len(index)} vectors whose texts are not known, expected an empty "
                "index; to reopen a saved retriever use Retriever.load"
            )
        self.encoder = encoder
        self.index = index
        self._entries: dict[int, Entry] = {}
        self._labels: dict[_Id, int] = {}
        self._next_label = 0
        self._lock = threading.RLock()

    def add(
        self,
        texts: Iterable[str],
        ids: Iterable[str | int] | None = None,
        payload: Iterable[Any] | None = None,
        *,
        progress: Progress = None,
    ) -> list[str | int]:
        """Encode texts and add them.

        Parameters
        ----------
        texts : iterable of str
            At least one text.
        ids : iterable of str or int, optional
            One id per text, new and different. Default: running numbers.
        payload : iterable, optional
            One object per text, handed back with every hit; JSON values, if it is to be saved.
        progress : bool or callable, optional
            As in `Encoder.encode`.

        Returns
        -------
        list of str or int
            The ids, in the order of `texts`.

        Raises
        ------
        TypeError
            A text is not a string, or an id neither a string nor an integer.
        ValueError
            No text, lists of different lengths, an id given twice or already in use, or a text
            whose vector holds NaN or infinity. Whatever the error, nothing has been added.
        """
        rows = _texts(texts)
        payloads = _same_length("payload", payload, len(rows))
        with self._lock:
            names = self._new_ids(ids, len(rows))
            labels = np.arange(self._next_label, self._next_label + len(rows), dtype=np.int64)
            entries = [Entry(*row) for row in zip(names, rows, payloads, strict=True)]
            # The table is filled first: a search running beside this finds a text for every label.
            self._entries.update(zip(labels.tolist(), entries, strict=True))
            try:
                self._encode_into_index(rows, labels, progress)
            except BaseException:
                self.index.remove(labels)
                for label in labels.tolist():
                    del self._entries[label]
                raise
            self._labels.update(zip(names, labels.tolist(), strict=True))
            self._next_label += len(rows)
        return names

    def remove(self, ids: str | int | Iterable[str | int]) -> int:
        """Remove texts.

        Parameters
        ----------
        ids : str, int or iterable of them
            Unknown ids are counted out, not an error.

        Returns
        -------
        int
            How many texts were removed.
        """
        wanted = _listed_ids(ids, "ids")
        with self._lock:
            found = {i: self._labels[i] for i in map(_check_id, wanted) if i in self._labels}
            self.index.remove(np.fromiter(found.values(), dtype=np.int64, count=len(found)))
            for name, label in found.items():
                del self._labels[name], self._entries[label]
        return len(found)

    @overload
    def search(
        self, question: str, k: int = 5, *, filter: Any = None, **params: Any
    ) -> list[Hit]: ...

    @overload
    def search(
        self, question: Sequence[str], k: int = 5, *, filter: Any = None, **params: Any
    ) -> list[list[Hit]]: ...

    def search(
        self, question: str | Sequence[str], k: int = 5, *, filter: Any = None, **params: Any
    ) -> list[Hit] | list[list[Hit]]:
        """Find the texts that answer a question.

        Parameters
        ----------
        question : str or sequence of str
            One question, or many at once.
        k : int
            At most this many hits per question.
        filter : str, int or iterable of them, optional
            Ids of the texts that may answer; unknown ones match nothing.
        **params
            Passed on to the index's ``search``.

        Returns
        -------
        list of Hit, or list of list of Hit
            Best first; fewer than `k` where there are fewer texts. One list per question where
            `question` is a sequence.

        Raises
        ------
        TypeError, ValueError
            A question is not a string; `k` is not a positive integer; the filter holds no ids.
        """
        one = isinstance(question, str)
        questions = [question] if isinstance(question, str) else _texts(question, "question")
        k = as_positive(k, name="k")
        if filter is not None:
            params["filter"] = self._labels_of(filter)
        encoded = self.encoder.encode(questions, kind="query")
        vectors = _vectors(encoded, len(questions), self.index.dim, "question")
        found = self.index.search(vectors, k, **params)
        answers = [
            self._hits(ids[:count], scores[:count])
            for ids, scores, count in zip(found.ids, found.scores, found.counts, strict=True)
        ]
        return answers[0] if one else answers

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the retriever into a folder, all of it or nothing.

        Parameters
        ----------
        folder : path-like
            Made when missing. It gets an index file, the texts as JSON lines, and
            ``retriever.json``, which names the two and is replaced last.

        Raises
        ------
        TypeError
            A payload is not made of JSON values. Nothing has been written.
        OSError
            The folder cannot be written; what was saved there before is still whole.
        """
        with self._lock:
            entries = [(label, self._entries[label]) for label in sorted(self._entries)]
            fingerprint = getattr(self.encoder, "fingerprint", None)
            saved = Saved(self.index, entries, self._next_label, fingerprint)
            write_retriever(as_path(folder, name="folder"), saved)

    @classmethod
    def load(cls, folder: str | os.PathLike[str], encoder: TextEncoder | None = None) -> Retriever:
        """Open a saved retriever.

        Parameters
        ----------
        folder : path-like
            Where it was saved.
        encoder : TextEncoder, optional
            The encoder of the questions to come. Default: the stored one, loaded again.

        Returns
        -------
        Retriever

        Raises
        ------
        ValueError
            `encoder` does not make the vectors of the stored one, or none is stored and none given.
        CorruptFileError
            The files are damaged or do not belong together.
        OSError
            The files cannot be read.

        Warns
        -----
        UserWarning
            `encoder` puts another prompt in front of questions than the stored one.
        """
        path = as_path(folder, name="folder")
        if encoder is not None:
            _check_encoder(encoder)
        saved = read_retriever(path)
        if encoder is None:
            encoder = _stored_encoder(path, saved.fingerprint)
        _compare(saved.fingerprint, getattr(encoder, "fingerprint", None))
        if encoder.dim != saved.index.dim:
            raise ValueError(
                f"encoder: got dimension {encoder.dim}, expected {saved.index.dim}, that of the "
                f"index in {path!r}"
            )
        made = cls.__new__(cls)
        made.encoder, made.index = encoder, saved.index
        made._entries = dict(saved.entries)
        made._labels = {entry.id: label for label, entry in saved.entries}
        made._next_label = saved.next_label
        made._lock = threading.RLock()
        return made

    def __len__(self) -> int:
        return len(self._labels)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str | int | np.integer) and name in self._labels

    def __repr__(self) -> str:
        return f"Retriever({self.encoder!r}) with {len(self)} texts"

    def _new_ids(self, ids: Iterable[str | int] | None, n: int) -> list[_Id]:
        if ids is None:
            names: list[_Id] = []
            at = self._next_label
            while len(names) < n:  # running numbers step over those the user took
                if at not in self._labels:
                    names.append(at)
                at += 1
            return names
        names = [_check_id(name) for name in _same_length("ids", ids, n)]
        seen: set[_Id] = set()
        for name in names:
            if name in self._labels or name in seen:
                where = "given twice" if name in seen else "already in the retriever"
                raise ValueError(f"ids: {name!r} is {where}; remove it first or choose another")
            seen.add(name)
        return names

    def _encode_into_index(
        self, rows: list[str], labels: NDArray[np.int64], progress: Progress
    ) -> None:
        if progress is None and len(rows) < 256:
            progress = False
        with bar(len(rows), "Encoding", "text", progress) as advance:
            for first in range(0, len(rows), _CHUNK):
                part = slice(first, first + _CHUNK)
                vectors = self._encode_chunk(rows[part], first, advance)
                self.index.add(vectors, ids=labels[part])

    def _encode_chunk(self, rows: list[str], first: int, advance: Any) -> NDArray[np.float32]:
        from .encoders import Encoder

        if not isinstance(self.encoder, Encoder):
            encoded = self.encoder.encode(rows, kind="document")
            advance(len(rows))
            return _vectors(encoded, len(rows), self.index.dim, "texts", first)
        reported = 0

        def report(done: int, total: int) -> None:
            nonlocal reported
            advance(done - reported)
            reported = done

        encoded = self.encoder.encode(rows, kind="document", progress=report)
        return _vectors(encoded, len(rows), self.index.dim, "texts", first)

    def _labels_of(self, ids: Any) -> NDArray[np.int64]:
        """Turn a filter by the user's ids into one by the index's labels."""
        with self._lock:
            found = [self._labels.get(name) for name in _listed_ids(ids, "filter")]
        return np.array([label for label in found if label is not None], dtype=np.int64)

    def _hits(self, labels: NDArray[np.int64], scores: NDArray[np.float32]) -> list[Hit]:
        hits = []
        for label, score in zip(labels.tolist(), scores.tolist(), strict=True):
            entry = self._entries.get(label)
            if entry is not None:  # None: removed by another thread since the search
                hits.append(Hit(entry.id, score, entry.text, entry.payload))
        return hits


def _texts(texts: Iterable[str], name: str = "texts") -> list[str]:
    from .encoders.encoder import check_texts

    if not isinstance(texts, Iterable):
        raise TypeError(f"{name}: got {type(texts).__name__}, expected strings")
    rows = check_texts(texts, name)
    if not rows:
        raise ValueError(f"{name}: got an empty list, expected at least one string")
    return rows


def _same_length(name: str, values: Iterable[Any] | None, n: int) -> list[Any]:
    if values is None:
        return [None] * n
    if isinstance(values, str | bytes | Mapping | set | frozenset) or not isinstance(
        values, Iterable
    ):
        raise TypeError(f"{name}: got {type(values).__name__}, expected one value per text")
    found = list(values)
    if len(found) != n:
        raise ValueError(f"{name}: got {len(found)} values, expected {n}, one per text")
    return found


def _check_id(name: Any, argument: str = "ids") -> _Id:
    if isinstance(name, np.integer):
        return int(name)
    if isinstance(name, bool) or not isinstance(name, str | int):
        raise TypeError(f"{argument}: got {name!r} ({type(name).__name__}), expected str or int")
    return name


def _listed_ids(ids: Any, argument: str) -> list[_Id]:
    """Return one id or many as a list."""
    if isinstance(ids, str | int | np.integer):
        ids = [ids]
    if isinstance(ids, bytes | Mapping) or not isinstance(ids, Iterable):
        raise TypeError(
            f"{argument}: got {type(ids).__name__}, expected the ids of texts (str or int)"
        )
    return [_check_id(name, argument) for name in ids]


def _check_encoder(encoder: Any) -> None:
    for name in ("encode", "dim"):
        if not hasattr(encoder, name):
            raise TypeError(
                f"encoder: got {type(encoder).__name__} without {name!r}, expected a "
                "nearfield.Encoder or an object with dim and encode(texts, kind=...)"
            )


def _vectors(encoded: Any, n: int, dim: int, name: str, first: int = 0) -> NDArray[np.float32]:
    """Check what the encoder made of `n` texts, the first of which is number `first`."""
    vectors, one_vector = as_queries(encoded, name="encoder", dim=dim)
    if one_vector or len(vectors) != n:
        got = (dim,) if one_vector else vectors.shape
        raise ValueError(
            f"encoder: got vectors of shape {got} for {n} texts, expected ({n}, {dim})"
        )
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        at = first + int(np.argmin(finite))
        raise ValueError(
            f"{name}: the encoder made a vector with NaN or infinity of text {at}, expected finite "
            "values; change or leave out that text"
        )
    return vectors


def _stored_encoder(folder: str, fingerprint: Mapping[str, Any] | None) -> TextEncoder:
    if fingerprint is None or "model" not in fingerprint:
        raise ValueError(
            f"{folder!r} was saved with an encoder that did not describe itself; pass encoder="
        )
    from .encoders import Encoder

    return Encoder.from_fingerprint(fingerprint)


def _compare(stored: Mapping[str, Any] | None, given: Mapping[str, Any] | None) -> None:
    """Raise where vectors would not match those stored; warn where only questions would differ."""
    if stored is None or given is None:
        return
    differing = {key for key in stored.keys() | given.keys() if stored.get(key) != given.get(key)}
    if stored.get("weights") and stored.get("weights") == given.get("weights"):
        differing -= {"model", "revision"}  # the same parameters from another place
    query_only = differing & {"query_prompt"}
    if differing - query_only:
        told = ", ".join(
            f"{key} {given.get(key)!r} (stored: {stored.get(key)!r})"
            for key in sorted(differing - query_only)
        )
        raise ValueError(
            f"encoder: it does not make the vectors that are stored, it has {told}; pass the "
            "encoder the texts were added with, or leave encoder out to load it"
        )
    if query_only:
        warnings.warn(
            f"questions get the prompt {given.get('query_prompt')!r}, the texts were saved by an "
            f"encoder with {stored.get('query_prompt')!r}; a wrong prompt quietly lowers quality",
            UserWarning,
            stacklevel=3,
        )
