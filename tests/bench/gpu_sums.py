"""What follows from the rows that tests/bench/gpu.py measured: cells an hour of a grid, and whether the probe is right.

    PYTHONPATH=. python tests/bench/gpu.py

Computed, not measured, and without a GPU: from the best step of each method on VGG11 at 64 px, and from how much more k
processes get done than one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from harness.executors.memory import CONTEXT_MB, FRAGMENTS, fitting

Rows = dict[str, list[dict[str, Any]]]
SUITE = Path(__file__).resolve().parents[2] / "suites" / "digits.yaml"
IMAGES = (5000, 8000)  # of a domain's train part: NTL's, and the most that the suite takes


def best(row: dict[str, Any]) -> float | None:
    """Milliseconds of a step."""
    return min((row[kind] for kind in ("eager", "graphed") if row.get(kind)), default=None)


def cells(rows: Rows, backbone: str = "vgg11", pixels: int = 64) -> list[str]:
    """The digits grid, as Markdown."""
    suite = yaml.safe_load(SUITE.read_text())
    recipe = suite["recipes"][backbone]
    domains, seeds = len(suite["domains"]), len(suite["grid"]["seeds"])
    steps = [r for r in rows.get("steps", []) if (r.get("backbone"), r.get("pixels")) == (backbone, pixels) and best(r)]
    found: dict[str, dict[str, Any]] = {}
    for one in steps:
        if one["precision"] == "tf32" or one["cell"] not in found:
            found[one["cell"]] = one
    if not found:
        return [f"Cells an hour: no step was measured on {backbone} at {pixels} px."]
    packed = max(
        (r for r in rows.get("packing", []) if (r.get("backbone"), r.get("pixels")) == (backbone, pixels) and "k" in r),
        key=lambda r: r["beside"] if r["way"] == "graphed" else 0, default=None,
    )  # fmt: skip
    gain, k = (packed["beside"], packed["k"]) if packed else (1.0, 1)
    synths = [name for name, row in found.items() if row["synth"]]
    listed = ["f_s", *synths, *(m for m in suite["grid"]["methods"] if m in found and not found[m]["synth"])]
    lines = [
        f"### Cells an hour, computed: {SUITE.name}, {backbone}, {pixels} px", "",
        "| cell | cells | ms a step | " + " | ".join(f"s a cell, {n} images" for n in IMAGES) + " |",
        "|---|---:|---:|" + "---:|" * len(IMAGES),
    ]  # fmt: skip
    total, number = [0.0 for _ in IMAGES], 0
    for name in listed:
        row = found.get("continue" if name == "f_s" else name, {})
        # f_s is trained with SGD, which is not captured
        ms = (row.get("eager") if name == "f_s" else None) or best(row)
        if ms is None:
            continue
        part = recipe["train" if name == "f_s" else "synth" if row["synth"] else "protect"]
        epochs = max(1, round(part["epochs"] * row.get("share", 1.0))) if name != "f_s" else part["epochs"]
        many = seeds * domains * (domains - 1 if row["aimed"] and name != "f_s" else 1)
        took = [1e-3 * ms * epochs * (n // part["batch"]) for n in IMAGES]
        total, number = [a + many * b for a, b in zip(total, took, strict=True)], number + many
        lines.append(f"| {name} | {many} | {ms:.2f} | " + " | ".join(f"{t:.1f}" for t in took) + " |")
    for word, factor in (("one after another", 1.0), (f"k = {k}", gain)):
        hours = [number / (t / factor) * 3600 for t in total]
        lines.append(f"| cells an hour, {word} | {number} | | " + " | ".join(f"{h:.0f}" for h in hours) + " |")
    left = [m for m in suite["grid"]["methods"] if m not in found]
    lines += [
        "", "Steps alone: no start, no scoring, no attack. f_s as `continue`, eager. Not measured here, and not in "
        f"the sum: {', '.join(left) or 'none'}.",
    ]  # fmt: skip
    return lines


def probe(rows: Rows) -> list[str]:
    """The probe's estimates beside what cells took, as Markdown."""
    lines = [
        "### The probe's estimate", "",
        "| net | cells | estimate, MiB | most allocated | most held | of | enough |",
        "|---|---|---:|---:|---:|---|---|",
    ]  # fmt: skip
    for told in rows.get("probe", []):
        same = [
            r for r in rows.get("steps", [])
            if all(r.get(key) == told.get(key) for key in ("backbone", "pixels", "synth"))
        ]  # fmt: skip
        tall = [(r[f"{kind}_held"], r, kind) for r in same for kind in ("eager", "graphed") if f"{kind}_held" in r]
        kind_of = told.get("kind", "")
        if told.get("estimate") is None or not tall:
            lines.append(f"| {told.get('net')} | {kind_of} | {told.get('note') or 'nothing to compare'} | | | | |")
            continue
        held, row, kind = max(tall, key=lambda one: one[0])
        allocated = max(r[f"{k}_mib"] for _, r, k in tall)
        enough = "yes" if told["estimate"] * FRAGMENTS >= held else "NO"
        lines.append(
            f"| {told['net']} | {kind_of} | {told['estimate']:.0f} | {allocated:.0f} | {held:.0f} "
            f"| {row['cell']}, {row['precision']}, {kind} | {enough} |"
        )
        if total := told.get("total"):
            slots = [fitting(mb, total, 16) for mb in (told["estimate"], allocated)]
            told["slots"] = slots
    if len(lines) == 4:
        return ["The probe: not measured."]
    slots = [t["slots"] for t in rows["probe"] if "slots" in t]
    auto = f"`--slots-per-gpu auto`, 16 cores, by estimate and by peak: {slots}." if slots else ""
    said = (
        f"Enough: the estimate times {FRAGMENTS} is what the allocator held. {CONTEXT_MB} MiB of a process are beside."
    )
    return [*lines, "", said, auto]
