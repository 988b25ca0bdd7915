"""`uvicorn server:app` serves the proxy."""

from claude_code_proxy.app import create_app

app = create_app()
