// Source x target maps: one variant in full, or all of them side by side; failed and missing cells are hatched.
"use strict";
const MOST = 200; // cells of all maps together, up to which all are drawn at first

function drawHeat() {
  const box = $("heat"), focus = document.activeElement?.dataset?.cell;
  box.replaceChildren();
  const rows = mapped();
  fillVariants(rows);
  if (!facts) { put(box, "p", { class: "note" }, unpackError ?? "unpacking the cells …"); return; }
  if (!rows.length) { put(box, "p", { class: "note" }, "No variant passes the filters."); return; }
  const all = chosenMap(rows) === "all", drawn = all ? rows : rows.filter((row) => row.variant === chosenMap(rows));
  box.className = all ? "maps" : "";
  for (const row of drawn) {
    const holder = put(box, "div", { class: "scroll" }), table = put(holder, "table", { class: all ? "map small-map" : "map" });
    const caption = put(table, "caption");
    mark(put(caption, "svg", { width: 14, height: 14, viewBox: "-7 -7 14 14", "aria-hidden": "true" }), row, null);
    named(caption, row.variant + (row.control ? " (control)" : ""));
    drawMap(table, row, all);
  }
  if (focus) box.querySelector(`[data-cell="${CSS.escape(focus)}"]`)?.focus();
}

// Methods first, each kind best first.
function mapped() {
  const rows = inOrder(shown());
  return [...rows.filter((r) => !r.control), ...rows.filter((r) => r.control)];
}

function chosenMap(rows) {
  if (state.heat === "all" || rows.some((row) => row.variant === state.heat)) return state.heat;
  return rows.length > 1 && rows.length * pairsHere().length <= MOST ? "all" : rows[0]?.variant;
}

function fillVariants(rows) {
  const select = $("heat-variant");
  select.replaceChildren();
  put(select, "option", { value: "all" }, `all ${rows.length}, side by side`);
  for (const row of rows) put(select, "option", { value: row.variant }, row.variant + (row.control ? " (control)" : ""));
  select.value = chosenMap(rows) ?? "all";
  $("heat-what").value = String(state.what);
}

const lostWords = (counts) => (counts ? ["failed", "skipped", "missing"].map((w, k) => (counts[k] ? `${counts[k]} ${w}` : "")).filter(Boolean).join(", ") : "");

function drawMap(table, row, small) {
  const heat = row.facts.heat[state.attacker], gaps = row.facts.gaps, known = group().domains;
  const names = [...new Set([...heat.keys(), ...gaps.keys()])].filter((pair) => !somePairs() || state.pairs.has(pair)).map((pair) => pair.split(":"));
  const along = (k) => [...new Set(names.map((name) => name[k]))].sort((p, q) => known.indexOf(p) - known.indexOf(q));
  const sources = along(0), targets = along(1), grid = [];
  const head = put(put(table, "thead"), "tr");
  put(head, "th", { scope: "col" }, small ? "↓ →" : "source ↓  target →");
  for (const d of targets) put(head, "th", { scope: "col" }, d);
  const body = put(table, "tbody");
  if (!names.length) put(put(body, "tr"), "td", { class: "text" }, `no pair was attacked by ${attacker().name}`);
  for (const source of sources) {
    const tr = put(body, "tr");
    put(tr, "th", { scope: "row" }, source);
    grid.push(targets.map((target) => mapCell(tr, row, `${source}:${target}`, small)));
  }
  roving(table, grid);
}

// One hue, deeper for more, and letters that can be read on it.
function shade(td, value) {
  const share = Math.max(0, Math.min(1, value));
  td.style.setProperty("--share", `${share * 92 + 6}%`);
  td.classList.add("filled");
  if (share > 0.45) td.classList.add("mid");
  if (share > 0.68) td.classList.add("deep");
}

function mapCell(tr, row, pair, small) {
  const cell = row.facts.heat[state.attacker].get(pair), words = lostWords(row.facts.gaps.get(pair));
  const td = put(tr, "td");
  const [source, target] = pair.split(":");
  if ((!cell && !words) || (somePairs() && !state.pairs.has(pair))) {
    if (source === target) td.setAttribute("aria-label", "the source itself");
    return null;
  }
  const mean = cell ? (state.what ? cell.removed : cell.after) : null, h = cell ? (state.what ? cell.halfRemoved : cell.halfAfter) : null;
  const lost = words && (row.facts.gaps.get(pair)[0] > 0 ? "none" : "absent");
  td.className = [cell && !cell.eligible ? "other" : "", words ? lost : ""].join(" ").trim();
  const said = `${row.variant}, ${source} to ${target}: ${cell ? `${fixed(mean)}${interval(h)}, n = ${cell.n}` : "no number"}${words ? `; ${words}` : ""}`;
  const button = put(td, "button", { type: "button", class: "cell", "data-cell": `${row.variant} ${pair}`, "aria-label": said, title: said });
  button.onclick = () => openCell(row.variant, pair);
  if (cell) {
    shade(td, mean ?? 0);
    put(button, "span", {}, fixed(mean));
    if (!small) put(button, "span", { class: "small" }, `${interval(h)} n = ${cell.n}`.trim());
  }
  if (words) put(button, "span", { class: "small" }, small ? (lost === "none" ? "✕" : "?") : words);
  return button;
}
