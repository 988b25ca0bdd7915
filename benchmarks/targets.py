"""What is measured: ours, the yardstick, and of others what is installed."""

from __future__ import annotations

import sys
from typing import Final

from processes import HERE, Target, found

MODEL: Final = "bench-%(count)d-%(pause)d"

_UVICORN: Final = (
    *(sys.executable, "-m", "uvicorn", "prototype:app", "--app-dir", str(HERE), "--port", "%(port)d"),
    *("--no-access-log", "--log-level", "warning"),
)
_NGINX: Final = """daemon off; worker_processes 1; pid %(home)s/pid; error_log stderr;
events { worker_connections 8192; }
http {
  access_log off; client_body_temp_path %(home)s/body; proxy_temp_path %(home)s/proxy; fastcgi_temp_path %(home)s/f;
  uwsgi_temp_path %(home)s/u; scgi_temp_path %(home)s/s;
  upstream up { server 127.0.0.1:UPSTREAM_PORT; keepalive 1024; }
  server {
    listen 127.0.0.1:%(port)d; client_max_body_size 64m; client_body_buffer_size 16m;
    location / { proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; }
  }
}
"""
_LITELLM: Final = """model_list:
  - model_name: "*"
    litellm_params: {model: "openai/*", api_base: "%(upstream)s/v1", api_key: sk-bench}
litellm_settings:
  use_chat_completions_url_for_anthropic_messages: true
  drop_params: true
  telemetry: false
  num_retries: 0
general_settings: {disable_spend_logs: true}
"""


def ours(workers: int = 1) -> Target:
    """The product, as it is installed: guard, ledger, figures and log are on."""
    return Target(
        "ours",
        (*(sys.executable, "-m", "claude_code_proxy", "serve", "--port", "%(port)d", "--workers", str(workers)),),
        (f"/openai:{MODEL}/v1/messages", f"/anthropic:{MODEL}/v1/messages"),
        {
            "OPENAI_API_KEY": "sk-bench",
            "OPENAI_BASE_URL": "%(upstream)s/v1",
            "ANTHROPIC_API_KEY": "sk-bench",
            "ANTHROPIC_API_BASE": "%(upstream)s",
            "PREFERRED_PROVIDER": "openai",
        },
    )


def yardstick(*, native: bool) -> Target:
    """The bare prototype."""
    env = {"UPSTREAM": "%(upstream)s", **({"PASS": "1"} if native else {})}
    return Target("prototype", _UVICORN, ("/v1/messages", "/v1/messages"), env)


def others(upstream: int, *, native: bool) -> list[Target]:
    """Of the others, those that are installed. nginx hands bytes through, so it stands beside native requests only."""
    targets: list[Target] = []
    if native and (nginx := found("nginx")):
        files = {"nginx.conf": _NGINX.replace("UPSTREAM_PORT", str(upstream))}
        command: tuple[str, ...] = (nginx, "-p", "%(home)s", "-c", "%(home)s/nginx.conf")
        targets.append(Target("nginx", command, ("", "/v1/messages"), files=files))
    if not native and (litellm := found("litellm")):
        command = (litellm, "--config", "%(home)s/litellm.yaml", "--host", "127.0.0.1", "--port", "%(port)d")
        env = {"LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "NO_DOCS": "True"}
        env["LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY"] = "true"
        targets.append(Target("litellm", command, ("/v1/messages", ""), env, {"litellm.yaml": _LITELLM}))
    return targets
