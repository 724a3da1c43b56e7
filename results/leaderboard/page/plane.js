// Source accuracy against target accuracy: an arrow per variant, and the front of the methods that none beats on both.
"use strict";
function planePoints() {
  const a = state.attacker;
  return shown().filter((r) => r.plane && (r["target_after_" + a] ?? null) !== null).map((row) => ({
    row, i: place(row), x0: row.plane.before, x1: row.plane.after, hx: row.plane.half ?? null,
    y0: row["target_before_" + a], y1: row["target_after_" + a], hy: row.plane["half_" + a] ?? null,
  }));
}

// Methods that no other keeps more of the source and less of the target than; controls are drawn and not counted.
function front(points) {
  const methods = points.filter((p) => !p.row.control);
  const beaten = (p) => methods.some((q) => q.x1 >= p.x1 && q.y1 <= p.y1 && (q.x1 > p.x1 || q.y1 < p.y1));
  return methods.filter((p) => !beaten(p)).sort((p, q) => p.x1 - q.x1 || p.y1 - q.y1);
}

function drawPlane() {
  const box = $("plane"), key = $("plane-key");
  box.replaceChildren();
  key.replaceChildren();
  const points = planePoints();
  if (!points.length) { put(box, "p", {}, "No eligible pair has a result, so there is nothing to draw."); return; }
  const width = Math.max(280, box.clientWidth), narrow = width < 640, height = Math.max(narrow ? 330 : 430, 15 * points.length + 70);
  const margin = { left: 50, right: narrow ? 34 : 210, top: 14, bottom: 44 };
  const low = Math.min(...points.flatMap((p) => [p.x0, p.x1 - (p.hx ?? 0)]));
  const left = Math.max(0, Math.min(0.9, Math.floor((low - 0.02) * 20) / 20));
  const X = (x) => margin.left + ((Math.max(left, Math.min(1, x)) - left) / (1 - left)) * (width - margin.left - margin.right);
  const Y = (y) => margin.top + (1 - Math.max(0, Math.min(1, y))) * (height - margin.top - margin.bottom);
  const svg = put(box, "svg", { width, height, role: "img", "aria-label": "source accuracy against target accuracy, from f_s to each protected model; values in the table below" });
  planeAxes(svg, X, Y, left, height);
  const best = front(points);
  if (best.length) {
    const steps = best.map((p, i) => `${i ? `V${Y(p.y1)}` : `M${X(left)} ${Y(p.y1)}`}H${X(p.x1)}`).join("");
    put(svg, "path", { class: "front", d: `${steps}V${Y(1)}` });
    put(svg, "text", { class: "soft", x: X(best.at(-1).x1) - 5, y: Y(1) + 12, "text-anchor": "end" }, "front");
  }
  const layers = points.map((p) => arrow(svg, p, X, Y));
  for (const [x, y] of new Map(points.map((p) => [`${p.x0} ${p.y0}`, [p.x0, p.y0]])).values()) {
    if ((y ?? null) !== null) put(svg, "circle", { cx: X(x), cy: Y(y), r: 4.5, fill: "var(--ink)" });
  }
  if ((points[0].y0 ?? null) !== null) put(svg, "text", { x: X(points[0].x0) - 9, y: Y(points[0].y0) - 8, "text-anchor": "end", "font-style": "italic" }, "f_s");
  // names in the right margin, spread so that none covers another, each tied to its mark
  const names = points.map((p, k) => ({ p, k, y: Y(p.y1) })).sort((m, n) => m.y - n.y), gap = 15, floor = Y(0) - 2;
  for (let k = 0; k < names.length; k++) names[k].y = Math.max(names[k].y, k ? names[k - 1].y + gap : margin.top + 4);
  for (let k = names.length - 1; k >= 0; k--) names[k].y = Math.min(names[k].y, k < names.length - 1 ? names[k + 1].y - gap : floor);
  for (const { p, k, y } of names) {
    const edge = X(1) + 6;
    put(layers[k], "path", { class: "lead", d: `M${X(p.x1) + 8} ${Y(p.y1)}L${edge} ${y}H${edge + 6}` });
    put(layers[k], "text", { x: edge + 9, y: y + 4 }, narrow ? p.i + 1 : `${p.i + 1}  ${clipped(p.row.variant, 24)}`);
  }
  planeKey(key, points, best, layers);
}

const clipped = (name, most) => (name.length > most ? name.slice(0, most - 1) + "…" : name);

function planeAxes(svg, X, Y, left, height) {
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
  put(svg, "text", { transform: `translate(13 ${(Y(0) + Y(1)) / 2}) rotate(-90)`, "text-anchor": "middle" }, `target accuracy, ${attacker().name}`);
  const level = group().chance;
  if (!level) return;
  put(svg, "line", { class: "chance", x1: X(left), x2: X(1), y1: Y(level), y2: Y(level) });
  put(svg, "text", { class: "soft", x: X(left) + 5, y: Y(level) - 5 }, `chance ${level.toFixed(2)}`);
  put(svg, "path", { fill: "none", stroke: "var(--ink)", "stroke-width": 2, d: `M${X(1) - 14} ${Y(level)}H${X(1)}V${Y(level) - 14}` });
  put(svg, "text", { x: X(1) - 18, y: Y(level) + 16, "text-anchor": "end" }, "ideal");
}

function arrow(svg, p, X, Y) {
  const g = put(svg, "g"), hue = colour(p.row), x = X(p.x1), y = Y(p.y1);
  put(g, "title", {}, p.row.variant);
  if ((p.y0 ?? null) !== null) {
    put(g, "line", { x1: X(p.x0), y1: Y(p.y0), x2: x, y2: y, stroke: hue, "stroke-width": 1.3, opacity: 0.75, "stroke-dasharray": p.row.control ? "2 3" : null });
    // the head of the arrow, just before its mark
    const angle = (Math.atan2(y - Y(p.y0), x - X(p.x0)) * 180) / Math.PI;
    if (Math.hypot(x - X(p.x0), y - Y(p.y0)) > 22) put(g, "path", { d: "M-15 -3.5L-7.5 0L-15 3.5Z", fill: hue, transform: `translate(${x} ${y}) rotate(${angle})` });
  }
  if (p.hx !== null) put(g, "path", { stroke: hue, fill: "none", d: `M${X(p.x1 - p.hx)} ${y}H${X(p.x1 + p.hx)}m0 -3v6M${X(p.x1 - p.hx)} ${y - 3}v6` });
  if (p.hy !== null) put(g, "path", { stroke: hue, fill: "none", d: `M${x} ${Y(p.y1 - p.hy)}V${Y(p.y1 + p.hy)}m-3 0h6M${x - 3} ${Y(p.y1 - p.hy)}h6` });
  mark(g, p.row, `translate(${x} ${y})`);
  return g;
}

function planeKey(table, points, best, layers) {
  const head = put(put(table, "thead"), "tr"), narrow = somePairs();
  const heads = ["no.", "variant", "source accuracy\nf_s → protected", `target accuracy, ${attacker().name}\nf_s → protected`, "front", "seeds"];
  heads.forEach((text, k) => put(head, "th", { scope: "col", class: k === 1 ? "text" : "", style: "white-space: pre-line" }, text));
  const body = put(table, "tbody");
  points.forEach((p, k) => {
    const tr = put(body, "tr");
    put(tr, "td", {}, p.i + 1);
    const name = put(tr, "th", { scope: "row", class: "text", style: "font-weight: 400" });
    mark(put(name, "svg", { width: 14, height: 14, viewBox: "-7 -7 14 14", "aria-hidden": "true" }), p.row, null);
    named(name, p.row.variant);
    for (const [from, to, h] of [[p.x0, p.x1, p.hx], [p.y0, p.y1, p.hy]]) {
      put(put(tr, "td", {}, `${fixed(from)} → ${fixed(to)}`), "span", { class: "ci" }, narrow ? "" : interval(h));
    }
    put(tr, "td", {}, best.includes(p) ? "yes" : p.row.control ? "" : "no");
    put(tr, "td", {}, p.row.plane.seeds);
    tr.onmouseenter = () => layers.forEach((g, j) => g.classList.toggle("far", j !== k));
    tr.onmouseleave = () => layers.forEach((g) => g.classList.remove("far"));
  });
}
