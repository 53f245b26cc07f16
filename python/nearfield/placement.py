"""Where an index is searched: :class:`PlacedIndex`, what indexes have of :mod:`nearfield.cuda`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Self

    from .cuda.resident import Resident

__all__ = ["PlacedIndex"]


class PlacedIndex:
    """An index that is searched on the CPU or on a device."""

    _resident: Resident | None = None
    """The rows on a device; None: searches run on the CPU."""

    _core: Any

    def _append(
        self, rows: NDArray[Any], labels: NDArray[np.int64] | None, replace: bool, threads: int
    ) -> None:
        """Add rows, as the native index takes them, with the device's help where that is any."""
        holder = self._core if self._resident is None else self._resident
        holder.add(rows, labels, replace, threads)

    def to(self, device: str | Sequence[str]) -> Self:
        """Return the index as it is searched on a device, or on several.

        Parameters
        ----------
        device : str or sequence of str
            ``"cpu"``, ``"cuda"`` (the first device) or ``"cuda:<number>"``; of several devices each
            holds and searches a part of the rows or codes, and the first merges what they find. A
            graph is whole on each, and each answers a part of the queries.

        Returns
        -------
        Index
            Shares everything with this one: rows added to or removed from either are there in both,
            and copied to the device before the next search. The index itself stays on the CPU,
            where this object still searches it.

        Raises
        ------
        ValueError
            No such name of a device, or one twice.
        TypeError
            A kind of index derived from these: it is searched on the CPU.
        DeviceError
            No device or driver, or too little memory.

        Notes
        -----
        Queries on the device (torch, CuPy, anything with ``__dlpack__`` or
        ``__cuda_array_interface__``) give results there, enqueued on the current stream of their
        library or on ``stream=``; queries on the CPU give NumPy arrays. Everything but
        :meth:`search`, transforms within it, and what :meth:`IVFIndex.train`, :meth:`IVFIndex.add`
        and :meth:`HNSWIndex.add` do there runs on the CPU. What a transform of queries on the
        device takes beyond float32 finds nothing.

        Ids are those of the CPU, for the same `nprobe`, `margin` or `recall` where the index has
        lists. Rows that `refine` keeps are what a device has and scores, all that are looked at;
        their codes stay on the CPU, so `rerank` and `epsilon` change nothing there, and ids are
        those of the CPU where these leave no row out. In an :class:`HNSWIndex` they are of the same
        graph with the same scores, but a walk on a device goes by the rows as they are stored, not
        by 4 bits a dimension, and scores all rows that it keeps: at equal `ef_search` it may find
        others. A `recall` chooses `ef_search` and `margin` by what :func:`nearfield.tune` measured
        on the CPU. All rows are scored where few may answer, where a `filter` is a mask on the
        device, and where a walk would keep more rows than a block's memory holds.

        Codes alone stay codes on a device, and searches decode them; not those of an
        :class:`HNSWIndex`, which are decoded once, when they are copied: they take 4 bytes a
        dimension there, as float32 rows do, whatever a code takes.

        Examples
        --------
        >>> import numpy as np, nearfield as nf
        >>> index = nf.FlatIndex(2)
        >>> index.to("cpu").device
        'cpu'
        >>> if nf.devices():
        ...     found = index.to("cuda").search(np.zeros((1, 2)), k=1)
        """
        from .cuda.resident import moved

        return moved(self, device)

    @property
    def device(self) -> str:
        """Where searches run: ``"cpu"`` or ``"cuda:<number>"``, several with commas between."""
        return "cpu" if self._resident is None else self._resident.where
