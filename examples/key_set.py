"""Make a JWK set of Ed25519 public keys: python key_set.py 2026-11.pem 2026-12.pem > keys.json"""

import json
import sys
from pathlib import Path

from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.algorithms import OKPAlgorithm

keys = []
for path in map(Path, sys.argv[1:]):
    jwk = OKPAlgorithm.to_jwk(load_pem_public_key(path.read_bytes()), as_dict=True)
    keys.append({**jwk, "kid": path.stem, "use": "sig"})
print(json.dumps({"keys": keys}, indent=2))
