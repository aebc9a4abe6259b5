"""The one home of grpc.aio, which has no types: methods in, a running server out."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Never, Protocol

import grpc.aio

Code = grpc.StatusCode


class Context(Protocol):
    """What handlers use of a call."""

    async def abort(self, code: grpc.StatusCode, details: str = "") -> Never: ...


@dataclass(frozen=True)
class Method:
    """One method of a service: the message it takes, its handler, and which of the two directions are streams."""

    request: type[Any]
    handle: Callable[[Any, Context], Awaitable[Any] | AsyncIterator[Any]]
    asks: bool = False
    answers: bool = False

    def handler(self) -> Any:
        make = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
            (True, False): grpc.stream_unary_rpc_method_handler,
            (True, True): grpc.stream_stream_rpc_method_handler,
        }[self.asks, self.answers]
        return make(self.handle, request_deserializer=self.request.FromString, response_serializer=_serialize)


Services = Mapping[str, Mapping[str, Method]]  # by the protocol's names; what is missing answers UNIMPLEMENTED


@dataclass
class Access:
    """The token, known once the ports are; and the calls so far."""

    token: str = ""
    calls: Counter[str] = field(default_factory=Counter)


class _Guard(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # its base has no types
    """Counts each call and refuses those with another token, as the engine does."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], call: Any) -> Any:
        self._access.calls[call.method.rpartition("/")[2]] += 1
        shown = dict(call.invocation_metadata).get("authorization")
        if shown == f"bearer {self._access.token}":
            return await continuation(call)
        return grpc.stream_stream_rpc_method_handler(_refuse)


async def _refuse(requests: AsyncIterator[bytes], context: Context) -> None:
    await context.abort(Code.UNAUTHENTICATED, "invalid auth token")


def _serialize(message: Any) -> bytes:
    data: bytes = message.SerializeToString()
    return data


class GrpcServer:
    """Serves on one address until stopped."""

    def __init__(self, services: Services, access: Access, *, max_message: int) -> None:
        options = [
            ("grpc.max_receive_message_length", max_message),
            ("grpc.max_send_message_length", max_message),
            ("grpc.so_reuseport", 0),
            ("grpc.keepalive_permit_without_calls", 1),  # the SDK pings every 10 s; the default would hang up on it
            ("grpc.http2.max_ping_strikes", 0),
        ]
        self._server = grpc.aio.server(interceptors=[_Guard(access)], options=options)
        for name, methods in services.items():
            handlers = {method: entry.handler() for method, entry in methods.items()}
            self._server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(name, handlers)])

    async def start(self, address: str) -> int:
        """Returns the port, which is free for the taking when the address says 0."""
        port: int = self._server.add_insecure_port(address)
        await self._server.start()
        return port

    async def stop(self) -> None:
        await self._server.stop(grace=None)
