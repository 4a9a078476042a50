"""The server, held against the WebSocket conformance suite of the Autobahn project.

``python -m tests.conformance --help`` tells what there is; ``docs/conformance.rst`` explains it
and has the result.
"""
