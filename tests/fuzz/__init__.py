"""Properties that hold whatever a client sends, and a fuzzer that looks for what breaks them.

``python -m tests.fuzz frames`` and ``python -m tests.fuzz http`` let coverage guide the search;
that takes atheris, which ``pip install '.[fuzz]'`` installs. The properties are plain functions,
and the tests hold them against the seeds in ``corpus/`` without it.
"""
