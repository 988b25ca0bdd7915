# The proxy in a container: `docker compose up -d`, or see docs/docker.md.

FROM python:3.14-slim AS base
WORKDIR /app

FROM base AS build
ENV UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_PYTHON_DOWNLOADS=never
RUN pip install --no-cache-dir uv==0.13.9
# What is installed changes less often than the proxy: a layer of its own.
COPY pyproject.toml uv.lock ./
RUN uv sync --locked --no-dev --extra dashboard --extra postgres --no-install-project
COPY README.md LICENSE ./
COPY src src
RUN uv sync --locked --no-dev --extra dashboard --extra postgres --no-editable

# Without uv, the sources and whatever else the build needed.
FROM base
COPY --from=build /app/.venv .venv
# Readable for the user below, however private the checkout is.
COPY --chmod=644 server.py ./
# uvicorn reads UVICORN_*. A stream that runs when the container is told to stop has DRAIN_TIMEOUT, 25 seconds, to end.
# The user's own folder is /config/claude-code-proxy: mount it to use a config.toml.
# It writes nothing, so it keeps no ledger unless told where: see docs/docker.md.
# Servers beside Docker are not on the container's localhost.
ENV PATH="/app/.venv/bin:$PATH" \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    UVICORN_HOST=0.0.0.0 \
    UVICORN_PORT=4000 \
    XDG_CONFIG_HOME=/config \
    PROXY_LEDGER=off \
    OLLAMA_API_BASE=http://host.docker.internal:11434 \
    LLAMACPP_API_BASE=http://host.docker.internal:8080 \
    LMSTUDIO_API_BASE=http://host.docker.internal:1234 \
    VLLM_API_BASE=http://host.docker.internal:8000 \
    SGLANG_API_BASE=http://host.docker.internal:30000
USER 10001:10001
EXPOSE 4000
# Not urllib: it would ask the proxy that HTTP_PROXY names.
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import http.client, os, sys; line = http.client.HTTPConnection('127.0.0.1', int(os.environ['UVICORN_PORT']), timeout=4); line.request('GET', '/healthz'); sys.exit(line.getresponse().status != 200)"]
CMD ["uvicorn", "server:app"]
