// Signs decisions in the browser. The key is imported without a way to export it, and never sent.
"use strict";

const main = document.querySelector("main");
const byId = (id) => document.getElementById(id);

// The service's clock, not the browser's: a signature must not be older than its request.
let said = { now: Number(main.dataset.now), at: performance.now() };
const now = () => said.now + Math.floor((performance.now() - said.at) / 1000);

const bytes = (text) => new TextEncoder().encode(text);

function base64url(buffer) {
  let text = "";
  for (const byte of new Uint8Array(buffer)) text += String.fromCharCode(byte);
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

async function sha256(text) {
  return base64url(await crypto.subtle.digest("SHA-256", bytes(text)));
}

function sorted(value) {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.keys(value).sort().map((name) => [name, sorted(value[name])]));
}

const BOUND = ["action", "agent", "body_length", "body_sha256", "content_type", "created",
  "expires", "id", "method", "roles", "summary", "url"];

// The same as `request_digest` in model.py, over what this page shows.
function digest(request) {
  const bound = Object.fromEntries(BOUND.map((name) => [name, request[name]]));
  return sha256(JSON.stringify(sorted(bound)));
}

class Told extends Error {}

async function loadKey() {
  const name = byId("approver").value.trim();
  if (!name) throw new Told("Say who you are: your name in the directory.");
  const file = byId("key").files[0];
  if (!file) throw new Told("Choose your key: a JWK file.");
  let jwk;
  try {
    jwk = JSON.parse(await file.text());
  } catch {
    throw new Told("This file is no JWK: it is not JSON.");
  }
  if (jwk === null || jwk.kty !== "EC" || jwk.crv !== "P-256" || typeof jwk.d !== "string") {
    throw new Told("This file is no private P-256 JWK.");
  }
  const { kty, crv, x, y, d } = jwk;
  const algorithm = { name: "ECDSA", namedCurve: "P-256" };
  let key;
  try {
    key = await crypto.subtle.importKey("jwk", { kty, crv, x, y, d }, algorithm, false, ["sign"]);
  } catch {
    throw new Told("This file's key cannot be used.");
  }
  const approver = name.startsWith("spiffe://") ? name : `spiffe://iamrange.example/person/${name}`;
  return { key, approver, kid: await sha256(JSON.stringify({ crv, kty, x, y })) };
}

async function sign(signer, typ, claims) {
  const part = (value) => base64url(bytes(JSON.stringify(value)));
  const input = `${part({ alg: "ES256", typ, kid: signer.kid })}.${part(claims)}`;
  const how = { name: "ECDSA", hash: "SHA-256" };
  return `${input}.${base64url(await crypto.subtle.sign(how, signer.key, bytes(input)))}`;
}

const jti = () => base64url(crypto.getRandomValues(new Uint8Array(16)));

async function decide(request, verdict) {
  const signer = await loadKey();
  const decision = await sign(signer, "approval+jwt", {
    approval_id: request.id,
    request_digest: await digest(request),
    decision: verdict,
    approver: signer.approver,
    iat: now(),
    exp: request.expires,
    jti: jti(),
  });
  return asked(`/requests/${encodeURIComponent(request.id)}/decision`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ decision }),
  });
}

async function asked(path, options) {
  let response;
  try {
    response = await fetch(path, { credentials: "omit", cache: "no-store", ...options });
  } catch {
    throw new Told("The service did not answer. Nothing was decided.");
  }
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  const detail = answer.error_description ? `: ${answer.error_description}` : "";
  throw new Told(`Refused: ${answer.error ?? response.status}${detail}`);
}

const DONE = { approved: "Approved.", denied: "Denied." };

function tell(place, text, outcome) {
  place.textContent = text;
  place.classList.remove("done", "failed");
  if (outcome) place.classList.add(outcome);
}

function wire(buttons, place, request, after) {
  for (const button of buttons) {
    button.addEventListener("click", async () => {
      for (const each of buttons) each.disabled = true;
      tell(place, "Signing…");
      try {
        const answer = await decide(request, button.dataset.verdict);
        tell(place, DONE[answer.state] ?? answer.state, "done");
        after(answer);
      } catch (error) {
        tell(place, error instanceof Told ? error.message : "This browser cannot sign.", "failed");
        for (const each of buttons) each.disabled = false;
      }
    });
  }
}

function element(name, text, ...classes) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  made.classList.add(...classes);
  return made;
}

function card(request) {
  const article = element("article", undefined, "request");
  article.append(element("h2", request.summary.title));
  if (request.summary.warnings.length) {
    const list = element("ul", undefined, "warning");
    list.append(...request.summary.warnings.map((text) => element("li", text)));
    article.append(list);
  }
  const facts = element("dl", undefined, "facts");
  for (const [name, value, doubtful] of request.summary.rows) {
    facts.append(element("dt", name), element("dd", value, ...(doubtful ? ["doubtful"] : [])));
  }
  const left = element("p", undefined, "note");
  const time = element("time");
  time.dataset.expires = request.expires;
  left.append("Ends ", time, ".");
  const buttons = ["deny", "approve"].map((verdict) => {
    const button = element("button", verdict === "deny" ? "Deny" : "Approve", verdict);
    button.type = "button";
    button.dataset.verdict = verdict;
    return button;
  });
  const row = element("p", undefined, "buttons");
  row.append(...buttons);
  const result = element("p", undefined, "result");
  result.setAttribute("role", "status");
  article.append(facts, left, row, result);
  wire(buttons, result, request, () => row.remove());
  return article;
}

async function showList() {
  const list = byId("list");
  list.replaceChildren(element("p", "Asking…"));
  try {
    const signer = await loadKey();
    said = { now: (await asked("/now")).now, at: performance.now() };
    const at = now();
    const view = await sign(signer, "approval-view+jwt", {
      viewer: signer.approver,
      htm: "GET",
      htu: `${location.origin}/pending`,
      iat: at,
      exp: at + 60,
      jti: jti(),
    });
    const answer = await asked("/pending", { headers: { Authorization: `Person ${view}` } });
    // a computer that slept in between has counted too little
    said = { now: answer.now, at: performance.now() };
    const cards = answer.requests.map(card);
    list.replaceChildren(...(cards.length ? cards : [element("p", "Nothing waits for you.")]));
    countDown();
  } catch (error) {
    const text = error instanceof Told ? error.message : "This browser cannot sign.";
    list.replaceChildren(element("p", text, "result", "failed"));
  }
}

function countDown() {
  for (const time of document.querySelectorAll("time[data-expires]")) {
    const left = Number(time.dataset.expires) - now();
    const minutes = Math.floor(left / 60);
    const seconds = String(left % 60).padStart(2, "0");
    time.textContent = left > 0 ? `in ${minutes}:${seconds}` : "now: it has expired";
  }
}

if (main.dataset.page === "review") {
  const request = JSON.parse(main.dataset.request);
  const buttons = [...document.querySelectorAll("button[data-verdict]")];
  wire(buttons, byId("outcome"), request, (answer) => {
    document.querySelector(".decide").remove();
    byId("state").className = `state ${answer.state}`;
    byId("state").textContent = `This request is ${answer.state}.`;
  });
  // what is signed is what is shown: the digest beside it is this page's own
  digest(request).then((found) => { byId("digest").textContent = found; });
} else if (main.dataset.page === "front") {
  byId("show").addEventListener("click", showList);
}

countDown();
setInterval(countDown, 1000);
