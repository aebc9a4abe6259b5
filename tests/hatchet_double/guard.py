"""In front of the HTTP server: whoever shows another token is refused, and every call is counted."""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from .rpc import Access


def http_guard(access: Access) -> Middleware:
    """403, as the engine answers."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        resource = request.match_info.route.resource
        access.calls[f"{request.method} {resource.canonical if resource else request.path}"] += 1
        if request.headers.get("Authorization") != f"Bearer {access.token}":
            return web.json_response({"message": "Please provide valid credentials"}, status=403)
        return await handler(request)

    return guard


def errors(description: str, *, status: int) -> web.Response:
    return web.json_response({"errors": [{"description": description}]}, status=status)
