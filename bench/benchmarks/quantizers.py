"""Quantizers on slices of real data, on one thread: time to train, encode, decode, score; error."""

from __future__ import annotations

from typing import Any

from .slices import library, queries_of, rows_of

CODES = {
    "glove100": ["sq8", "sq4", "pq25x8", "pq50x4", "opq25x8"],
    "sift": ["sq8", "sq4", "pq16x8", "pq64x4", "opq16x8"],
    "minilm-debian": ["sq8", "sq4", "pq48x8", "pq96x4", "opq48x8"],
}
CASES = [f"{name}/{code}" for name, codes in CODES.items() for code in codes]


def _make(nearfield: Any, code: str) -> Any:
    if code.startswith("sq"):
        return nearfield.quant.ScalarQuantizer(int(code[2:]))
    kind = nearfield.quant.OPQ if code.startswith("opq") else nearfield.quant.ProductQuantizer
    m, nbits = code[code.index("pq") + 2 :].split("x")
    return kind(int(m), nbits=int(nbits))


class Codes:
    """20,000 rows of each set."""

    params = (CASES,)
    param_names = ("case",)
    timeout = 600

    def setup(self, case: str) -> None:
        name, code = case.split("/")
        self.nearfield = library()
        self.rows = rows_of(name)
        self.query = queries_of(name, 1)
        self.code = code
        self.quantizer = _make(self.nearfield, code).train(self.rows)
        self.codes = self.quantizer.encode(self.rows)

    def time_train(self, case: str) -> None:
        _make(self.nearfield, self.code).train(self.rows, threads=1)

    def time_encode(self, case: str) -> None:
        self.quantizer.encode(self.rows, threads=1)

    def time_decode(self, case: str) -> None:
        self.quantizer.decode(self.codes, threads=1)

    def time_score_one_query(self, case: str) -> None:
        self.quantizer.scores(self.query, self.codes, "ip", threads=1)

    def track_error(self, case: str) -> float:
        """Return the share of the rows' squared norms that is lost."""
        lost = self.rows - self.quantizer.decode(self.codes)
        return float((lost**2).sum() / (self.rows**2).sum())
