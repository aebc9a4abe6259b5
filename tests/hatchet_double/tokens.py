"""The token: an unsigned JWT with the three claims the SDK reads. Whoever shows another one is refused."""

from __future__ import annotations

import base64
import json
import secrets


def _part(claims: dict[str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()


def make_token(*, tenant: str, server_url: str, grpc_address: str) -> str:
    """A token for one double; the signature is a random word, so that no two doubles share a token."""
    claims = {"sub": tenant, "server_url": server_url, "grpc_broadcast_address": grpc_address}
    return f"{_part({'alg': 'none', 'typ': 'JWT'})}.{_part(claims)}.{secrets.token_urlsafe(16)}"
