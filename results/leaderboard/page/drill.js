// A click on a cell: its seeds before and after, where they ran, what they were told, and the command that reruns each.
"use strict";
let opener = null; // what had the focus before

function openCell(variant, pair) {
  if (!$("drill").open) opener = document.activeElement?.dataset?.cell ?? document.activeElement?.dataset?.row ?? null;
  Object.assign(state, { open: variant, pair });
  changed();
}

function drawDrill() {
  const dialog = $("drill"), body = $("drill-body"), row = rowsHere().find((r) => r.variant === state.open);
  if (!row) {
    if (dialog.open) dialog.close();
    return;
  }
  body.replaceChildren();
  const title = put(body, "h2", { id: "drill-title" });
  named(title, row.variant);
  if (state.pair) title.append(` · ${state.pair.replace(":", " → ")}`);
  put(body, "p", { class: "note" }, group().title);
  if (!facts) put(body, "p", {}, unpackError ?? "unpacking the cells …");
  else if (state.pair) pairFacts(body, row, state.pair);
  else pairsOf(body, row);
  if (!dialog.open) dialog.showModal();
}

function closeDrill() {
  if (!state.open) return;
  Object.assign(state, { open: null, pair: null });
  changed();
  const back = opener && (document.querySelector(`[data-cell="${CSS.escape(opener)}"]`) ?? document.querySelector(`[data-row="${CSS.escape(opener)}"]`));
  back?.focus();
}

function headed(parent, heads, label) {
  const holder = put(parent, "div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label }), table = put(holder, "table");
  const tr = put(put(table, "thead"), "tr");
  for (const head of heads) put(tr, "th", { scope: "col", style: "white-space: pre-line" }, head);
  return put(table, "tbody");
}

// All pairs of a variant.
function pairsOf(body, row) {
  const a = attacker(), lines = headed(body, ["pair", "n", `target left\n${a.name}`, "removed", "eligible", "without a number"], "pairs");
  for (const pair of pairsHere()) {
    const cell = row.facts.heat[a.id].get(pair), words = lostWords(row.facts.gaps.get(pair));
    if (!cell && !words && !cellsOf(row, pair).length) continue;
    const tr = put(lines, "tr");
    const button = put(put(tr, "th", { scope: "row" }), "button", { type: "button", class: "open" }, pair);
    button.onclick = () => openCell(row.variant, pair);
    put(tr, "td", {}, cell ? cell.n : 0);
    for (const [mean, h] of [[cell?.after, cell?.halfAfter], [cell?.removed, cell?.halfRemoved]]) put(put(tr, "td", {}, fixed(mean)), "span", { class: "ci" }, interval(h));
    put(tr, "td", {}, cell ? (cell.eligible ? "yes" : "no") : "");
    put(tr, "td", { class: words ? "bad" : "" }, words);
  }
}

function pairFacts(body, row, pair) {
  const back = put(body, "button", { type: "button", class: "open" }, "all pairs of this variant");
  back.onclick = () => openCell(row.variant, null);
  const cells = cellsOf(row, pair), target = pair.split(":")[1], here = attackersHere().filter((a) => row.facts.heat[a.id].has(pair));
  const eligible = row.facts.heat.argmax.get(pair)?.eligible;
  const seeds = row.facts.heat.argmax.get(pair)?.n ?? 0;
  put(body, "p", {}, `${counted(cells.length, "cell")}, ${seeds} with a number. ${eligible === undefined ? "" : eligible ? "The pair counts in the means." : "The pair is not eligible: f_s is too close to chance on this target, and it counts in no mean."}`);
  const lines = headed(body, ["seed", "status", "source\nf_s → protected", ...here.map((a) => `target, ${a.name}\n${a.attack === undefined ? "f_s → protected" : "attacked"}`), "seconds", "key"], "seeds");
  for (const cell of cells) {
    const tr = put(lines, "tr");
    put(tr, "th", { scope: "row" }, cell.seed);
    put(tr, "td", { class: cell.status === "ok" ? "" : "bad" }, cell.status);
    put(tr, "td", {}, `${fixed(cell.train?.own)} → ${fixed(cell.sourceAfter)}`);
    for (const a of here) {
      const tried = cell.tried.find((t) => t.id === a.id && t.target === target), k = Object.keys(data.attackers).indexOf(a.id);
      if (a.attack === undefined) put(tr, "td", {}, `${fixed(cell.train?.before.get(target)?.[k])} → ${fixed(cell.seen.get(target)?.[a.id])}`);
      else put(tr, "td", {}, tried ? (tried.status === "ok" ? fixed(tried.after) : tried.status) : "–");
    }
    put(tr, "td", {}, cell.seconds === null ? "–" : cell.seconds.toFixed(1));
    put(put(tr, "td"), "code", {}, cell.key);
  }
  const means = put(lines, "tr", { class: "mean" });
  put(means, "th", { scope: "row" }, "mean");
  put(means, "td");
  put(means, "td");
  for (const a of here) {
    const cell = row.facts.heat[a.id].get(pair);
    put(put(means, "td", {}, fixed(cell.after)), "span", { class: "ci" }, interval(cell.halfAfter));
  }
  put(means, "td");
  put(means, "td");
  put(body, "p", { class: "note" }, `± is half a 95 % t-interval over the seeds of this pair. Removed: ${here.map((a) => { const c = row.facts.heat[a.id].get(pair); return `${a.name} ${fixed(c.removed)}${interval(c.halfRemoved)}`; }).join(", ") || "–"}.`);
  for (const cell of cells) cellFacts(body, cell);
}

function cellFacts(body, cell) {
  put(body, "h3", {}, `seed ${cell.seed}: ${cell.status}`);
  if (cell.error) put(put(body, "p", { class: "alarm" }), "code", {}, cell.error);
  const list = put(body, "dl");
  const say = (name, text, code = false) => { if (text) { put(list, "dt", {}, name); code ? put(put(list, "dd"), "code", {}, text) : put(list, "dd", {}, text); } };
  say("rerun", cell.rerun, true);
  say("all of it", `mapbench show DIR ${cell.key}`, true);
  say("params", cell.params, true);
  say("flags", cell.flags);
  say("made from", [cell.train ? `f_s ${cell.train.key}` : "", cell.inputs ? `synthesised ${cell.inputs}` : ""].filter(Boolean).join("; "), true);
  say("ran on", cell.status === "missing" ? "" : [cell.device, cell.host && `host ${cell.host}`, cell.torch && `torch ${cell.torch}`, cell.seconds === null ? "" : `${cell.seconds.toFixed(1)} s`, cell.attempt > 1 ? `attempt ${cell.attempt}` : ""].filter(Boolean).join(", "));
  say("commit", cell.commit && cell.commit.slice(0, 10) + (cell.dirty ? " (modified)" : ""), true);
  say("log", cell.log ? `DIR/logs/${cell.key}*.${cell.attempt}.log` : "", true);
  for (const key of cell.inputs.split(" ").filter((key) => pictures[key])) {
    const figure = put(body, "figure");
    put(figure, "img", { src: `data:image/webp;base64,${pictures[key]}`, alt: "real images above, made ones below" });
    put(figure, "figcaption", {}, `synthesised ${key}: for each class real images above made ones`);
  }
  if (cell.curves?.length) drawCurves(body, cell);
  else if (cell.status !== "missing") put(body, "p", { class: "note" }, "Its training curves are not in this page; mapbench show, above, draws them.");
}

// A small line for each thing that was written down per epoch.
function drawCurves(body, cell) {
  const box = put(body, "div", { class: "curves" });
  for (const [name, low, high, levels] of cell.curves) {
    const figure = put(box, "figure"), width = 150, height = 44, last = Math.max(1, levels.length - 1);
    const svg = put(figure, "svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${name}: from ${low} to ${high}` });
    let pen = false, path = "";
    levels.forEach((level, i) => {
      if (level !== null) path += `${pen ? "L" : "M"}${((i / last) * (width - 4) + 2).toFixed(1)} ${(height - 3 - (level / 63) * (height - 6)).toFixed(1)}`;
      pen = level !== null;
    });
    put(svg, "path", { d: path, fill: "none", stroke: "var(--c0)", "stroke-width": 1.4, "stroke-linecap": "round" });
    put(figure, "figcaption", {}, `${name}, ${Number(low.toPrecision(3))} to ${Number(high.toPrecision(3))}`);
  }
}
