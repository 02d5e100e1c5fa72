"""How the support agent reads: any text in, plain paragraphs out, hidden ones among them.

- A model reads everything that it is given: comments, attributes, what is styled away, what is
  written in characters that no reader sees.
- Every step is linear in the text's length and never fails: what cannot be parsed is read as it
  stands.
"""

from __future__ import annotations

import html
import re
import unicodedata

from scenarios.support_llm_calls import word_set

_TAGS = range(0xE0020, 0xE007F)
"""Unicode's tag characters: an invisible copy of ASCII."""

_INVISIBLE = {
    *range(0x200B, 0x2010),
    *range(0x202A, 0x202F),
    *range(0x2060, 0x2070),
    *range(0xFE00, 0xFE10),
    0x00AD,
    0x034F,
    0x061C,
    0x180E,
    0xFEFF,
    *range(0xE0000, 0xE0020),
    *range(0xE007F, 0xE01F0),
}
_LOOK_ALIKES = str.maketrans("аеорсухіјѕһԁɡΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "aeopcyxijshdgABEZHIKMNOPTYX")  # noqa: RUF001 - they are the point
_DASHES = str.maketrans("‐‑‒–—―−“”„«»‘’‚‹›", "-------\"\"\"\"\"'''''")  # noqa: RUF001 - same

_ATTRIBUTES = re.compile(
    r"""([a-zA-Z_:][\w:.-]{0,60})\s{0,8}=\s{0,8}("[^"]*"|'[^']*'|[^\s"'<>`]+)"""
)
_SPEAKING = (
    "alt",
    "title",
    "content",
    "aria-",
    "data-",
    "placeholder",
    "value",
    "summary",
    "label",
)
_BLOCKS = word_set(
    "p div br li ul ol tr td th table section article header footer h1 h2 h3 h4 h5 h6 pre "
    "blockquote hr script style template noscript head body html title form option"
)
_HTML = re.compile(r"<!--|</?[a-zA-Z][a-zA-Z0-9]*(?:\s[^<>]*)?/?>|<!doctype", re.IGNORECASE)
_CALL_TAGS = frozenset(("invoke", "parameter", "tool_call", "function_calls", "tool_use", "tool"))
_REFANG = (
    (re.compile(r"\bhxxp(s?)\b", re.IGNORECASE), r"http\1"),
    (re.compile(r"\s?[\[({]\s?(?:\.|dot)\s?[\])}]\s?", re.IGNORECASE), "."),
    (re.compile(r"[\[({]:[\])}]"), ":"),
    (re.compile(r"[\[({]://[\])}]"), "://"),
    (re.compile(r"\b(https?)\s{0,3}:\s{0,3}/\s?/\s{0,3}(?=[a-z0-9])", re.IGNORECASE), r"\1://"),
)
_SPACED = re.compile(r"(?<!\S)(?:\S ){3,400}\S(?!\S)")
_IMAGE = re.compile(r"!\[([^\[\]\n]{0,400})\]\(\s*[^\s()]{1,2000}([^()\n]{0,400})\)")
_LINK = re.compile(r"\[([^\[\]\n]{0,400})\]\(\s*<?([^\s<>()]{1,2000})>?([^()\n]{0,400})\)")
_NAMED_LINK = re.compile(r"\[([^\[\]\n]{1,400})\]\[([^\[\]\n]{0,100})\]")
_DEFINITION = re.compile(
    r"^ {0,3}\[([^\[\]\n]{1,100})\]:\s*<?(\S{1,2000}?)>?(?:\s+(.{0,400}))?$", re.MULTILINE
)
_AUTOLINK = re.compile(r"<(https?://[^<>\s]{1,2000})>", re.IGNORECASE)
_EMPHASIS = re.compile(
    r"```\w*|~~|(?<![\w/.=&?-])[*_`|]{1,3}(?=\S)|(?<=\S)[*_`|]{1,3}(?![\w/=&?-])"
)
_OPEN_LINKS = 64
_IDLE_LINK = re.compile(
    r"\W*(?:click here|here|read more|learn more|see more|more|link|this link|view online|"
    r"view in browser|unsubscribe|open|visit us|visit our website)\W*",
    re.IGNORECASE,
)
"""A link's words that everybody writes, and that ask for nothing by themselves."""


def marked_down(text: str) -> str:
    """Return what there is to read in HTML and Markdown, as paragraphs."""
    if _HTML.search(text):
        text = _without_markup(text)
    return _markdown(html.unescape(text))


def characters(text: str) -> str:
    """Undo what changes how a text looks to people or a filter, and not how a model reads it."""
    hidden = "".join(chr(ord(c) - 0xE0000) for c in text if ord(c) in _TAGS)
    seen = "".join(c for c in text if ord(c) not in _INVISIBLE and ord(c) not in _TAGS)
    seen = unicodedata.normalize("NFKC", seen).replace("\r\n", "\n").replace("\r", "\n")
    seen = "".join(c if c >= " " or c in "\n\t" else " " for c in seen)
    seen = seen.translate(_DASHES)
    for pattern, replacement in _REFANG:
        seen = pattern.sub(replacement, seen)
    seen = _SPACED.sub(lambda match: _closed_up(match.group()), seen)
    # A look-alike in a host name is another host, so only words are read through.
    seen = re.sub(r"(?<![\w./:-])[^\W\d_]+(?![\w./:-])", _read_through, seen)
    return f"{seen}\n\n{hidden}" if hidden else seen


def _read_through(match: re.Match[str]) -> str:
    word = match.group()
    return word if word.isascii() else word.translate(_LOOK_ALIKES)


def _closed_up(run: str) -> str:
    """Close `f e t c h` up; words that are set apart by more than one space stay apart."""
    parts = run.split(" ")
    return "".join(parts) if all(len(part) == 1 for part in parts) else run


def _without_markup(text: str) -> str:
    """Read HTML to the end: text, comments, and whatever attributes say."""
    pieces: list[str] = []
    link: list[str] = []
    at = 0
    while True:
        start = text.find("<", at)
        if start < 0:
            break
        pieces.append(text[at:start])
        if text.startswith("<!--", start):
            end = text.find("-->", start + 4)
            inside = text[start + 4 :] if end < 0 else text[start + 4 : end]
            pieces.append(f"\n\n{inside}\n\n")
            at = len(text) if end < 0 else end + 3
            continue
        end = text.find(">", start)
        tag = re.match(r"</?([a-zA-Z][\w-]{0,40})", text[start : start + 64])
        if end < 0 or (tag is None and not text.startswith(("<!", "<?"), start)):
            pieces.append("<")
            at = start + 1
            continue
        at = end + 1
        if tag is not None:
            pieces.append(_tag(tag.group(1).lower(), text[start : end + 1], link))
    pieces.append(text[at:])
    return "".join(pieces)


def _tag(name: str, tag: str, link: list[str]) -> str:
    if name in _CALL_TAGS or tag.lower().startswith("<http"):
        return tag  # a call's own notation, read as such later; or an address in angle brackets
    if tag.startswith("</"):
        if name == "a" and link:
            return f"]({link.pop()})"
        return "\n\n" if name in _BLOCKS else ""
    said = ["\n\n"] if name in _BLOCKS else []
    for attribute, quoted in _ATTRIBUTES.findall(tag):
        value = quoted.strip("\"'")
        if attribute.lower().startswith(_SPEAKING):
            said.append(f"\n\n{value}\n\n")
        elif name == "a" and attribute.lower() == "href" and len(link) < _OPEN_LINKS:
            link.append(value)
            said.append("[")
    return "".join(said)


def _markdown(text: str) -> str:
    """Put a link's address behind its words, read titles and comments, and drop emphasis."""
    named = {name.casefold(): (url, title) for name, url, title in _DEFINITION.findall(text)}
    text = _DEFINITION.sub(lambda m: f"\n\n{_unquoted(m.group(3) or '')}\n\n", text)
    text = _IMAGE.sub(lambda m: f"\n\n{m.group(1)}\n\n{_title(m.group(2))}", text)
    text = _LINK.sub(lambda m: f"{_worded(m.group(1))} {m.group(2)} {_title(m.group(3))}", text)

    def resolved(match: re.Match[str]) -> str:
        url = named.get((match.group(2) or match.group(1)).casefold(), ("", ""))[0]
        return f"{match.group(1)} {url}" if url else match.group()

    text = _NAMED_LINK.sub(resolved, text)
    text = _AUTOLINK.sub(r"\1", text)
    text = re.sub(r"^[ \t]*(?:>[ \t]?)+", "", text, flags=re.MULTILINE)
    return _EMPHASIS.sub(" ", text)


def _worded(words: str) -> str:
    return "link" if _IDLE_LINK.fullmatch(words) else words


def _title(rest: str) -> str:
    said = _unquoted(rest.strip())
    return f"\n\n{said}\n\n" if said else ""


def _unquoted(text: str) -> str:
    return text.strip().strip("\"'()")
