"""Read and verify AWS request signatures: version 4 (header and query), and S3's version 2 query.

- Pure: an HTTP request, a secret and a moment in; a value out. Nothing is looked up here.
- Every `x-amz-*` header and the host must be signed: what is not signed cannot be believed.
- https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import hmac
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal
from urllib.parse import parse_qsl, quote, unquote, unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from iamrange.clouds.aws.model import HttpRequest

ALGORITHM = "AWS4-HMAC-SHA256"
MAX_SKEW = 15 * 60
MAX_EXPIRES = 7 * 24 * 3600
UNSIGNED = "UNSIGNED-PAYLOAD"
STREAMING = frozenset(
    {
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
    }
)
EMPTY_HASH = hashlib.sha256(b"").hexdigest()

_PART = re.compile(r"^[A-Za-z0-9-]{1,64}$")
_ACCESS_KEY = re.compile(r"^[A-Za-z0-9_]{4,128}$")
_HEX = re.compile(r"^[0-9a-f]{64}$")
_TIMESTAMP = re.compile(r"^\d{8}T\d{6}Z$")
# Parameters by which version 2 says what the answer should look like: they are signed too.
# https://docs.aws.amazon.com/AmazonS3/latest/API/RESTAuthentication.html
_V2_SUBRESOURCES = frozenset(
    [
        "accelerate",
        "acl",
        "cors",
        "defaultObjectAcl",
        "location",
        "logging",
        "partNumber",
        "policy",
        "requestPayment",
        "torrent",
        "versioning",
        "versionId",
        "versions",
        "website",
        "uploads",
        "uploadId",
        "response-content-type",
        "response-content-language",
        "response-expires",
        "response-cache-control",
        "response-content-disposition",
        "response-content-encoding",
        "delete",
        "lifecycle",
        "tagging",
        "restore",
        "storageClass",
        "notification",
        "replication",
        "analytics",
        "metrics",
        "inventory",
        "select",
        "select-type",
        "object-lock",
        "encryption",
        "legal-hold",
        "retention",
    ]
)
V4_QUERY = frozenset(
    {
        "X-Amz-Algorithm",
        "X-Amz-Credential",
        "X-Amz-Date",
        "X-Amz-Expires",
        "X-Amz-SignedHeaders",
        "X-Amz-Signature",
        "X-Amz-Security-Token",
    }
)
V2_QUERY = frozenset({"AWSAccessKeyId", "Signature", "Expires", "x-amz-security-token"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What a request claims to be signed with. Nothing in it is verified."""

    form: Literal["header", "query", "query-v2"]
    access_key_id: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str = field(repr=False)
    timestamp: str
    signed_at: float
    expires: int | None
    session_token: str | None = field(repr=False)
    payload_hash: str

    @property
    def scope(self) -> str:
        """Return the credential scope without the access key."""
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


@dataclass(frozen=True, slots=True)
class Malformed:
    """Why a request's authentication cannot be read."""

    detail: str


def _moment(timestamp: str) -> float | None:
    if not _TIMESTAMP.match(timestamp):
        return None
    try:
        return datetime.strptime(timestamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _credential(text: str) -> tuple[str, str, str, str] | None:
    parts = text.split("/")
    if len(parts) != 5 or parts[4] != "aws4_request":  # noqa: PLR2004 - key, date, region, service
        return None
    key, date, region, service = parts[:4]
    if not (_ACCESS_KEY.match(key) and _PART.match(region) and _PART.match(service)):
        return None
    return key, date, region, service


def read(http: HttpRequest) -> Signature | Malformed | None:
    """Read a request's signature; None when it carries none at all."""
    headers = [value for name, value in http.headers if name.lower() == "authorization"]
    query = parse_qsl(http.query, keep_blank_values=True)
    names = [name for name, _ in query]
    presigned = "X-Amz-Signature" in names or "X-Amz-Algorithm" in names
    version2 = "AWSAccessKeyId" in names or "Signature" in names
    ways = len(headers) + presigned + version2
    if ways == 0:
        return None
    if ways > 1:
        return Malformed("only one way of authentication may be used in a request")
    if headers:
        return _read_header(http, headers[0])
    found = dict(query)
    if len(found) != len(query):
        return Malformed("a query parameter is given more than once")
    return _read_query(http, found) if presigned else _read_version2(found)


def _one_header(http: HttpRequest, name: str) -> str | None:
    values = [value for key, value in http.headers if key.lower() == name]
    return values[0] if len(values) == 1 else None


def _read_header(http: HttpRequest, header: str) -> Signature | Malformed:
    algorithm, _, rest = header.strip().partition(" ")
    if algorithm != ALGORITHM:
        return Malformed(f"the authorization mechanism is not {ALGORITHM}")
    fields: dict[str, str] = {}
    for part in rest.split(","):
        name, equals, value = part.strip().partition("=")
        if not equals or name in fields:
            return Malformed("the authorization header has a part that is no name=value")
        fields[name] = value
    missing = [n for n in ("Credential", "SignedHeaders", "Signature") if not fields.get(n)]
    if missing:
        listed = " ".join(f"Authorization header requires '{n}' parameter." for n in missing)
        return Malformed(listed)
    timestamp = _one_header(http, "x-amz-date") or _http_date(_one_header(http, "date"))
    if timestamp is None:
        return Malformed("Authorization header requires existence of either 'X-Amz-Date' or 'Date'")
    tokens = [v for k, v in http.headers if k.lower() == "x-amz-security-token"]
    if len(tokens) > 1:
        return Malformed("the session token is given more than once")
    return _signature(
        http,
        fields,
        form="header",
        timestamp=timestamp,
        expires=None,
        session_token=tokens[0] if tokens else None,
    )


def _http_date(value: str | None) -> str | None:
    if value is None:
        return None
    if _TIMESTAMP.match(value):
        return value
    try:
        moment = datetime.strptime(value, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
    except ValueError:
        return None
    return moment.strftime("%Y%m%dT%H%M%SZ")


def _read_query(http: HttpRequest, query: dict[str, str]) -> Signature | Malformed:
    if query.get("X-Amz-Algorithm") != ALGORITHM:
        return Malformed(f"X-Amz-Algorithm only supports {ALGORITHM}")
    fields = {
        "Credential": query.get("X-Amz-Credential", ""),
        "SignedHeaders": query.get("X-Amz-SignedHeaders", ""),
        "Signature": query.get("X-Amz-Signature", ""),
    }
    if not all(fields.values()) or "X-Amz-Date" not in query:
        return Malformed(
            "query-string authentication requires X-Amz-Credential, X-Amz-Date, "
            "X-Amz-SignedHeaders and X-Amz-Signature"
        )
    expires = query.get("X-Amz-Expires", "900")
    if not re.fullmatch(r"[0-9]{1,6}", expires) or not 0 < int(expires) <= MAX_EXPIRES:
        return Malformed("X-Amz-Expires must be between 1 and 604800 seconds")
    return _signature(
        http,
        fields,
        form="query",
        timestamp=query["X-Amz-Date"],
        expires=int(expires),
        session_token=query.get("X-Amz-Security-Token"),
    )


def _signature(  # noqa: PLR0913 - the parts of one signature
    http: HttpRequest,
    fields: dict[str, str],
    *,
    form: Literal["header", "query"],
    timestamp: str,
    expires: int | None,
    session_token: str | None,
) -> Signature | Malformed:
    credential = _credential(fields["Credential"])
    if credential is None:
        return Malformed("the credential is not KEY/YYYYMMDD/REGION/SERVICE/aws4_request")
    key, date, region, service = credential
    signed_at = _moment(timestamp)
    if signed_at is None:
        return Malformed("the date must be in the ISO8601 basic format YYYYMMDD'T'HHMMSS'Z'")
    if date != timestamp[:8]:
        return Malformed("the date in the credential scope does not match the request's date")
    if not _HEX.match(fields["Signature"]):
        return Malformed("the signature is not 64 hexadecimal digits")
    signed = tuple(fields["SignedHeaders"].lower().split(";"))
    if signed != tuple(sorted(set(signed))):
        return Malformed("the signed headers are not sorted and distinct")
    present = {name.lower() for name, _ in http.headers}
    must = {"host"} | {name for name in present if name.startswith("x-amz-")}
    unsigned = sorted(must - set(signed))
    if unsigned:
        return Malformed(f"there were headers present that were not signed: {', '.join(unsigned)}")
    absent = sorted(set(signed) - present)
    if absent:
        return Malformed("a signed header is not there: " + ", ".join(_plain(n) for n in absent))
    payload = _payload_hash(http, service, form)
    if isinstance(payload, Malformed):
        return payload
    return Signature(
        form=form,
        access_key_id=key,
        date=date,
        region=region,
        service=service,
        signed_headers=signed,
        signature=fields["Signature"],
        timestamp=timestamp,
        signed_at=signed_at,
        expires=expires,
        session_token=session_token,
        payload_hash=payload,
    )


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9-]", "?", text)[:64]


def _payload_hash(http: HttpRequest, service: str, form: str) -> str | Malformed:
    stated = _one_header(http, "x-amz-content-sha256")
    if service != "s3":
        # Only S3 may leave the body out of the signature.
        return hashlib.sha256(http.body).hexdigest()
    if stated is None:
        return UNSIGNED if form == "query" else Malformed("x-amz-content-sha256 is required")
    if stated == UNSIGNED or stated in STREAMING or _HEX.match(stated):
        return stated
    return Malformed("x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-... or a SHA-256")


def _read_version2(query: dict[str, str]) -> Signature | Malformed:
    key = query.get("AWSAccessKeyId", "")
    expires = query.get("Expires", "")
    signature = query.get("Signature", "")
    if not _ACCESS_KEY.match(key) or not re.fullmatch(r"[0-9]{1,12}", expires) or not signature:
        return Malformed("query-string authentication requires Signature, Expires, AWSAccessKeyId")
    return Signature(
        form="query-v2",
        access_key_id=key,
        date="",
        region="",
        service="s3",
        signed_headers=(),
        signature=signature,
        timestamp=expires,
        signed_at=0.0,
        expires=int(expires),
        session_token=query.get("x-amz-security-token"),
        payload_hash=UNSIGNED,
    )


@functools.lru_cache(maxsize=4096)
def signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    """Derive the key that signs a day's requests to one service in one region."""
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def sign(key: bytes, text: str) -> str:
    """Return the hexadecimal signature of a string to sign."""
    return hmac.digest(key, text.encode(), "sha256").hex()


def _canonical_headers(http: HttpRequest, signed: Iterable[str]) -> str:
    lines = []
    for name in signed:
        values = [" ".join(v.split()) for k, v in http.headers if k.lower() == name]
        lines.append(f"{name}:{','.join(values)}\n")
    return "".join(lines)


def _normalised(path: str) -> str:
    """Resolve dot segments and repeated slashes, as every service but S3 does (RFC 3986 5.2.4)."""
    kept: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del kept[-1:]
        elif part not in ("", "."):
            kept.append(part)
    tail = "/" if path.endswith("/") and kept else ""
    return "/" + "/".join(kept) + tail


def _paths(http: HttpRequest, service: str) -> tuple[str, ...]:
    raw = http.raw_path or "/"
    if service == "s3":
        # Clients sign the path as they send it; some send characters that others escape.
        return raw, quote(unquote_to_bytes(raw), safe="/~")
    return (quote(_normalised(raw), safe="/~"),)


def _queries(http: HttpRequest) -> tuple[str, ...]:
    pairs = [part.partition("=")[::2] for part in http.query.split("&") if part]
    pairs = [pair for pair in pairs if pair[0] != "X-Amz-Signature"]
    sent = "&".join(f"{name}={value}" for name, value in sorted(pairs))
    encoded = [(quote(unquote(n), safe="-_.~"), quote(unquote(v), safe="-_.~")) for n, v in pairs]
    again = "&".join(f"{name}={value}" for name, value in sorted(encoded))
    return (sent,) if sent == again else (sent, again)


def verify(http: HttpRequest, claimed: Signature, secret: str) -> bool:
    """Tell whether the request was signed, as it stands, with that secret."""
    if claimed.form == "query-v2":
        return _verify_version2(http, claimed, secret)
    key = signing_key(secret, claimed.date, claimed.region, claimed.service)
    headers = _canonical_headers(http, claimed.signed_headers)
    names = ";".join(claimed.signed_headers)
    for path in dict.fromkeys(_paths(http, claimed.service)):
        for query in _queries(http):
            parts = [http.method, path, query, headers, names, claimed.payload_hash]
            canonical = "\n".join(parts)
            digest = hashlib.sha256(canonical.encode()).hexdigest()
            text = f"{ALGORITHM}\n{claimed.timestamp}\n{claimed.scope}\n{digest}"
            if hmac.compare_digest(sign(key, text), claimed.signature):
                return True
    return False


def payload_matches(http: HttpRequest, claimed: Signature) -> bool:
    """Tell whether a body hash that S3 was told is the body's (elsewhere we compute it)."""
    if not _HEX.match(claimed.payload_hash):
        return True
    return hmac.compare_digest(hashlib.sha256(http.body).hexdigest(), claimed.payload_hash)


def _verify_version2(http: HttpRequest, claimed: Signature, secret: str) -> bool:
    amz = sorted(
        (name.lower(), " ".join(value.split()))
        for name, value in http.headers
        if name.lower().startswith("x-amz-")
    )
    if claimed.session_token is not None:
        amz = sorted([*amz, ("x-amz-security-token", claimed.session_token)])
    extra = "".join(f"{name}:{value}\n" for name, value in amz)
    query = parse_qsl(http.query, keep_blank_values=True)
    kept = sorted(pair for pair in query if pair[0] in _V2_SUBRESOURCES)
    resource = http.raw_path
    host = (http.header("host") or "").lower().rsplit(":", 1)[0]
    bucket = re.match(r"^(.+)\.s3(?:[.-][a-z0-9-]+)?\.amazonaws\.com$", host)
    if bucket is not None:
        resource = f"/{bucket.group(1)}{resource}"
    if kept:
        resource += "?" + "&".join(f"{n}={v}" if v else n for n, v in kept)
    md5, kind = http.header("content-md5") or "", http.header("content-type") or ""
    text = f"{http.method}\n{md5}\n{kind}\n{claimed.expires}\n{extra}{resource}"
    expected = hmac.digest(secret.encode(), text.encode(), "sha1")
    try:
        given = base64.b64decode(claimed.signature, validate=True)
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(expected, given)


def too_old(claimed: Signature, now: float) -> str | None:
    """Return why the request's date is not of now (the machine's real time), or None."""
    moment = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    if claimed.form == "query-v2":
        return None if now <= (claimed.expires or 0) else "Request has expired"
    if claimed.form == "query" and claimed.service == "s3":
        limit = claimed.signed_at + (claimed.expires or 0)
        if claimed.signed_at > now + MAX_SKEW:
            return "Request is not valid yet"
        return None if now <= limit else "Request has expired"
    # Elsewhere than on S3 a signed URL lives fifteen minutes, whatever X-Amz-Expires says.
    if now - claimed.signed_at > MAX_SKEW:
        return f"Signature expired: {claimed.timestamp} is now earlier than {moment} - 15 min."
    if claimed.signed_at - now > MAX_SKEW:
        return f"Signature not yet current: {claimed.timestamp} is still later than {moment}"
    return None
