"""What the constants of the memory are measured by."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from benchmarks import memory
from benchmarks.wire import handshake


def test_each_part_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In small, each comes to something, within what is sensible for it."""
    monkeypatch.setattr(memory, "_PLAYED", 4 * 2**20)
    tls = tmp_path / "server.pem"
    trustme.CA().issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(tls))
    plain = memory.connections(handshake, 200, None)["server"]
    secure = memory.connections(handshake, 200, tls)["server"]
    assert 2_000 < plain < 20_000
    assert 20_000 < secure < 60_000
    assert 20_000 < memory.slow_readers(30, None)["server"] < 200_000
    assert 500 < memory.channels(2_000) < 10_000
    assert 50 < memory.messages(20_480, 64) < 1_000
    assert 1 < memory.largest(2**24) < 6
