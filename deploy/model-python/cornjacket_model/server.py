"""The Open Inference Protocol v2 over HTTP, and what operators ask."""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from cornjacket_model import inference, model
from cornjacket_model.inference import BadRequest
from cornjacket_model.model import Model
from cornjacket_model.status import Status

VERSION = "1"
# Bytes of a request: what inference.MOST_VALUES takes when every digit is written.
MOST_BYTES = 32 * 1024 * 1024


def app(served: Model, status: Status) -> FastAPI:
    """The service around one model; `status` says how far it can be relied on."""
    app = FastAPI(title="Cornjacket model", version=VERSION)
    for prefix in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
        _add_model_routes(app, prefix, served)

    @app.get("/v2")
    async def server_metadata() -> dict[str, Any]:
        return {"name": "cornjacket-model", "version": VERSION, "extensions": []}

    @app.get("/v2/health/live")
    async def live() -> dict[str, Any]:
        return {"live": True}

    @app.get("/v2/health/ready")
    async def ready() -> JSONResponse:
        waits = status.waits()
        body: dict[str, Any] = {"ready": not waits, **({"waits": waits} if waits else {})}
        return JSONResponse(body, status_code=503 if waits else 200)

    @app.get("/metrics")
    async def metrics() -> PlainTextResponse:
        return PlainTextResponse(status.metrics())

    @app.exception_handler(BadRequest)
    async def refused(_: Request, error: BadRequest) -> JSONResponse:
        return JSONResponse({"error": str(error)}, status_code=400)

    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": f"the model failed: {error}"}, status_code=500)

    @app.exception_handler(StarletteHTTPException)
    async def other(_: Request, error: StarletteHTTPException) -> JSONResponse:
        return JSONResponse({"error": str(error.detail)}, status_code=error.status_code)

    return app


def _add_model_routes(app: FastAPI, prefix: str, served: Model) -> None:
    """The methods of a model, which are the same with and without a version in the path."""

    def known(name: str, version: str | None = None) -> None:
        if name != served.name:
            raise HTTPException(404, f"there is no model {name!r} here")
        if version not in (None, served.version):
            raise HTTPException(404, f"there is no version {version!r} of the model {name!r} here")

    async def described(request: Request) -> dict[str, Any]:
        known(**request.path_params)
        return inference.metadata(served)

    async def ready(request: Request) -> dict[str, Any]:
        known(**request.path_params)
        return {"name": served.name, "ready": True}

    async def infer(request: Request) -> JSONResponse:
        known(**request.path_params)
        body = await _body(request)
        # Parsing and scoring take processor time: others are answered meanwhile.
        return JSONResponse(await run_in_threadpool(_infer, served, body))

    methods: list[tuple[str, str, Callable[[Request], Awaitable[Any]]]] = [
        ("GET", prefix, described),
        ("GET", f"{prefix}/ready", ready),
        ("POST", f"{prefix}/infer", infer),
    ]
    for method, path, answers in methods:
        app.add_api_route(path, answers, methods=[method], response_model=None)


def _infer(served: Model, body: bytes) -> dict[str, Any]:
    request = inference.parse(body)
    return inference.answer(served, request, model.score(served, request.windows))


async def _body(request: Request) -> bytes:
    """The body, which is not read beyond its limit."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise BadRequest(f"the body has more than {MOST_BYTES} bytes")
    return bytes(body)
