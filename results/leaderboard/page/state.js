// The numbers of the page, what is chosen of them, and the address that keeps the choice; all other parts build on it.
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const TEXT = new Set(["variant", "flags"]);

// Who attacks: the three ways to read a model, then each attack on the board.
const ATTACKERS = Object.entries(data.attackers).map(([id, does]) => ({ id, name: id, who: `an attacker who ${does}` }));
data.attacks.forEach((name, i) => ATTACKERS.push({ id: `attack${i}`, name, who: `the attack ${name}`, attack: i }));
const attackerOf = (id) => ATTACKERS.find((a) => a.id === id);

// Rows by field; an attack's numbers get the names that the three attackers' have.
data.rows = data.rows.map((values) => Object.fromEntries(data.fields.map((field, i) => [field, values[i]])));
for (const [id, row] of data.rows.entries()) {
  row.id = id;
  if (row.plane) {
    const [before, after, seeds, half, ...targets] = row.plane;
    row.plane = { before, after, seeds, half };
    Object.keys(data.attackers).forEach((a, i) => { row.plane["half_" + a] = targets[i]; });
  }
  row.tried = {};
  for (const [i, rank, removed, low, high, before, after, scratch, gain, gainLow, gainHigh, source, seeds, units, done, asked] of row.attacks) {
    const id = `attack${i}`, whole = `target_removed_${id}`;
    row.tried[id] = { scratch, gain, gainLow, gainHigh, source, seeds, units, done, asked };
    Object.assign(row, { [`rank_${id}`]: rank, [whole]: removed, [`${whole}_low`]: low, [`${whole}_high`]: high });
    Object.assign(row, { [`target_before_${id}`]: before, [`target_after_${id}`]: after });
  }
}

// What is chosen. An empty set of methods or pairs stands for all of them.
const state = {
  group: 0, attacker: "argmax", sort: null, descending: false, search: "",
  methods: new Set(), pairs: new Set(), hidden: new Set(), heat: "", what: 0, open: null, pair: null,
};
const group = () => data.groups[state.group];
const attacker = () => attackerOf(state.attacker);
const attackersHere = () => ATTACKERS.filter((a) => a.attack === undefined || group().attacks.includes(a.attack));
const rowsHere = () => group().rows.map((i) => data.rows[i]);
const pairsHere = () => group().pairs.map(([source, target]) => `${data.places[source]}:${data.places[target]}`);
const methodsHere = () => [...new Set(rowsHere().map((row) => row.method))];

// The state as text that can stand behind the #; what is as it is at first is not said.
function address() {
  const said = new URLSearchParams();
  if (state.group) said.set("table", group().title);
  if (state.attacker !== "argmax") said.set("attacker", attacker().name);
  if (state.sort) said.set("sort", (state.descending ? "-" : "") + state.sort);
  if (state.search) said.set("search", state.search);
  for (const [name, chosen] of [["method", state.methods], ["pair", state.pairs], ["hide", state.hidden]]) {
    for (const value of chosen) said.append(name, value);
  }
  if (state.heat) said.set("map", state.heat);
  if (state.what) said.set("shown", "removed");
  if (state.open) said.set("open", state.open);
  if (state.open && state.pair) said.set("at", state.pair);
  return said.toString();
}

// The state out of the address; what names nothing on this page is passed over.
function restore() {
  const said = new URLSearchParams(location.hash.slice(1)), known = (name, all) => said.getAll(name).filter((v) => all.includes(v));
  state.group = Math.max(0, data.groups.findIndex((g) => g.title === said.get("table")));
  state.attacker = (attackersHere().find((a) => a.name === said.get("attacker")) ?? ATTACKERS[0]).id;
  const sort = (said.get("sort") ?? "").replace(/^-/, "");
  state.sort = columns().some((c) => c.name === sort) ? sort : null;
  state.descending = state.sort !== null && said.get("sort").startsWith("-");
  state.search = (said.get("search") ?? "").toLowerCase();
  state.methods = new Set(known("method", methodsHere()));
  state.pairs = new Set(known("pair", pairsHere()));
  state.hidden = new Set(known("hide", data.columns.map((c) => c.name).filter((name) => name !== "variant")));
  const names = rowsHere().map((row) => row.variant);
  state.heat = said.get("map") === "all" ? "all" : known("map", names)[0] ?? "";
  state.what = said.get("shown") === "removed" ? 1 : 0;
  state.open = known("open", names)[0] ?? null;
  state.pair = state.open ? known("at", pairsHere())[0] ?? null : null;
}

// After every choice: draw, and put the choice into the address. Typing and pointing replace the last entry of the
// browser's history, everything else makes a new one.
function changed(replace = false) {
  draw();
  const now = "#" + address();
  if (now === (location.hash || "#")) return;
  if (replace) history.replaceState(null, "", now);
  else history.pushState(null, "", now);
}

const fixed = (x) => (x === null || x === undefined ? "–" : x.toFixed(3).replace("-0.000", "0.000"));
const half = (row, name) => {
  const low = row[name + "_low"], high = row[name + "_high"];
  return low === null || high === null || low === undefined || high === undefined ? null : (high - low) / 2;
};
const interval = (h) => (h === null || h === undefined ? "" : "±" + fixed(h));
const mean = (values) => {
  const known = values.filter((x) => x !== null && x !== undefined && !Number.isNaN(x));
  return known.length ? known.reduce((sum, x) => sum + x, 0) / known.length : null;
};
const counted = (n, noun) => `${n} ${noun}${n === 1 ? "" : "s"}`;
const listed = (items) => (items.length > 1 ? items.slice(0, -1).join(", ") + " and " + items.at(-1) : items[0]);

function put(parent, tag, attributes = {}, text = null) {
  const svg = parent.namespaceURI === SVG || tag === "svg";
  const node = svg ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) if (value !== null && value !== "") node.setAttribute(key, value);
  if (text !== null) node.textContent = text;
  parent.append(node);
  return node;
}

// A variant breaks after its commas, not inside a setting.
const named = (parent, variant) => variant.split(/(?<=,)(?=\S)/).forEach((piece, i) => {
  if (i) put(parent, "wbr");
  put(parent, "span", { class: "piece" }, piece);
});

// A table of which one cell at a time can be reached with Tab, and the others from there with the arrow keys.
function roving(table, cells) {
  cells.forEach((line) => line.forEach((cell) => { if (cell) cell.tabIndex = -1; }));
  const first = cells.flat().find((cell) => cell);
  if (first) first.tabIndex = 0;
  table.onkeydown = (event) => {
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    let y = cells.findIndex((line) => line.includes(document.activeElement));
    if (!step || y < 0) return;
    let x = cells[y].indexOf(document.activeElement);
    do { y += step[0]; x += step[1]; } while (cells[y] && x >= 0 && x < cells[y].length && !cells[y][x]);
    const next = cells[y]?.[x];
    if (!next) return;
    event.preventDefault();
    document.activeElement.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  };
}
