"""The gRPC and the HTTP server of one engine, on loopback; stopped and started again they keep their ports."""

from __future__ import annotations

import socket

from aiohttp import web

from .admin_service import AdminService, WorkflowService
from .dispatcher_service import DispatcherService
from .durable_service import DurableService
from .engine import Engine
from .events_service import EventsService, LogLine
from .guard import http_guard
from .rest import Rest
from .rpc import Access, GrpcServer, Services
from .tokens import make_token

HOST = "127.0.0.1"


class Servers:
    def __init__(self, engine: Engine, access: Access, log_lines: list[LogLine]) -> None:
        self.up = False
        self._engine = engine
        self._access = access
        self._services = _services(engine, log_lines)
        self._grpc_port = 0
        self._http_port = 0
        self._grpc: GrpcServer
        self._http: web.AppRunner

    async def start(self) -> None:
        await self._start_http()
        self._grpc = GrpcServer(self._services, self._access, max_message=self._engine.settings.max_message)
        self._grpc_port = await self._grpc.start(f"{HOST}:{self._grpc_port}")
        self._access.token = self._access.token or make_token(
            tenant=self._engine.tenant,
            server_url=f"http://{HOST}:{self._http_port}",
            grpc_address=f"{HOST}:{self._grpc_port}",
        )
        self.up = True

    async def stop(self) -> None:
        self.up = False
        await self._grpc.stop()
        await self._http.cleanup()

    async def _start_http(self) -> None:
        app = web.Application(middlewares=[http_guard(self._access)])
        app.add_routes(Rest(self._engine).routes())
        self._http = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._http.setup()
        listener = socket.create_server((HOST, self._http_port))
        self._http_port = listener.getsockname()[1]
        await web.SockSite(self._http, listener).start()


def _services(engine: Engine, log_lines: list[LogLine]) -> Services:
    """By the names in the protocol's files."""
    durable = DurableService(engine)
    return {
        "Dispatcher": DispatcherService(engine).methods(),
        "WorkflowService": WorkflowService(engine).methods(),
        "EventsService": EventsService(engine.tenant, durable, log_lines).methods(),
        "v1.AdminService": AdminService(engine).methods(),
        "v1.V1Dispatcher": durable.methods(),
    }
