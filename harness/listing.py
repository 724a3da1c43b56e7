"""`mapbench list`: the methods with their params, the backbones, suites and domains there are, as data and as text.

mapbench list methods            mapbench list domains --json
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from harness.cards import NOUNS, cards
from harness.params import IMAGES, bounds
from suites import backbones, domains, schema


def listing(what: str, extra_methods: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Rows for `mapbench list`."""
    if what == "methods":
        order = list(NOUNS)
        found = cards(extra_methods).values()
        return [asdict(c) for c in sorted(found, key=lambda c: (order.index(c.kind), c.control, c.name))]
    if what == "backbones":
        return [
            {
                **{"name": n, "stride": c.stride, "multiple": c.multiple, "gflop64": c.gflop(64)},
                **{"weights": c.weights, "source": c.source},
            }
            for n, c in backbones.CARDS.items()
        ]
    suites = [schema.load_suite(n) for n in schema.builtin() if schema.is_suite(schema.find(n))]
    if what == "suites":
        return [
            {"name": s.suite, "version": s.version, "domains": list(s.domains), "backbones": list(s.recipes)}
            for s in suites
        ]
    used: dict[str, list[str]] = {}
    for suite in suites:
        for domain in suite.domains:
            used.setdefault(domain, []).append(suite.suite)
    every = {**{name: domains.known()[name] for name in used}, **domains.known()}  # in the order of the suites
    return [
        {
            **{"name": name, "about": held.about, "data_set": held.raw.title if held.raw else "embedded"},
            **{"classes": len(held.classes), "suites": used.get(name, [])},
        }
        for name, held in every.items()
    ]


def text(what: str, rows: list[dict[str, Any]]) -> str:
    """`list` for people."""
    if what == "suites":
        wide = max(len(r["name"]) for r in rows) + 2
        return "\n".join(
            f"{r['name']:<{wide}}{', '.join(r['domains'])}; backbones {', '.join(r['backbones'])}" for r in rows
        )
    if what == "domains":
        marked = "each also as NAME@wmV, with a watermark of value V on its images: `watermarks:` in a grid's part"
        own = 'a folder of your own, one folder per class in it: `domains: ["folder:PATH", ...]` in your suite file'
        wide = max(len(r["name"]) for r in rows) + 2
        told = (f"{r['name']:<{wide}}{r['about']}; {', '.join(r['suites']) or 'in no suite'}" for r in rows)
        return "\n".join([*told, marked, own])
    if what == "backbones":
        cost = "least px, and GFLOP of one forward pass at 64 px:"
        return "\n".join([cost, *(f"{r['name']:<10}{r['stride']:>3}{r['gflop64']:>7.3f}  {r['source']}" for r in rows)])
    lines = []
    for r in rows:
        aside = " (control)" if r["control"] else {"synth": " (synthesiser)", "attack": " (attack)"}.get(r["kind"], "")
        form = "; not a plain network: its checkpoint has a shape of its own" if r["control"] and not r["plain"] else ""
        only = " only" if r["fidelity"] == "as-described" and not r["fidelities"] else ""
        lines += [
            f"{r['name']}{aside}",
            f"    {r['summary']}",
            f"    n={IMAGES['default']} {r['target']} images of a target{', and no model' if r['blind'] else ''}"
            if r["kind"] == "attack"
            else f"    {r['scenario']}; {r['fidelity']}{only}; starts from {r['start']}{form}",
        ]
        for name, own in r["fidelities"].items():
            sets = ", ".join(f"{k}={v}" for k, v in own.items())
            lines.append(f"    fidelity={r['fidelity']} ({r['fidelity']}|{name})  {name} sets {sets}")
        for p in r["params"]:
            kind = "|".join(p["choices"]) if p["choices"] else ", ".join(filter(None, (p["type"], bounds(p))))
            default = "none" if p["default"] is None else p["default"]
            lines.append(f"    {p['name']}={default} ({kind})  {p['meaning']}. Default: {p['source']}")
        lines.append("")
    return "\n".join(lines).rstrip()
