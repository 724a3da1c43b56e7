// Who differs from whom on the same train cells: a critical-difference diagram, and how often each is ahead.
"use strict";
const DIFFERENT = data.level; // Holm's p below this: a difference is shown
const MOST_AHEAD = 16; // rows of the matrix: more are not read, and each adds a column

// Lists of neighbours none of which differ, the longest only: the bars of the diagram.
function alike(rows, differ) {
  const found = [];
  rows.forEach((_, i) => {
    let j = i;
    while (j + 1 < rows.length && rows.slice(i, j + 1).every((row) => !differ(row, rows[j + 1]))) j += 1;
    if (j > i && !found.some(([, end]) => end >= j)) found.push([i, j]);
  });
  return found;
}

function drawCompare() {
  const box = $("differences"), wins = $("wins"), note = $("differences-note");
  box.replaceChildren();
  wins.replaceChildren();
  $("win-said").textContent = "";
  const removed = `target_removed_${state.attacker}`;
  const methods = rowsHere().filter((r) => wanted(r) && !r.control && (r[removed] ?? null) !== null).sort((p, q) => q[removed] - p[removed]);
  const found = methods.flatMap((p, i) => methods.slice(i + 1).map((q) => between(p, q))).filter(Boolean);
  note.textContent = compareNote(methods, found);
  if (methods.length && found.length) diagram(box, methods, removed, found.some((c) => c.low !== null));
  const controls = rowsHere().filter((r) => wanted(r) && r.control && methods.some((m) => between(m, r)));
  if (found.length || controls.length) matrix(wins, methods, controls);
}

function compareNote(methods, found) {
  if (!facts) return unpackError ?? "unpacking the cells …";
  const pairs = somePairs() ? " All pairs count here, whichever are chosen above." : "";
  if (attacker().attack !== undefined) return "Paired differences are computed for argmax, matched and decoded; the table above has this attack's intervals.";
  if (methods.length < 2) return "Fewer than two methods have a number to compare." + pairs;
  if (!found.length) return "The paired differences against this attacker are not in this page, for its size; mapbench compare DIR A B prints them.";
  if (found.every((c) => c.low === null)) return "One train cell per source: no interval, nothing can be told apart." + pairs;
  const span = (name) => { const all = found.map((c) => c[name]), low = Math.min(...all), high = Math.max(...all); return low === high ? low : `${low} to ${high}`; };
  const mixed = [...new Set(found.map((c) => c.differs).filter(Boolean))];
  return `Paired on the same train cells (n = ${span("units")}, ${span("pairs")} pairs, df = ${span("df")}), Holm-corrected over all pairs of methods of this table. ` +
    "A bar joins methods of which no two were shown to differ (p ≥ 0.05); that is not to say that they are equal." +
    (mixed.length ? ` Some compare ${mixed.join("; ")}.` : "") + pairs;
}

function diagram(box, methods, removed, intervals) {
  const differ = (p, q) => { const c = between(p, q); return c !== null && c.holm !== null && c.holm < DIFFERENT; };
  const bars = intervals ? alike(methods, differ) : [];
  const width = Math.max(280, Math.min(900, box.clientWidth)), narrow = width < 560, side = narrow ? 100 : 250, most = narrow ? 13 : 27;
  const values = methods.map((r) => r[removed]), top = 26, under = top + 12 + 9 * bars.length, line = 19;
  const right = Math.ceil(methods.length / 2), left = methods.length - right, height = under + 14 + line * Math.max(right, left) + 6;
  const low = Math.floor(Math.min(...values) * 10 - 1e-9) / 10, high = Math.max(Math.ceil(Math.max(...values) * 10 + 1e-9) / 10, low + 0.1);
  const X = (x) => side + ((x - low) / (high - low)) * (width - 2 * side);
  const svg = put(box, "svg", { width, height, role: "img", "aria-label": "critical-difference diagram; the same numbers stand in the table below" });
  put(svg, "path", { class: "axis", fill: "none", d: `M${X(low)} ${top}H${X(high)}` });
  const steps = Math.round((high - low) * 10), every = Math.ceil(steps / (narrow ? 3 : 6));
  for (let k = 0; k <= steps; k += every) {
    const x = low + k / 10;
    put(svg, "path", { class: "axis", d: `M${X(x)} ${top}v-5` });
    put(svg, "text", { x: X(x), y: top - 9, "text-anchor": "middle" }, x.toFixed(1));
  }
  bars.forEach(([i, j], k) => put(svg, "path", { class: "bar", d: `M${X(values[i]) + 3} ${top + 10 + 9 * k}H${X(values[j]) - 3}` }));
  methods.forEach((row, i) => {
    const onRight = i < right, y = under + 14 + line * (onRight ? i : methods.length - 1 - i), edge = onRight ? width - side + 8 : side - 8;
    const g = put(svg, "g"), name = clipped(row.variant, most);
    put(g, "title", {}, `${row.variant}: ${told(row, removed)}`);
    put(g, "path", { fill: "none", stroke: colour(row), "stroke-width": 1.4, d: `M${X(values[i])} ${top}V${y}H${edge}` });
    put(g, "text", { x: edge + (onRight ? 5 : -5), y: y + 4, "text-anchor": onRight ? "start" : "end" }, `${name} ${narrow ? "" : fixed(values[i])}`);
  });
  if (!narrow) put(svg, "text", { class: "soft", x: side - 8, y: top + 4, "text-anchor": "end" }, `removed, ${clipped(attacker().name, 24)} →`);
}

// How often the row's method is ahead of the column's, ties counting half, over pairs and seeds that both have.
function matrix(table, methods, controls) {
  const left = methods.length - MOST_AHEAD, across = [...methods.slice(0, MOST_AHEAD), ...controls.slice(0, MOST_AHEAD / 2)];
  if (left > 0) put(table, "caption", {}, `the first ${MOST_AHEAD} of ${methods.length} methods: choose others above`);
  const head = put(put(table, "thead"), "tr");
  put(head, "th", { scope: "col", class: "text" }, "ahead of →");
  for (const row of across) named(put(head, "th", { scope: "col", class: row.control ? "control" : "" }), row.variant);
  const body = put(table, "tbody"), grid = [];
  for (const row of methods.slice(0, MOST_AHEAD)) {
    const tr = put(body, "tr");
    named(put(tr, "th", { scope: "row", class: "text" }), row.variant);
    grid.push(across.map((other) => {
      const c = row === other ? null : between(row, other), td = put(tr, "td");
      const all = c ? c.wins + c.ties + c.losses : 0;
      if (!all) return null;
      const rate = (c.wins + c.ties / 2) / all, shownApart = c.holm !== null && c.holm < DIFFERENT;
      shade(td, rate);
      td.textContent = rate.toFixed(2) + (shownApart ? "*" : "");
      const said = `${row.variant} against ${other.variant}: ${counted(c.wins, "win")}, ${counted(c.ties, "tie")}, ${c.losses} ${c.losses === 1 ? "loss" : "losses"} over pairs and seeds; ` +
        `difference ${fixed(c.difference)}${c.low === null ? ", no interval" : ` (95 % interval ${fixed(c.low)} to ${fixed(c.high)}, ${chance(c.p)}, ${chance(c.holm)} after Holm, df = ${c.df})`}` +
        `${c.differs ? `; mixes ${c.differs}` : ""}`;
      td.setAttribute("aria-label", said);
      td.title = said;
      td.onfocus = td.onmouseenter = () => { $("win-said").textContent = said; };
      return td;
    }));
  }
  roving(table, grid);
}
