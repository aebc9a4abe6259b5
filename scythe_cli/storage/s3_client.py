"""The client of a bucket. Input: its name and the machine's AWS configuration. Output: an obstore client.

Also describes an error of that client in one line.
"""

from __future__ import annotations

import ipaddress
import re
import warnings
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scythe_cli.core.printable import mask_secrets, printable
from scythe_cli.errors import InsecureEndpoint, StoreError
from scythe_cli.storage.address import Address, Scheme

if TYPE_CHECKING:
    import botocore.session
    from obstore.auth.boto3 import Boto3CredentialProvider
    from obstore.store import ClientConfig, RetryConfig
    from obstore.store import S3Store as Handle

QUICK = 6.0
"""Seconds of retries until the server has answered once."""
PATIENCE = 90.0
"""Seconds of retries from then on."""
LONGEST = 20_000
"""Characters of an error that are read: a server may answer with any page."""
LIFETIME = timedelta(minutes=10)
"""After half of this obstore asks for credentials again; boto3 renews them at least ten minutes before they expire."""


@dataclass
class Bucket:
    """One bucket and what is known of it.

    Attributes:
        endpoint: the server's address, "" for AWS itself.
        answered: the server has answered something, so an outage is worth waiting for.
        seen: an operation succeeded, so the bucket exists.
        conditional: the server was seen to refuse a second create.
    """

    name: str
    endpoint: str
    region: str
    credentials: Boto3CredentialProvider
    ca_bundle: str = ""
    answered: bool = False
    conditional: bool = False
    _seen: bool = field(default=False, repr=False)

    @classmethod
    def connect(cls, name: str, *, patient: bool) -> Bucket:
        """Read the AWS configuration; nothing is sent to the bucket's server.

        Raises:
            StoreError: no credentials, no region, or an endpoint that is not an address.
        """
        import boto3
        import botocore.session
        from botocore.exceptions import BotoCoreError
        from obstore.auth.boto3 import Boto3CredentialProvider

        try:
            session = botocore.session.Session()
            default = boto3.Session(botocore_session=session)
            endpoint = _endpoint(session)
            credentials = default.get_credentials()
            if credentials is not None:
                credentials.get_frozen_credentials()
            ca_bundle = session.get_config_variable("ca_bundle") or ""
        except BotoCoreError as exc:
            raise StoreError(
                f"cannot use s3://{name}: {_one_line(str(exc))} (check the AWS profile and credentials)"
            ) from exc
        if endpoint and not _URL.fullmatch(endpoint):
            shown = mask_secrets(endpoint)
            raise StoreError(f"cannot use s3://{name}: the endpoint {shown!r} is not an http:// or https:// address")
        if credentials is None:
            raise StoreError(
                f"cannot use s3://{name}: no AWS credentials found"
                " (set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run `aws sso login`)"
            )
        _warn_if_readable(endpoint)
        region = default.region_name or ("us-east-1" if endpoint else "")
        if not region:
            raise StoreError(f"cannot use s3://{name}: no AWS region is set (set AWS_DEFAULT_REGION or the profile's)")
        return cls(name, endpoint, region, Boto3CredentialProvider(session, ttl=LIFETIME), ca_bundle, answered=patient)

    @property
    def seen(self) -> bool:
        return self._seen

    @seen.setter
    def seen(self, value: bool) -> None:
        self._seen = value
        self.answered = self.answered or value

    def handle(self) -> Handle:
        """The client to use now."""
        return self._patient if self.answered else self._quick

    def at_once(self) -> Handle:
        """The client that tries nothing twice."""
        return self._once

    @cached_property
    def _once(self) -> Handle:
        return self._client(0.0, timedelta(seconds=1), read_timeout="8s")

    @cached_property
    def _quick(self) -> Handle:
        return self._client(QUICK, timedelta(seconds=1), read_timeout="8s")

    @cached_property
    def _patient(self) -> Handle:
        return self._client(PATIENCE, timedelta(seconds=4), read_timeout="60s")

    def polars_options(self) -> dict[str, str]:
        """Where the bucket is, as polars takes it."""
        options = {"aws_region": self.region, "aws_virtual_hosted_style_request": "false"}
        if self.endpoint:
            options |= {"aws_endpoint_url": self.endpoint}
            options |= {"aws_allow_http": "true"} if self.endpoint.startswith("http://") else {}
        return options

    def polars_credentials(self) -> tuple[dict[str, str], int | None]:
        """Credentials as polars takes them, and until when they are valid, in seconds since 1970."""
        found = self.credentials()
        until = found["expires_at"]
        keys = {"aws_access_key_id": found["access_key_id"], "aws_secret_access_key": found["secret_access_key"]}
        token = found.get("token")
        return {**keys, **({"aws_session_token": token} if token else {})}, int(until.timestamp()) if until else None

    def _client(self, patience: float, max_backoff: timedelta, *, read_timeout: str) -> Handle:
        from obstore.store import S3Store as Handle

        retry: RetryConfig = {
            "backoff": {"init_backoff": timedelta(seconds=0.2), "max_backoff": max_backoff, "base": 2},
            "max_retries": 1000 if patience else 0,
            "retry_timeout": timedelta(seconds=patience),
        }
        client: ClientConfig = {"connect_timeout": "5s", "read_timeout": read_timeout, "timeout": "10m"}
        options: dict[str, Any] = {"region": self.region, "virtual_hosted_style_request": False}
        if self.endpoint:
            options["endpoint"] = self.endpoint
            client["allow_http"] = self.endpoint.startswith("http://")
        if self.ca_bundle:
            client["root_certificate"] = Path(self.ca_bundle).read_bytes()
        return Handle(
            self.name,
            config=options,  # type: ignore[arg-type]  # a TypedDict cannot be filled step by step
            client_options=client,
            retry_config=retry,
            credential_provider=self.credentials,  # so obstore never asks the instance metadata by itself
        )


def _warn_if_readable(endpoint: str) -> None:
    """Signed requests, and all data, can be read and changed on the way to an http server of another machine."""
    address = Address.parse(endpoint)
    if address.scheme is Scheme.HTTP and not _is_loopback(address.hostname):
        message = (
            f"{mask_secrets(endpoint)} is not encrypted: others on the network can read and change what goes there"
        )
        warnings.warn(InsecureEndpoint(f"{message}; use https"), stacklevel=2)


def _is_loopback(hostname: str) -> bool:
    try:
        return ipaddress.ip_address(hostname).is_loopback
    except ValueError:
        return hostname == "localhost" or hostname.endswith(".localhost")


def _endpoint(session: botocore.session.Session) -> str:
    """AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, or the profile's endpoint_url, as boto3 reads them."""
    from botocore.configprovider import ConfiguredEndpointProvider

    if str(session.get_config_variable("ignore_configured_endpoint_urls")).lower() == "true":
        return ""
    found = ConfiguredEndpointProvider(
        full_config=session.full_config, scoped_config=session.get_scoped_config(), client_name="s3"
    ).provide()
    return str(found or "").rstrip("/")


@dataclass(frozen=True)
class S3Problem:
    """What an error means.

    Attributes:
        text: what the server said, and what to check, in one line.
        missing: there is no such object, in a bucket that seems to exist.
        answered: it was the server that said so.
    """

    text: str
    missing: bool
    answered: bool


_URL = re.compile(r"https?://([\w.-]+|\[[0-9a-fA-F:]+\])(:\d+)?(/[\w./-]*)?")
_STATUS = re.compile(r"status code: (\d{3} ?[\w ]*)")
_CODE = re.compile(r"<Code>(.*?)</Code>", re.DOTALL)
_MESSAGE = re.compile(r"<Message>(.*?)</Message>", re.DOTALL)
_SYSTEM = re.compile(r'message: "([^"]+)"')
_RENEW = "renew the credentials: AWS_PROFILE, AWS_ACCESS_KEY_ID, `aws sso login`"
_REGION = "check AWS_DEFAULT_REGION: the bucket may be in another region"
_ADVICE = {
    "NoSuchBucket": "check the bucket's name, the region and the endpoint",
    "AccessDenied": "check that these credentials may {operation} there",
    "InvalidAccessKeyId": _RENEW,
    "SignatureDoesNotMatch": _RENEW,
    "ExpiredToken": _RENEW,
    "InvalidToken": _RENEW,
    "TokenRefreshRequired": _RENEW,
    "PermanentRedirect": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "RequestTimeTooSkewed": "set this machine's clock",
    "NotImplemented": "this server cannot do what scythe needs; update it or choose another storage",
    "404": "check the endpoint and the bucket's name",
    "301": _REGION,
    "307": _REGION,
    "401": _RENEW,
    "403": "check that these credentials may {operation} there",
    "5": "the server fails or is overloaded; try again later",
}


def explain(exc: Exception, *, operation: str, endpoint: str) -> S3Problem:
    """Say what an error of obstore means; see probes of its texts in tests/contracts/test_store.py."""
    text = str(exc)[:LONGEST]
    status, code, message = (_first(pattern, text) for pattern in (_STATUS, _CODE, _MESSAGE))
    if "incorrectly configured region" in text:
        status = status or "301 redirected"
    if status:
        advice = _ADVICE.get(code) or _ADVICE.get(status[:3]) or _ADVICE.get(status[:1], "see what the server said")
        said = f"{status}{', ' if code or message else ''}{': '.join(filter(None, (code, message)))}"
        missing = status.startswith("404") and (code == "NoSuchKey" or "performing HEAD" in text)  # HEAD has no body
        return S3Problem(f"{_one_line(said)} ({advice.format(operation=operation)})", missing, answered=True)
    timed_out = "no answer in time" if "TimedOut" in text else ""
    if "ETag Header missing" in text:
        said = f"what answers at {endpoint} is not S3, perhaps a web page"
        check = "(check AWS_ENDPOINT_URL, or the profile's endpoint_url)"
        return S3Problem(f"{said} {check}", missing=False, answered=True)
    host = "the host's name is unknown" if "dns error" in text else ""
    said = host or _first(_SYSTEM, text) or timed_out or _one_line(text.partition("Debug source")[0])
    check = f"(check the endpoint {endpoint or 'of AWS'} and the network)"
    return S3Problem(f"{said} {check}", missing=False, answered=False)


def refused(exc: Exception) -> bool:
    """Whether an error of obstore is the server's refusal of this one request."""
    return _first(_STATUS, str(exc)[:LONGEST]).startswith("4")


def _first(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return found[1].strip() if found else ""


def _one_line(text: str) -> str:
    return printable(" ".join(text.split())[:500])
