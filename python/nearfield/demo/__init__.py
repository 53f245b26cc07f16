"""The demo: the Python standard library as a corpus, its docstrings as questions.

`stdlib` makes the documents and questions, `vectors` encodes them and keeps the result,
`measures` judges and times the search. The command line puts the three together.
"""
