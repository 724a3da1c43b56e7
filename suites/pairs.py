"""Pairs as a person writes them, in a grid file or after -p: what must work, and what must not.

    mapbench plan digits-mini -p 'uci:*'

    uci:print          source:target
    uci:print+street   a union: both are blocked at once, by one model
    uci:*              the union of all other domains of the suite, which is what an owner wants
    all                every plain domain as the source, every other plain one as its target
    all-at-once        d:* for every plain domain d
    ownership          d:d@wmV for every plain domain d and every watermark V
    authorisation      d@wmV:* for every plain domain d and every watermark V

A plain domain is one without a watermark. The words name no domain, so a grid that uses them takes any suite.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from suites import domains
from suites.errors import SuiteError

Pair = tuple[str, tuple[str, ...]]  # source, targets (sorted)
WORDS = ("all", "all-at-once", "ownership", "authorisation")


def read(text: str, among: Sequence[str], suite: str) -> list[Pair]:
    """The pairs that a text stands for, out of the domains `among` of `suite`; SuiteError where it stands for none."""
    return _family(text, among, suite) if text in WORDS else [_pair(text, among, suite)]


def _family(word: str, among: Sequence[str], suite: str) -> list[Pair]:
    plain = [d for d in among if not domains.is_watermarked(d)]
    if word == "all":
        return [(source, (target,)) for source in plain for target in plain if source != target]
    if word == "all-at-once":
        return [_pair(f"{source}:*", among, suite) for source in plain]
    marked = [d for d in among if domains.is_watermarked(d)]
    if not marked:
        raise SuiteError(f"pairs {word!r}: {suite} has no watermark domains; add `watermarks: [80]` to the grid's part")
    if word == "ownership":
        return [(domains.parse(domain)[0], (domain,)) for domain in marked]
    return [_pair(f"{domain}:*", among, suite) for domain in marked]


def _pair(text: str, among: Sequence[str], suite: str) -> Pair:
    source, colon, rest = text.partition(":")
    if not colon or not rest:
        raise SuiteError(
            f"cannot read pair {text!r}: write source:target, a union as source:a+b or source:*, or {', '.join(WORDS)}"
        )
    targets = rest.split("+") if rest != "*" else [domain for domain in among if domain != source]
    for domain in (source, *targets):
        if domain not in among:
            raise SuiteError(f"pair {text!r}: {suite} has no domain {domain!r}; {_hint(domain, among)}")
    if len({source, *targets}) <= len(targets):
        raise SuiteError(f"pair {text!r} names a domain twice")
    return source, tuple(sorted(targets))


def _hint(domain: str, among: Sequence[str]) -> str:
    if domains.is_watermarked(domain):
        plain, value = domains.parse(domain)
        if plain not in among:
            domains.find(plain)
        return f"add `watermarks: [{value}]` to the grid's part"
    close = get_close_matches(domain, among, 1)
    return f"did you mean {close[0]!r}?" if close else f"it has {', '.join(among)}"
