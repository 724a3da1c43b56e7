// The visible table and figures as files: CSV unrounded, LaTeX and Markdown as mapbench leaderboard prints them, SVG.
"use strict";
function save(name, type, text) {
  const link = put(document.body, "a", { href: URL.createObjectURL(new Blob([text], { type })), download: name, hidden: "hidden" });
  link.click();
  setTimeout(() => { URL.revokeObjectURL(link.getAttribute("href")); link.remove(); }, 10000);
}

const fileName = (end) => `${group().title}${exploratory() ? " exploratory" : ""}.${end}`.replace(/[^A-Za-z0-9.]+/g, "-");
const escaped = (text, form) => [...text].map((c, i) => data.escapes[form][i ? "rest" : "first"][c] ?? c).join("");
const exportedColumns = () => columns().filter((c) => !state.hidden.has(c.name));
const exportedRows = () => [...sorted(), ...referenceRows()];
// The text forms print the intervals of these alone.
const WITH_INTERVAL = /^(source_drop|target_removed_(argmax|attack\d+))$/;
const printed = (row, name) => cellText(row, name).slice(0, WITH_INTERVAL.test(name) ? 2 : 1).join("");

function asMarkdown() {
  const shownHere = exportedColumns(), line = (cells) => `| ${cells.join(" | ")} |`;
  const title = (exploratory() ? $("exploratory").textContent + "\n\n" : "") + `## ${escaped(group().title, "markdown")}\n\n`;
  return title + [
    line(shownHere.map((c) => escaped(c.head, "markdown"))),
    line(shownHere.map((c) => (TEXT.has(c.name) ? "---" : "---:"))),
    ...exportedRows().map((row) => line(shownHere.map((c) => escaped(printed(row, c.name), "markdown")))),
  ].join("\n") + "\n";
}

function asLatex() {
  const shownHere = exportedColumns().filter((c) => c.name !== "flags");
  const said = data.caption.join(group().title) + (exploratory() ? ` ${$("exploratory").textContent}` : "");
  return [
    "\\begin{table}", "\\centering\\small", `\\caption{${escaped(said, "latex")}}`,
    `\\begin{tabular}{${shownHere.map((c) => (TEXT.has(c.name) ? "l" : "r")).join("")}}`, "\\toprule",
    shownHere.map((c) => escaped(c.head, "latex")).join(" & ") + " \\\\", "\\midrule",
    ...exportedRows().map((row) => shownHere.map((c) => escaped(printed(row, c.name), "latex")).join(" & ") + " \\\\"),
    "\\bottomrule", "\\end{tabular}", "\\end{table}",
  ].join("\n") + "\n";
}

// The numbers as the page has them, by the frame's names; an interval is two columns, an undefined number is empty.
function asCsv() {
  const names = [];
  for (const { name } of exportedColumns()) {
    if (name === "rank") names.push("control", `rank_${state.attacker}`);
    else if (name === "n") names.push("seeds", "units");
    else if (name === "pairs") names.push("pairs_done", "pairs_expected");
    else if (name === "source_drop" || name.startsWith("target_removed")) names.push(name, `${name}_low`, `${name}_high`);
    else names.push(name);
  }
  const known = (row, name) => (name.startsWith("rank_") && exploratory() ? null : row[name]);
  const quoted = (text) => (/[",\n\r]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text);
  const cell = (value) => (value === null || value === undefined ? "" : typeof value === "boolean" ? (value ? "True" : "False")
    : quoted(/^\s*[=+\-@＝＋－＠]/.test(value) && typeof value === "string" ? `'${value}` : String(value))); // nothing that a spreadsheet would compute
  const head = names.map((name) => cell(name.replace(/attack\d+/, (id) => attackerOf(id).name)));
  return [head.join(","), ...sorted().map((row) => names.map((name) => cell(known(row, name))).join(","))].join("\n") + "\n";
}

// A figure that stands by itself: what the page's style gives it is written into it.
const INLINED = ["fill", "stroke", "stroke-width", "stroke-dasharray", "opacity", "font-family", "font-size", "font-style", "font-weight", "text-anchor"];
function standalone(svg) {
  const copy = svg.cloneNode(true), from = [svg, ...svg.querySelectorAll("*")], to = [copy, ...copy.querySelectorAll("*")];
  from.forEach((node, i) => {
    const style = getComputedStyle(node);
    for (const name of INLINED) to[i].setAttribute(name, style.getPropertyValue(name));
    to[i].removeAttribute("class");
    to[i].removeAttribute("style");
  });
  const { width, height } = svg.getBoundingClientRect();
  copy.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const paper = document.createElementNS(SVG, "rect");
  for (const [key, value] of Object.entries({ width, height, fill: getComputedStyle(document.body).backgroundColor })) paper.setAttribute(key, value);
  copy.prepend(paper);
  return new XMLSerializer().serializeToString(copy) + "\n";
}

// Tables as a figure: their cells where they are, with their colours.
function drawnTable(table) {
  const whole = table.getBoundingClientRect(), svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("width", whole.width);
  svg.setAttribute("height", whole.height);
  put(svg, "rect", { width: whole.width, height: whole.height, fill: getComputedStyle(document.body).backgroundColor });
  for (const cell of table.querySelectorAll("caption, th, td")) {
    const at = cell.getBoundingClientRect(), style = getComputedStyle(cell), x = at.left - whole.left, y = at.top - whole.top;
    if (style.backgroundColor !== "rgba(0, 0, 0, 0)") put(svg, "rect", { x, y, width: at.width, height: at.height, fill: style.backgroundColor });
    const lines = (cell.innerText ?? "").split("\n").filter(Boolean);
    lines.forEach((line, i) => put(svg, "text", {
      x: x + at.width / 2, y: y + at.height / 2 + 14 * (i - (lines.length - 1) / 2) + 4, "text-anchor": "middle", fill: style.color,
      "font-family": style.fontFamily, "font-size": style.fontSize, "font-style": style.fontStyle, "font-weight": style.fontWeight,
    }, line));
  }
  return new XMLSerializer().serializeToString(svg) + "\n";
}

// Each button of class `save` saves what it names.
function exports() {
  const forms = { csv: ["text/csv", asCsv], tex: ["text/x-tex", asLatex], md: ["text/markdown", asMarkdown] };
  for (const button of document.querySelectorAll("button.save")) {
    const { form, figure } = button.dataset;
    button.onclick = () => {
      if (form) { save(fileName(form), forms[form][0], forms[form][1]()); return; }
      const node = $(figure), tables = node.tagName === "TABLE" || node.querySelector("table");
      const drawn = tables ? drawnTable(node) : node.querySelector("svg") && standalone(node.querySelector("svg"));
      if (drawn) save(fileName(`${figure}.svg`), "image/svg+xml", drawn);
    };
  }
}
