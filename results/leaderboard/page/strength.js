// What more strength buys: variants of a method that differ in one number, as a line. And what a method costs to train.
"use strict";
function drawStrength() {
  const box = $("strength"), note = $("strength-note"), removed = `target_removed_${state.attacker}`;
  box.replaceChildren();
  const visible = new Map(shown().map((row) => [row.whole ?? row, row]));
  const lines = group().fronts.map(([param, points]) => ({
    param,
    points: points.map(([i, value]) => ({ row: visible.get(data.rows[i]), value })).filter((p) => p.row && (p.row[removed] ?? null) !== null && p.row.source_drop !== null),
  })).filter((line) => line.points.length > 1);
  note.textContent = lines.length
    ? "Each line runs through variants of one method in the order of one setting. Up and to the left is better: more removed, less of the source lost."
    : "No method stands here in several strengths: mapbench run strength makes such a board.";
  if (lines.length) strengthFigure(box, lines, removed);
}

// Round numbers from at most the lowest value to at least the highest, some five of them.
function ticks(low, high) {
  const rough = Math.max(high - low, 1e-6) / 4, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((n) => n * power >= rough), first = Math.floor(low / step + 1e-9), last = Math.ceil(high / step - 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
}

function strengthFigure(box, lines, removed) {
  const width = Math.max(280, Math.min(820, box.clientWidth)), height = 360, margin = { left: 52, right: box.clientWidth < 560 ? 90 : 150, top: 12, bottom: 44 };
  const all = lines.flatMap((line) => line.points), xs = all.map((p) => p.row.source_drop), ys = all.map((p) => p.row[removed]);
  const across = ticks(Math.min(0, ...xs), Math.max(0.01, ...xs)), up = ticks(Math.min(...ys), Math.max(...ys));
  const [x0, x1, y0, y1] = [across[0], across.at(-1), up[0], up.at(-1)];
  const X = (x) => margin.left + ((x - x0) / (x1 - x0)) * (width - margin.left - margin.right);
  const Y = (y) => margin.top + (1 - (y - y0) / (y1 - y0)) * (height - margin.top - margin.bottom);
  const svg = put(box, "svg", { width, height, role: "img", "aria-label": "source drop against what is removed of the target, a line per method" });
  for (const x of across) {
    put(svg, "line", { class: "grid", x1: X(x), x2: X(x), y1: Y(y0), y2: Y(y1) });
    put(svg, "text", { x: X(x), y: Y(y0) + 17, "text-anchor": "middle" }, x.toFixed(3));
  }
  for (const y of up) {
    put(svg, "line", { class: "grid", x1: X(x0), x2: X(x1), y1: Y(y), y2: Y(y) });
    put(svg, "text", { x: X(x0) - 7, y: Y(y) + 4, "text-anchor": "end" }, y.toFixed(2));
  }
  put(svg, "path", { class: "axis", fill: "none", d: `M${X(x0)} ${Y(y1)}V${Y(y0)}H${X(x1)}` });
  put(svg, "text", { x: (X(x0) + X(x1)) / 2, y: height - 6, "text-anchor": "middle" }, "source drop");
  put(svg, "text", { transform: `translate(13 ${(Y(y0) + Y(y1)) / 2}) rotate(-90)`, "text-anchor": "middle" }, `target removed, ${attacker().name}`);
  if (data.budget < x1) {
    put(svg, "line", { class: "chance", x1: X(data.budget), x2: X(data.budget), y1: Y(y0), y2: Y(y1) });
    put(svg, "text", { class: "soft", x: X(data.budget) + 4, y: Y(y1) + 12 }, `budget ${data.budget}`);
  }
  lines.forEach((line, k) => {
    const g = put(svg, "g"), hue = `var(--c${k % 6})`, method = line.points[0].row.method;
    put(g, "title", {}, `${method}, ${line.param}`);
    put(g, "path", { fill: "none", stroke: hue, "stroke-width": 1.6, "stroke-dasharray": DASHES[k % 4], d: line.points.map((p, i) => `${i ? "L" : "M"}${X(p.row.source_drop)} ${Y(p.row[removed])}`).join("") });
    line.points.forEach((p, i) => {
      put(g, "path", { d: SHAPES[k % 4], transform: `translate(${X(p.row.source_drop)} ${Y(p.row[removed])})`, fill: hue });
      put(g, "text", { x: X(p.row.source_drop) + 8, y: Y(p.row[removed]) + 4 }, i < line.points.length - 1 ? `${p.value}` : `${method} ${line.param}=${p.value}`);
    });
  });
}

// Seconds of a cell on a log scale: methods lie orders of magnitude apart.
function drawCost() {
  const box = $("cost"), rows = shown().map((row) => row.whole ?? row).filter((row) => row.seconds > 0).sort((p, q) => p.seconds - q.seconds);
  box.replaceChildren();
  const devices = [...new Set(rows.map((row) => row.device))];
  $("cost-note").textContent = rows.length
    ? `Mean seconds of one protected cell${devices.length === 1 ? `, on ${devices[0]}` : ", on the device named"}; the source model and what a synthesiser makes are shared by many and not in it. Log scale.`
    : "No cell has run.";
  if (!rows.length) return;
  const width = Math.max(280, Math.min(820, box.clientWidth)), narrow = width < 560, side = narrow ? 110 : 245, line = 20, height = line * rows.length + 30;
  const low = Math.floor(Math.log10(rows[0].seconds)), high = Math.max(low + 1, Math.ceil(Math.log10(rows.at(-1).seconds) + 1e-9));
  const X = (s) => side + ((Math.log10(s) - low) / (high - low)) * (width - side - (narrow ? 50 : 150));
  const svg = put(box, "svg", { width, height, role: "img", "aria-label": `seconds per cell: ${rows.map((row) => `${row.variant} ${row.seconds}`).join(", ")}` });
  for (let k = low; k <= high; k++) {
    put(svg, "line", { class: "grid", x1: X(10 ** k), x2: X(10 ** k), y1: 0, y2: height - 24 });
    put(svg, "text", { x: X(10 ** k), y: height - 8, "text-anchor": "middle" }, k < 0 ? (10 ** k).toFixed(-k) : `${10 ** k}${k === high ? " s" : ""}`);
  }
  rows.forEach((row, i) => {
    const y = line * i + 4, g = put(svg, "g");
    put(g, "title", {}, `${row.variant}: ${row.seconds} s`);
    put(g, "text", { x: side - 8, y: y + 11, "text-anchor": "end" }, clipped(row.variant, narrow ? 14 : 33));
    put(g, "rect", { x: side, y, width: Math.max(1, X(row.seconds) - side), height: 13, fill: row.control ? "var(--paper)" : colour(row), stroke: colour(row) });
    put(g, "text", { x: X(row.seconds) + 5, y: y + 11 }, row.seconds.toFixed(row.seconds < 10 ? 1 : 0) + (devices.length > 1 && !narrow ? ` ${row.device}` : ""));
  });
}
