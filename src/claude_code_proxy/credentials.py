"""What proves to a provider who asks: its key, the client's own credential, a token of Google's, a signature of AWS's.

Google's and AWS's come from their own libraries, which are optional and imported on use. What they do can take long
(files, metadata servers, token endpoints), so it is done beside the event loop.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from claude_code_proxy.wire.failure import error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from claude_code_proxy.providers import Provider

_CLIENTS: Final = ("authorization", "x-api-key")
_SCOPES: Final = ("https://www.googleapis.com/auth/cloud-platform",)
_LOGIN: Final = "run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS"
_AWS_LOGIN: Final = "set AWS_BEARER_TOKEN_BEDROCK, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or log in with `aws`"

_log = logging.getLogger(__name__)


class Credentials:
    """Every way a provider may want to know who asks. Tokens are kept here while they are good."""

    def __init__(self) -> None:
        self._google, self._aws = _Google(), _Aws()

    async def headers(
        self,
        provider: Provider,
        method: str,
        url: str,
        body: bytes | None,
        client: Mapping[str, str] | None = None,
        *,
        own: str = "",
    ) -> dict[str, str]:
        """The headers that go with this request, to this provider's own address and nowhere else.

        `body` is what will be sent, byte for byte; None if that is not known yet. `client` are the headers of the
        client, names in lower case; its credential is used only by a provider that has no key and whose row says so.
        `own` is the one to use of the provider's several keys; else it is the first.
        Raises `ApiError` that says what is missing. With a key nothing here waits.
        """
        if not provider.api_key and provider.base_url:
            if provider.auth == "google":
                return await self._google.headers(provider.auth_options.get("file", ""))
            if provider.auth == "aws":
                return await self._aws.headers(provider, method, url, body)
            if provider.client_credentials:
                return _clients_own(provider, client or {})
        return provider.credentials(own)


def _clients_own(provider: Provider, client: Mapping[str, str]) -> dict[str, str]:
    if own := {name: client[name] for name in _CLIENTS if client.get(name)}:
        return own
    message = (
        f"The provider {provider.name!r} has no key here, and the request came with none: send your own as"
        f" x-api-key or authorization, or set {provider.api_key_env} for the proxy."
    )
    raise error("authentication_error", message, final=True)


def _library(name: str, extra: str) -> Any:
    """A module of an optional dependency. Raises `ApiError` (401) that says how to install it."""
    try:
        return import_module(name)
    except ImportError:
        message = f"This provider needs {name.partition('.')[0]}: install `claude-code-proxy[{extra}]`."
        raise error("authentication_error", message, final=True) from None


class _Google:
    """Access tokens from Application Default Credentials, by the file that holds them; empty: the usual places.

    A token is renewed some minutes before it expires, once for all requests, which meanwhile use the old one.
    """

    def __init__(self) -> None:
        self._held: dict[str, Any] = {}
        self._renewing: dict[str, asyncio.Task[None]] = {}

    async def headers(self, file: str) -> dict[str, str]:
        held = self._held.get(file)
        state = held.token_state.name if held else "INVALID"
        if state != "FRESH":
            renewing = self._renewing.get(file)
            if renewing is None:
                renewing = self._renewing[file] = asyncio.ensure_future(self._renew(file))
                renewing.add_done_callback(lambda task: self._renewed(file, task))
            if state == "INVALID":
                await asyncio.shield(renewing)  # a client that leaves does not stop it for the others
        headers: dict[str, str] = {}
        self._held[file].apply(headers)
        return {name.lower(): value for name, value in headers.items()}

    async def _renew(self, file: str) -> None:
        self._held[file] = await asyncio.to_thread(_google_token, file, self._held.get(file))

    def _renewed(self, file: str, task: asyncio.Task[None]) -> None:
        del self._renewing[file]
        if not task.cancelled() and (cause := task.exception()):
            _log.warning("Google's access token was not renewed: %s", cause)


def _google_token(file: str, held: Any) -> Any:
    """Google's credentials with a fresh token. Raises `ApiError`."""
    auth = _library("google.auth", "vertex")
    problems = _library("google.auth.exceptions", "vertex")
    transport = _library("google.auth.transport.requests", "vertex")
    try:
        held = held or _google_credentials(auth, file)
        with _library("requests", "vertex").Session() as session:
            held.refresh(transport.Request(session=session))
    except problems.DefaultCredentialsError:
        message = f"There are no Google credentials that can be used: {_LOGIN}."
        raise error("authentication_error", message, final=True) from None
    except problems.TransportError:
        raise error("api_error", "Google's token endpoint cannot be reached.", status=502) from None
    except problems.GoogleAuthError as cause:
        if cause.retryable:
            raise error("api_error", "Google's token endpoint does not work at the moment.", status=502) from None
        message = f"Google's credentials were refused or cannot be renewed: {_LOGIN}."
        raise error("authentication_error", message, final=True) from None
    return held


def _google_credentials(auth: Any, file: str) -> Any:
    if not file:
        return auth.default(scopes=_SCOPES)[0]
    with warnings.catch_warnings():  # it warns of files from strangers; this one is named by the user
        warnings.simplefilter("ignore", DeprecationWarning)
        return auth.load_credentials_from_file(file, scopes=_SCOPES)[0]


class _Aws:
    """Signatures (SigV4) by whatever AWS's own chain of credentials finds.

    The row's `auth_options` name the service and the region, and hold what the user's .env says of an access key
    or a profile, which the library looks for in the real environment only.
    """

    def __init__(self) -> None:
        self._held: dict[str, Any] = {}
        self._lock = threading.Lock()

    async def headers(self, provider: Provider, method: str, url: str, body: bytes | None) -> dict[str, str]:
        if body is None:
            raise error("invalid_request_error", "A request that is not whole yet cannot be signed for AWS.")
        return await asyncio.to_thread(self._signed, provider.auth_options, method, url, body)

    def _signed(self, options: Mapping[str, str], method: str, url: str, body: bytes) -> dict[str, str]:
        auth, request = _library("botocore.auth", "bedrock"), _library("botocore.awsrequest", "bedrock")
        problems = _library("botocore.exceptions", "bedrock")
        for name in ("botocore", "botocore.auth"):  # what they debug with holds the session's token
            logging.getLogger(name).setLevel(logging.INFO)
        try:
            with self._lock:
                credentials = self._credentials(options)
            key = credentials.get_frozen_credentials() if credentials else None
        except problems.BotoCoreError as cause:
            message = f"AWS's credentials cannot be used ({type(cause).__name__}): {_AWS_LOGIN}."
            raise error("authentication_error", message, final=True) from None
        if key is None:
            raise error("authentication_error", f"There are no AWS credentials: {_AWS_LOGIN}.", final=True)
        if not options.get("region"):
            raise error("invalid_request_error", "No AWS region is known: set AWS_REGION.")
        asked = request.AWSRequest(method, url, headers={"content-type": "application/json"}, data=body)
        auth.SigV4Auth(key, options["service"], options["region"]).add_auth(asked)
        return {name.lower(): value for name, value in asked.headers.items()}

    def _credentials(self, options: Mapping[str, str]) -> Any:
        name = json.dumps(sorted(options.items()))
        if held := self._held.get(name):
            return held
        session = _library("botocore.session", "bedrock").Session(profile=options.get("profile") or None)
        if options.get("access_key") and options.get("secret_key"):
            session.set_credentials(options["access_key"], options["secret_key"], options.get("token") or None)
        found = session.get_credentials()
        if found:  # one who has none yet may log in while the proxy runs
            self._held[name] = found
        return found
