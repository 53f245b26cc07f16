"""Retrieval quality on tasks made from real text by code: adapters, lexical modulation, BM25."""
