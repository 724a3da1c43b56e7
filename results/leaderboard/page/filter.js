// Which rows are shown, and what their means are when only some pairs are: an exploratory view, without ranks.
"use strict";
const columns = () => {
  const a = attacker(), extra = a.attack === undefined ? [] : [
    { name: `target_removed_${a.id}`, head: "removed\nattacked", help: `target_removed against ${a.name}` },
    { name: `target_after_${a.id}`, head: "target\nattacked", help: `class-balanced target accuracy after ${a.name}` },
  ];
  const at = data.columns.findIndex((c) => c.name === "target_removed_argmax");
  return [...data.columns.slice(0, at), ...extra, ...data.columns.slice(at)];
};
const shownColumns = () => columns().filter((c) => !state.hidden.has(c.name) && (c.name !== "flags" || rowsHere().some((row) => row.flags)));
const chosenColumn = (name) => [`target_removed_${state.attacker}`, `target_after_${state.attacker}`].includes(name);

const somePairs = () => facts !== null && state.pairs.size > 0 && state.pairs.size < pairsHere().length;
const someRows = () => state.search !== "" || (state.methods.size > 0 && state.methods.size < methodsHere().length);
const exploratory = () => somePairs() || someRows();
const wanted = (row) => row.variant.toLowerCase().includes(state.search) && (!state.methods.size || state.methods.has(row.method));

// The rows that pass the filters, in the order of the frame; with only some pairs, their means over those.
let view = null; // made once for each drawing
const shown = () => (view ??= rowsHere().filter(wanted).map((row) => (somePairs() ? narrowed(row) : row)));

// A row's means over the chosen pairs: over seeds first, then eligible pairs weigh the same, as in the frame. No interval
// and no rank: pairs that are picked after looking prove nothing.
function narrowed(row) {
  const found = { ...row, whole: row, st_d: undefined, source_drop: null, source_drop_low: null, source_drop_high: null, plane: null };
  for (const { id } of ATTACKERS) {
    const cells = [...state.pairs].map((pair) => [pair, row.facts.heat[id].get(pair)]).filter(([, cell]) => cell?.eligible && cell.removed !== null);
    found[`rank_${id}`] = null;
    found[`target_removed_${id}`] = mean(cells.map(([, cell]) => cell.removed));
    found[`target_removed_${id}_low`] = found[`target_removed_${id}_high`] = null;
    found[`target_after_${id}`] = mean(cells.map(([, cell]) => cell.after));
    found[`target_before_${id}`] = mean(cells.map(([pair, cell]) => cell.before ?? before(row, pair, id)));
  }
  const drops = new Map(), sides = [], seeds = new Set(), units = new Set();
  let done = 0;
  for (const pair of state.pairs) {
    const cells = cellsOf(row, pair).filter((cell) => cell.sourceAfter !== null && cell.train);
    if (cells.length && !row.facts.gaps.has(pair)) done += 1;
    for (const cell of cells) {
      const bySeed = drops.get(cell.source) ?? drops.set(cell.source, new Map()).get(cell.source);
      bySeed.set(cell.seed, [...(bySeed.get(cell.seed) ?? []), (cell.train.own - cell.sourceAfter) / cell.train.own]);
      seeds.add(cell.seed);
      units.add(`${cell.source} ${cell.seed}`);
    }
    if (cells.length && row.facts.heat.argmax.get(pair)?.eligible) {
      sides.push([mean(cells.map((cell) => cell.train.own)), mean(cells.map((cell) => cell.sourceAfter))]);
    }
  }
  // a train cell's targets first, then train cells, then sources
  found.source_drop = mean([...drops.values()].map((bySeed) => mean([...bySeed.values()].map(mean))));
  if (sides.length) found.plane = { before: mean(sides.map(([x]) => x)), after: mean(sides.map(([, x]) => x)), seeds: seeds.size, half: null };
  return Object.assign(found, { seeds: seeds.size, units: units.size, pairs_done: done, pairs_expected: state.pairs.size });
}

// What an attacker gets of f_s on a pair's target, mean over the seeds that the row has.
function before(row, pair, id) {
  const k = Object.keys(data.attackers).indexOf(id);
  return mean(cellsOf(row, pair).map((cell) => cell.train?.before.get(pair.split(":")[1])?.[k]));
}

// The rule of ranks, for whichever attacker is chosen: complete rows first, within the source budget, then by what is removed.
function inOrder(rows) {
  const a = state.attacker, removed = (r) => r[`target_removed_${a}`] ?? null;
  const tier = (r) => (r.pairs_done < r.pairs_expected ? 2 : 0) + (r.within ? 0 : 1);
  const key = (r) => [tier(r), removed(r) === null ? 9 : -removed(r), r[`target_after_${a}`] ?? 9];
  return [...rows].sort((p, q) => {
    const x = key(p), y = key(q);
    return x[0] - y[0] || x[1] - y[1] || x[2] - y[2];
  });
}

// A mark keeps its number, colour and shape whatever is chosen.
const place = (row) => group().rows.indexOf(row.id);
const SHAPES = ["M-5 0A5 5 0 1 0 5 0A5 5 0 1 0 -5 0", "M-4.5 -4.5H4.5V4.5H-4.5Z", "M0 -6L5.5 4.5H-5.5Z", "M0 -6L6 0L0 6L-6 0Z"];
const DASHES = [null, "6 3", "2 3", "8 3 2 3"];
const kin = (row) => group().rows.filter((id) => data.rows[id].control === row.control).indexOf(row.id); // methods and controls apart
const colour = (row) => (row.control ? "var(--grey)" : `var(--c${kin(row) % 6})`);
function mark(parent, row, transform) {
  const hue = colour(row), i = kin(row);
  put(parent, "path", { d: SHAPES[(i + Math.floor(i / 6)) % 4], transform, fill: row.control ? "var(--paper)" : hue, stroke: hue, "stroke-width": 1.6 });
}

// Buttons that stay pressed; made anew only where there are others, so that the focus stays.
function chips(box, items) {
  const labels = JSON.stringify(items.map((item) => item.label));
  if (box.dataset.labels !== labels) {
    box.dataset.labels = labels;
    box.replaceChildren();
    for (const { label } of items) put(box, "button", { type: "button", class: "chip" }, label);
  }
  items.forEach(({ on, press }, i) => {
    box.children[i].setAttribute("aria-pressed", String(on));
    box.children[i].onclick = press;
  });
}

const toggle = (chosen, value) => { if (!chosen.delete(value)) chosen.add(value); changed(); };

// Suite, backbone, scenario and settings choose the table: rows of two tables are never compared.
const FACETS = ["suite", "backbone", "scenario", "settings"];
function drawFacets() {
  for (const name of FACETS) {
    const values = [...new Set(data.groups.map((g) => g[name]))].filter((v) => v !== ""), field = $(`facet-${name}`);
    field.hidden = values.length < 2;
    chips(field.querySelector("span"), values.map((value) => ({ label: value, on: group()[name] === value, press: () => choose(name, value) })));
  }
}

// The table that has this value, and as much as possible of what the one before had.
function choose(name, value) {
  const now = group(), alike = (g) => FACETS.filter((n) => g[n] === now[n]).length;
  enter(data.groups.indexOf(data.groups.filter((g) => g[name] === value).sort((p, q) => alike(q) - alike(p))[0]));
}

function enter(index) {
  Object.assign(state, { group: index, methods: new Set(), pairs: new Set(), heat: "", open: null, pair: null });
  if (!attackersHere().some((a) => a.id === state.attacker)) state.attacker = "argmax";
  changed();
}

function drawFilters() {
  chips($("methods"), methodsHere().map((m) => ({ label: m, on: state.methods.has(m), press: () => toggle(state.methods, m) })));
  chips($("pairs"), facts ? pairsHere().map((p) => ({ label: p, on: state.pairs.has(p), press: () => toggle(state.pairs, p) })) : []);
  chips($("columns"), columns().filter((c) => c.name !== "variant").map((c) => ({
    label: c.head.replace("\n", " "), on: !state.hidden.has(c.name), press: () => toggle(state.hidden, c.name),
  })));
  const said = [
    state.methods.size ? counted(state.methods.size, "method") : "", state.pairs.size ? counted(state.pairs.size, "pair") : "",
    state.hidden.size ? `${counted(state.hidden.size, "column")} hidden` : "",
  ].filter(Boolean);
  $("filters-said").textContent = said.length ? `: ${said.join(", ")}` : "";
  $("clear").hidden = !exploratory() && !state.hidden.size;
  if ($("search").value.toLowerCase() !== state.search) $("search").value = state.search;
  drawAttackers();
}

function drawAttackers() {
  const box = $("attackers"), here = attackersHere(), ids = here.map((a) => a.id).join(" ");
  if (box.dataset.ids !== ids) {
    box.dataset.ids = ids;
    box.replaceChildren();
    for (const a of here) {
      const label = put(box, "label"), radio = put(label, "input", { type: "radio", name: "attacker", value: a.id });
      radio.onchange = () => { Object.assign(state, { attacker: a.id, sort: null }); changed(); };
      label.append(" " + a.name);
    }
  }
  for (const radio of box.querySelectorAll("input")) radio.checked = radio.value === state.attacker;
}

function clearFilters() {
  Object.assign(state, { methods: new Set(), pairs: new Set(), hidden: new Set(), search: "" });
  changed();
}
