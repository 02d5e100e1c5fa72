"""The page where people read and decide: rendered here, everything escaped, nothing from elsewhere.

- Text from agents passes `html.escape` after `shown`, and the policy allows no script but our own
  file, which builds the list with text nodes: there is nowhere for markup to become markup.
- No frame may hold the page, so that nobody is led to click on what he does not see.
- The signature is made in the browser; the key is read from a file and is never sent.
"""

from __future__ import annotations

import json
from functools import cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Final

from starlette.responses import HTMLResponse, Response

from iamrange.access.approvals.model import ApprovalState

if TYPE_CHECKING:
    from starlette.requests import Request

    from iamrange.access.approvals.model import ApprovalRequest, Row

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    # the address holds the request's id
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cache-Control": "no-store",
}
_STATIC: Final = Path(__file__).parent / "static"
_TYPES: Final = {
    "page.css": "text/css",
    "page.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
_STATES: Final = {
    ApprovalState.PENDING: "waits for a decision",
    ApprovalState.APPROVED: "is approved, and not used yet",
    ApprovalState.DENIED: "is denied",
    ApprovalState.USED: "is approved, and used",
    ApprovalState.EXPIRED: "has expired",
}


def front(now: int) -> Response:
    """Return the page on which a person asks for all that waits."""
    return _page(
        "Approvals",
        f"""<main data-now="{now}" data-page="front">
<h1>What waits for you</h1>
<p class="lead">Load your key to see the requests that you may decide. It stays in this tab.</p>
{_signer("Show what waits")}
<section id="list" aria-label="Requests"></section>
</main>""",
        kind="front",
    )


def review(request: ApprovalRequest, now: int) -> Response:
    """Return the page of one request."""
    document = escape(json.dumps(request.as_json(), ensure_ascii=True))
    undecided = request.state is ApprovalState.PENDING
    withdrawable = request.state is ApprovalState.APPROVED
    decide = ""
    if undecided or withdrawable:
        no = "Deny" if undecided else "Withdraw"
        approve = '<button type="button" class="approve" data-verdict="approve">Approve</button>'
        decide = f"""<section class="decide" aria-labelledby="decide-title">
<h2 id="decide-title">Your decision</h2>
{_signer(None)}
<p class="buttons">
<button type="button" class="deny" data-verdict="deny">{no}</button>
{approve if undecided else ""}
</p>
<p class="note">Signed in this tab with your key, for this request alone. The key is not sent.</p>
</section>"""
    return _page(
        "One request",
        f"""<main data-now="{now}" data-page="review" data-request="{document}">
<p class="state {request.state.value}" id="state">This request {_STATES[request.state]}.</p>
<h1>{escape(request.summary.title)}</h1>
{_warnings(request)}
<dl class="facts">{"".join(_fact(row) for row in request.summary.rows)}</dl>
<dl class="fine">
<dt>may be approved by</dt><dd>{escape(", ".join(sorted(request.roles)))}</dd>
<dt>ends</dt><dd><time data-expires="{request.expires}">in {request.expires - now} s</time></dd>
<dt>request digest</dt><dd><code id="digest">{escape(request.digest())}</code></dd>
</dl>
{decide}
<p id="outcome" role="status" aria-live="polite"></p>
</main>""",
    )


def missing() -> Response:
    """Return what whoever asks for an unknown id sees."""
    text = "<main><h1>There is no such request</h1><p>It may have been long ago.</p></main>"
    return _page("No such request", text, status=404)


def away() -> Response:
    """Return what is seen while nothing can be decided."""
    text = "<main><h1>Approvals cannot answer now</h1><p>Nothing is approved meanwhile.</p></main>"
    response = _page("Not now", text, status=503)
    response.headers["Retry-After"] = "1"
    return response


async def asset(request: Request) -> Response:
    """Return one of the page's own three files."""
    name = request.path_params["name"]
    if name not in _TYPES:
        return Response(status_code=404, headers=HEADERS)
    return Response(_file(name), headers=HEADERS, media_type=_TYPES[name])


@cache
def _file(name: str) -> bytes:
    return (_STATIC / name).read_bytes()


def _page(title: str, main: str, *, status: int = 200, kind: str = "one") -> Response:
    document = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)} - iamrange</title>
<link rel="icon" href="/static/icon.svg">
<link rel="stylesheet" href="/static/page.css">
<script src="/static/page.js" defer></script>
</head>
<body class="{kind}">
<header><a href="/">iamrange approvals</a></header>
{main}
</body>
</html>
"""
    return HTMLResponse(document, status_code=status, headers=HEADERS)


def _signer(button: str | None) -> str:
    end = "" if button is None else f'<button type="button" id="show">{escape(button)}</button>'
    return f"""<div class="signer">
<label for="approver">Your name in the directory</label>
<input id="approver" autocomplete="username" spellcheck="false" autocapitalize="none">
<label for="key">Your key (a JWK file)</label>
<input id="key" type="file" accept=".jwk,.json,application/jwk+json,application/json">
{end}
</div>
<noscript><p class="warning">Signing needs this page's script.</p></noscript>"""


def _warnings(request: ApprovalRequest) -> str:
    items = "".join(f"<li>{escape(text)}</li>" for text in request.summary.warnings)
    return f'<ul class="warning" role="alert">{items}</ul>' if items else ""


def _fact(row: Row) -> str:
    mark = ' class="doubtful"' if row.doubtful else ""
    return f"<dt>{escape(row.name)}</dt><dd{mark}>{escape(row.value)}</dd>"
