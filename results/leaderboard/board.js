// Draws the table, the plane and the heat map from the JSON in #data. Text reaches the page through textContent only.
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
data.rows = data.rows.map((values) => Object.fromEntries(data.fields.map((field, i) => [field, values[i]])));
for (const row of data.rows) {
  for (const cell of [...row.pairs, ...row.gaps]) for (const i of [0, 1]) cell[i] = data.places[cell[i]];
  if (!row.plane) continue;
  const [before, after, seeds, half, ...targets] = row.plane;
  row.plane = { before, after, seeds, half };
  Object.keys(data.attackers).forEach((a, i) => { row.plane["half_" + a] = targets[i]; });
}
const $ = (id) => document.getElementById(id);
const state = { group: 0, attacker: "argmax", sort: null, descending: false, search: "" };
const TEXT = new Set(["variant", "flags"]);
const SVG = "http://www.w3.org/2000/svg";

const fixed = (x) => (x === null || x === undefined ? "–" : x.toFixed(3).replace("-0.000", "0.000"));
const half = (row, name) => {
  const low = row[name + "_low"], high = row[name + "_high"];
  return low === null || high === null || low === undefined ? null : (high - low) / 2;
};
const interval = (h) => (h === null || h === undefined ? "" : "±" + fixed(h));

function put(parent, tag, attributes = {}, text = null) {
  const svg = parent.namespaceURI === SVG || tag === "svg";
  const node = svg ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) if (value !== null && value !== "") node.setAttribute(key, value);
  if (text !== null) node.textContent = text;
  parent.append(node);
  return node;
}

// A variant breaks after its commas, not inside a setting.
const named = (parent, variant) => variant.split(/(?<=,)(?=\S)/).forEach((piece) => put(parent, "span", { class: "piece" }, piece));
const listed = (items) => (items.length > 1 ? items.slice(0, -1).join(", ") + " and " + items.at(-1) : items[0]);

const group = () => data.groups[state.group];
const columns = () => data.columns.filter((c) => c.name !== "flags" || group().rows.some((i) => data.rows[i].flags));
const chosen = (column) => [`target_removed_${state.attacker}`, `target_after_${state.attacker}`].includes(column);

// The rule of ranks, for whichever attacker is chosen: the ranked ones by rank, the rest where the frame's order has them.
function inOrder(rows) {
  const a = state.attacker, removed = (r) => r[`target_removed_${a}`];
  const tier = (r) => (r.pairs_done < r.pairs_expected ? 2 : 0) + (r.within ? 0 : 1);
  const key = (r) => [tier(r), removed(r) === null ? 9 : -removed(r), r[`target_after_${a}`] ?? 9];
  return [...rows].sort((p, q) => {
    const x = key(p), y = key(q);
    return x[0] - y[0] || x[1] - y[1] || x[2] - y[2];
  });
}

function value(row, name) {
  if (name === "rank") return row["rank_" + state.attacker];
  if (name === "n") return row.units;
  if (name === "pairs") return row.pairs_done;
  return row[name];
}

function visible() {
  const rows = inOrder(group().rows.map((i) => data.rows[i])).filter((r) => r.variant.toLowerCase().includes(state.search));
  if (!state.sort) return rows;
  const sign = state.descending ? -1 : 1, name = state.sort;
  return rows.map((row, i) => [row, i]).sort(([p, i], [q, j]) => {
    const x = value(p, name), y = value(q, name);
    if (x === null || x === "") return y === null || y === "" ? i - j : 1; // undefined last, whichever way
    if (y === null || y === "") return -1;
    return (typeof x === "string" ? x.localeCompare(y) : x - y) * sign || i - j;
  }).map(([row]) => row);
}

function drawTable() {
  const table = $("board");
  const focus = document.activeElement?.dataset?.column;
  table.replaceChildren();
  const head = put(put(table, "thead"), "tr");
  for (const column of columns()) {
    const classes = [TEXT.has(column.name) ? "text" : "", column.name === "variant" ? "name" : "", chosen(column.name) ? "chosen" : ""];
    const th = put(head, "th", { scope: "col", class: classes.join(" ").trim(), title: column.help });
    if (state.sort === column.name) th.setAttribute("aria-sort", state.descending ? "descending" : "ascending");
    const button = put(th, "button", { type: "button", "data-column": column.name }, column.head);
    button.onclick = () => {
      state.descending = state.sort === column.name ? !state.descending : column.name.startsWith("target_removed");
      state.sort = column.name;
      drawTable();
    };
    if (focus === column.name) button.focus();
  }
  const body = put(table, "tbody"), rows = visible();
  for (const row of rows) tableRow(body, row);
  if (!rows.length) put(put(body, "tr"), "td", { class: "text", colspan: columns().length }, "no variant of that name");
  const foot = put(table, "tfoot"), all = group().rows.map((i) => data.rows[i]);
  const widest = all.reduce((best, row) => (!best || row.pairs_done > best.pairs_done ? row : best), null);
  if (widest) {
    const before = Object.fromEntries(Object.keys(data.attackers).map((a) => ["target_after_" + a, widest["target_before_" + a]]));
    tableRow(foot, { reference: true, variant: "f_s, unprotected", ...before });
  }
  for (const i of group().untrained) {
    tableRow(foot, { ...data.rows[i], reference: true, variant: "untrained network", source_drop: undefined, st_d: undefined });
  }
}

function tableRow(parent, row) {
  const first = !row.reference && row["rank_" + state.attacker] === 1;
  const tr = put(parent, "tr", { class: row.control ? "control" : first ? "first" : "" });
  for (const { name } of columns()) {
    if (name === "variant") { named(put(tr, "th", { scope: "row", class: "text name" }), row.variant); continue; }
    const td = put(tr, "td", { class: [name === "flags" ? "text flags" : "", chosen(name) ? "chosen" : ""].join(" ").trim() });
    if (name === "rank") {
      td.textContent = row.reference ? "ref" : row.control ? "control" : row["rank_" + state.attacker] ?? "–";
    } else if (name === "flags") {
      td.textContent = row.flags ?? "";
    } else if (name === "n") {
      td.textContent = row.units === undefined ? "" : `${row.seeds}/${row.units}`;
    } else if (name === "pairs") {
      td.textContent = row.units === undefined ? "" : `${row.pairs_done}/${row.pairs_expected}`;
      if (row.pairs_done < row.pairs_expected) td.classList.add("bad");
    } else if (name === "failed") {
      td.textContent = row.failed ?? "";
      if (row.failed) td.classList.add("bad");
    } else if (row[name] !== undefined) {
      td.textContent = fixed(row[name]);
      const h = half(row, name);
      if (h !== null) put(td, "span", { class: "ci" }, interval(h));
    }
  }
}

// The one sentence a reader came for.
function drawReading() {
  const a = state.attacker, rows = group().rows.map((i) => data.rows[i]);
  const best = rows.filter((r) => r["rank_" + a] === 1);
  let text = "No method is ranked: pairs are missing, or no pair is eligible.";
  if (best.length) {
    const one = best[0], h = half(one, "target_removed_" + a);
    const shown = best.length > 4 ? best.slice(0, 3) : best, more = best.length > 4 ? [`${best.length - 3} more`] : [];
    text = `${group().title}: against an attacker who ${data.attackers[a]}, ${listed([...shown.map((r) => r.variant), ...more])} ` +
      `${best.length > 1 ? "share the first rank" : "ranks first"}: ${fixed(one["target_removed_" + a])}${interval(h)} of the target accuracy above chance ` +
      `removed at a source drop of ${listed(shown.map((r) => fixed(r.source_drop) + interval(half(r, "source_drop"))))} ` +
      `(${one.units} train cell${one.units > 1 ? "s" : ""}, ${one.seeds} seed${one.seeds > 1 ? "s" : ""}).`;
    const ahead = inOrder(rows).find((r) => r.control && r.within && r["target_removed_" + a] >= one["target_removed_" + a]);
    if (ahead) text += ` The control ${ahead.variant} removes as much or more: ${fixed(ahead["target_removed_" + a])}${interval(half(ahead, "target_removed_" + a))}.`;
    if (one.rank_basis === "point") text += " Too few train cells for an interval: the source budget took the estimate.";
    if (!one.within) text += " No method keeps its source drop under 0.02.";
    if (one.seeds < 5) text += " Fewer than five seeds: ranks are not settled.";
  }
  $("reading").textContent = text;
}

const SHAPES = ["M-5 0A5 5 0 1 0 5 0A5 5 0 1 0 -5 0", "M-4.5 -4.5H4.5V4.5H-4.5Z", "M0 -6L5.5 4.5H-5.5Z", "M0 -6L6 0L0 6L-6 0Z"];
const colour = (row, i) => (row.control ? "var(--grey)" : `var(--c${i % 6})`);
function mark(parent, row, i, transform) {
  const hue = colour(row, i);
  put(parent, "path", { d: SHAPES[(i + Math.floor(i / 6)) % 4], transform, fill: row.control ? "var(--paper)" : hue, stroke: hue, "stroke-width": 1.6 });
}

function drawPlane() {
  const box = $("plane"), a = state.attacker, key = $("plane-key");
  box.replaceChildren();
  key.replaceChildren();
  // in the order of the frame, so that a mark keeps its number and colour when the attacker changes
  const rows = group().rows.map((i) => data.rows[i]).filter((r) => r.plane && r["target_after_" + a] !== null);
  if (!rows.length) { put(box, "p", {}, "No eligible pair has a result, so there is nothing to draw."); return; }
  const points = rows.map((row, i) => ({
    row, i, x0: row.plane.before, x1: row.plane.after, hx: row.plane.half, y0: row["target_before_" + a], y1: row["target_after_" + a], hy: row.plane["half_" + a],
  }));
  const width = Math.max(300, box.clientWidth), narrow = width < 640, height = Math.max(narrow ? 330 : 430, 15 * rows.length + 70);
  const margin = { left: 50, right: narrow ? 34 : 210, top: 14, bottom: 44 };
  const low = Math.min(...points.flatMap((p) => [p.x0, p.x1 - (p.hx ?? 0)]));
  const left = Math.max(0, Math.min(0.9, Math.floor((low - 0.02) * 20) / 20));
  const X = (x) => margin.left + ((Math.max(left, Math.min(1, x)) - left) / (1 - left)) * (width - margin.left - margin.right);
  const Y = (y) => margin.top + (1 - Math.max(0, Math.min(1, y))) * (height - margin.top - margin.bottom);
  const svg = put(box, "svg", { width, height, role: "img", "aria-label": "source accuracy against target accuracy, from f_s to each protected model; values in the table below" });
  const step = 1 - left > 0.5 ? 0.2 : 1 - left > 0.2 ? 0.1 : 0.02;
  for (let x = 1; x > left - 1e-9; x -= step) {
    put(svg, "line", { class: "grid", x1: X(x), x2: X(x), y1: Y(0), y2: Y(1) });
    put(svg, "text", { x: X(x), y: Y(0) + 17, "text-anchor": "middle" }, x.toFixed(2));
  }
  for (let y = 0; y <= 1.001; y += 0.2) {
    put(svg, "line", { class: "grid", x1: X(left), x2: X(1), y1: Y(y), y2: Y(y) });
    put(svg, "text", { x: X(left) - 7, y: Y(y) + 4, "text-anchor": "end" }, y.toFixed(1));
  }
  put(svg, "path", { class: "axis", fill: "none", d: `M${X(left)} ${Y(1)}V${Y(0)}H${X(1)}` });
  put(svg, "text", { x: (X(left) + X(1)) / 2, y: height - 6, "text-anchor": "middle" }, "source accuracy");
  put(svg, "text", { transform: `translate(13 ${(Y(0) + Y(1)) / 2}) rotate(-90)`, "text-anchor": "middle" }, `target accuracy, ${a}`);
  const chance = group().chance;
  if (chance) {
    put(svg, "line", { class: "chance", x1: X(left), x2: X(1), y1: Y(chance), y2: Y(chance) });
    put(svg, "text", { class: "soft", x: X(left) + 5, y: Y(chance) - 5 }, `chance ${chance.toFixed(2)}`);
    put(svg, "path", { fill: "none", stroke: "var(--ink)", "stroke-width": 2, d: `M${X(1) - 14} ${Y(chance)}H${X(1)}V${Y(chance) - 14}` });
    put(svg, "text", { x: X(1) - 18, y: Y(chance) + 16, "text-anchor": "end" }, "ideal");
  }
  const layers = [];
  for (const p of points) {
    const g = put(svg, "g"), hue = colour(p.row, p.i), x = X(p.x1), y = Y(p.y1);
    layers.push(g);
    put(g, "title", {}, p.row.variant);
    put(g, "line", { x1: X(p.x0), y1: Y(p.y0), x2: x, y2: y, stroke: hue, "stroke-width": 1.3, opacity: 0.75, "stroke-dasharray": p.row.control ? "2 3" : null });
    if (p.hx !== null) put(g, "path", { stroke: hue, fill: "none", d: `M${X(p.x1 - p.hx)} ${y}H${X(p.x1 + p.hx)}m0 -3v6M${X(p.x1 - p.hx)} ${y - 3}v6` });
    if (p.hy !== null) put(g, "path", { stroke: hue, fill: "none", d: `M${x} ${Y(p.y1 - p.hy)}V${Y(p.y1 + p.hy)}m-3 0h6M${x - 3} ${Y(p.y1 - p.hy)}h6` });
    // the head of the arrow, just before its mark
    const angle = (Math.atan2(y - Y(p.y0), x - X(p.x0)) * 180) / Math.PI;
    if (Math.hypot(x - X(p.x0), y - Y(p.y0)) > 22) put(g, "path", { d: "M-15 -3.5L-7.5 0L-15 3.5Z", fill: hue, transform: `translate(${x} ${y}) rotate(${angle})` });
    mark(g, p.row, p.i, `translate(${x} ${y})`);
  }
  for (const [x, y] of new Map(points.map((p) => [`${p.x0} ${p.y0}`, [p.x0, p.y0]])).values()) {
    put(svg, "circle", { cx: X(x), cy: Y(y), r: 4.5, fill: "var(--ink)" });
  }
  put(svg, "text", { x: X(points[0].x0) - 9, y: Y(points[0].y0) - 8, "text-anchor": "end", "font-style": "italic" }, "f_s");
  // names in the right margin, spread so that none covers another, each tied to its mark
  const names = points.map((p) => ({ p, y: Y(p.y1) })).sort((m, n) => m.y - n.y), gap = 15, floor = Y(0) - 2;
  for (let k = 0; k < names.length; k++) names[k].y = Math.max(names[k].y, k ? names[k - 1].y + gap : margin.top + 4);
  for (let k = names.length - 1; k >= 0; k--) names[k].y = Math.min(names[k].y, k < names.length - 1 ? names[k + 1].y - gap : floor);
  for (const { p, y } of names) {
    const g = layers[p.i], edge = X(1) + 6;
    put(g, "path", { class: "lead", d: `M${X(p.x1) + 8} ${Y(p.y1)}L${edge} ${y}H${edge + 6}` });
    const name = p.row.variant.length > 24 ? p.row.variant.slice(0, 23) + "…" : p.row.variant;
    put(g, "text", { x: edge + 9, y: y + 4 }, narrow ? p.i + 1 : `${p.i + 1}  ${name}`);
  }
  const head = put(put(key, "thead"), "tr");
  const heads = ["no.", "variant", "source accuracy\nf_s → protected", `target accuracy, ${a}\nf_s → protected`, "seeds"];
  heads.forEach((text, k) => put(head, "th", { scope: "col", class: k === 1 ? "text" : "", style: "white-space: pre-line" }, text));
  const body = put(key, "tbody");
  for (const p of points) {
    const tr = put(body, "tr");
    put(tr, "td", {}, p.i + 1);
    const name = put(tr, "th", { scope: "row", class: "text", style: "font-weight: 400" });
    mark(put(name, "svg", { width: 14, height: 14, viewBox: "-7 -7 14 14", "aria-hidden": "true" }), p.row, p.i, null);
    named(name, p.row.variant);
    for (const [from, to, h] of [[p.x0, p.x1, p.hx], [p.y0, p.y1, p.hy]]) {
      put(put(tr, "td", {}, `${fixed(from)} → ${fixed(to)}`), "span", { class: "ci" }, interval(h));
    }
    put(tr, "td", {}, p.row.plane.seeds);
    tr.onmouseenter = () => layers.forEach((g, k) => g.classList.toggle("far", k !== p.i));
    tr.onmouseleave = () => layers.forEach((g) => g.classList.remove("far"));
  }
}

function drawHeat() {
  const table = $("heat"), row = data.rows[$("heat-variant").value], what = Number($("heat-what").value);
  table.replaceChildren();
  if (!row) return;
  const seen = new Map(row.pairs.map((c) => [c[0] + "\n" + c[1], c])), gone = new Map(row.gaps.map((c) => [c[0] + "\n" + c[1], c]));
  const cells = [...row.pairs, ...row.gaps], known = group().domains;
  const along = (k) => [...new Set(cells.map((c) => c[k]))].sort((p, q) => known.indexOf(p) - known.indexOf(q));
  const sources = along(0), targets = along(1);
  const at = 2 * Object.keys(data.attackers).indexOf(state.attacker) + what;
  const head = put(put(table, "thead"), "tr");
  put(head, "th", { scope: "col" }, "source ↓  target →");
  for (const d of targets) put(head, "th", { scope: "col" }, d);
  const body = put(table, "tbody");
  for (const source of sources) {
    const tr = put(body, "tr");
    put(tr, "th", { scope: "row" }, source);
    for (const target of targets) {
      const cell = seen.get(source + "\n" + target), lost = gone.get(source + "\n" + target);
      const words = lost ? ["failed", "skipped", "missing"].map((w, k) => (lost[2 + k] ? `${lost[2 + k]} ${w}` : "")).filter(Boolean).join(", ") : "";
      if (!cell) {
        const td = put(tr, "td", { class: words ? (lost[2] ? "none" : "absent") : "" });
        if (words) put(td, "span", {}, words);
        else if (source === target) td.setAttribute("aria-label", "the source itself");
        continue;
      }
      const [, , seeds, eligible, means, halves] = cell, mean = means[at];
      const td = put(tr, "td", { class: eligible ? "" : "other" }, mean === null ? "–" : fixed(mean / 1000));
      const share = mean === null ? 0 : Math.max(0, Math.min(100, mean / 10));
      td.style.background = `color-mix(in oklab, var(--ramp) ${share * 0.92 + 6}%, var(--paper))`;
      if (share > 45) td.style.color = "var(--on-ramp)";
      const h = halves && halves[at] !== null ? interval(halves[at] / 1000) + " " : "";
      put(td, "span", { class: "small" }, `${h}n = ${seeds}${words ? "; " + words : ""}`);
    }
  }
}

function fillVariants() {
  const select = $("heat-variant");
  select.replaceChildren();
  const rows = inOrder(group().rows.map((i) => data.rows[i]));
  for (const row of [...rows.filter((r) => !r.control), ...rows.filter((r) => r.control)]) {
    put(select, "option", { value: data.rows.indexOf(row) }, row.variant + (row.control ? " (control)" : ""));
  }
}

function draw() { drawReading(); drawTable(); drawPlane(); drawHeat(); }

data.groups.forEach((g, i) => put($("group"), "option", { value: i }, g.title));
if (data.groups.length < 2) {
  $("pick-group").textContent = data.groups.length ? data.groups[0].title : "";
} else {
  $("group").onchange = (event) => { state.group = Number(event.target.value); fillVariants(); draw(); };
}
for (const name of Object.keys(data.attackers)) {
  const label = put($("attackers"), "label");
  const radio = put(label, "input", { type: "radio", name: "attacker", value: name });
  radio.checked = name === state.attacker;
  radio.onchange = () => { state.attacker = name; state.sort = null; draw(); };
  label.append(" " + name);
}
$("search").oninput = (event) => { state.search = event.target.value.toLowerCase(); drawTable(); };
$("heat-variant").onchange = $("heat-what").onchange = drawHeat;

function theme(name, keep) {
  document.documentElement.dataset.theme = name;
  $("theme").textContent = name === "dark" ? "light" : "dark";
  if (keep) try { localStorage.setItem("mapbench-theme", name); } catch { /* a file:// page may have no storage */ }
}
let wanted = null;
try { wanted = localStorage.getItem("mapbench-theme"); } catch { /* as above */ }
theme(wanted || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"), false);
$("theme").onclick = () => theme(document.documentElement.dataset.theme === "dark" ? "light" : "dark", true);
let waiting = 0;
window.addEventListener("resize", () => { cancelAnimationFrame(waiting); waiting = requestAnimationFrame(drawPlane); });
if (data.groups.length) { fillVariants(); draw(); }
