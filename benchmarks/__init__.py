"""Orchestra beside other servers, doing the same work on the same machine.

``python -m benchmarks --help`` tells what there is; ``docs/performance.rst`` explains the method
and has the figures.
"""
