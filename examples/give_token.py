"""Give somebody a token for an hour: python give_token.py token-secret oboe"""

import sys
import time

import jwt

path, name = sys.argv[1:]
with open(path) as file:
    secret = file.read().strip()
print(jwt.encode({"sub": name, "exp": int(time.time()) + 3600}, secret, "HS256"))
