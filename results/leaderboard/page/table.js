// The table of variants: sorted by a click on a head, ranked in the unfiltered view only.
"use strict";
function value(row, name) {
  if (name === "rank") return exploratory() ? null : row["rank_" + state.attacker] ?? null;
  if (name === "n") return row.units;
  if (name === "pairs") return row.pairs_done;
  return row[name] ?? null;
}

function sorted() {
  const rows = inOrder(shown());
  if (!state.sort) return rows;
  const sign = state.descending ? -1 : 1, name = state.sort;
  return rows.map((row, i) => [row, i]).sort(([p, i], [q, j]) => {
    const x = value(p, name), y = value(q, name);
    if (x === null || x === "") return y === null || y === "" ? i - j : 1; // undefined last, whichever way
    if (y === null || y === "") return -1;
    return (typeof x === "string" ? x.localeCompare(y) : x - y) * sign || i - j;
  }).map(([row]) => row);
}

// f_s and the untrained network, by which the target columns are read.
function referenceRows() {
  const all = rowsHere().map((row) => (somePairs() ? narrowed(row) : row));
  const widest = all.reduce((best, row) => (!best || row.pairs_done > best.pairs_done ? row : best), null);
  const rows = [];
  if (widest) {
    const seen = Object.fromEntries(ATTACKERS.map(({ id }) => ["target_after_" + id, widest["target_before_" + id]]));
    rows.push({ reference: true, variant: "f_s, unprotected", ...seen });
  }
  for (const i of group().untrained) {
    const row = somePairs() ? narrowed(data.rows[i]) : data.rows[i];
    rows.push({ ...row, reference: true, variant: "untrained network", source_drop: undefined, st_d: undefined });
  }
  return rows;
}

// A rank that several share says so; whoever cannot be told apart shares.
function rankOf(row) {
  if (row.reference) return "ref";
  if (row.control) return "control";
  const rank = row["rank_" + state.attacker] ?? null;
  if (exploratory() || rank === null) return "–";
  return rank + (rowsHere().filter((other) => other["rank_" + state.attacker] === rank).length > 1 ? "=" : "");
}

// A cell of the table as [text, interval]: what is drawn and what is exported.
function cellText(row, name) {
  if (name === "rank") return [rankOf(row), ""];
  if (name === "variant" || name === "flags") return [row[name] ?? "", ""];
  if (name === "n") return [row.units === undefined ? "" : `${row.seeds}/${row.units}`, ""];
  if (name === "pairs") return [row.units === undefined ? "" : `${row.pairs_done}/${row.pairs_expected}`, ""];
  if (name === "failed") return [row.failed === undefined ? "" : String(row.failed), ""];
  if (row[name] === undefined) return ["", ""];
  return [fixed(row[name]), interval(half(row, name))];
}

function drawTable() {
  const table = $("board"), focus = document.activeElement?.dataset?.column ?? document.activeElement?.dataset?.row;
  table.replaceChildren();
  const head = put(put(table, "thead"), "tr");
  for (const column of shownColumns()) {
    const classes = [TEXT.has(column.name) ? "text" : "", column.name === "variant" ? "name" : "", chosenColumn(column.name) ? "chosen" : ""];
    const th = put(head, "th", { scope: "col", class: classes.join(" ").trim(), title: column.help });
    if (state.sort === column.name) th.setAttribute("aria-sort", state.descending ? "descending" : "ascending");
    const button = put(th, "button", { type: "button", "data-column": column.name }, column.head);
    button.onclick = () => {
      state.descending = state.sort === column.name ? !state.descending : column.name.startsWith("target_removed");
      state.sort = column.name;
      changed();
    };
    if (focus === column.name) button.focus();
  }
  const body = put(table, "tbody"), rows = sorted();
  for (const row of rows) tableRow(body, row, focus);
  if (!rows.length) put(put(body, "tr"), "td", { class: "text", colspan: shownColumns().length }, "no variant passes the filters");
  const foot = put(table, "tfoot");
  for (const row of referenceRows()) tableRow(foot, row, null);
  for (const sheet of document.querySelectorAll(".sheet")) sheet.hidden = sheet.dataset.table !== `${group().title} · attacked`;
  const note = $("exploratory"), parts = [
    somePairs() ? `${state.pairs.size} of ${pairsHere().length} pairs` : "", someRows() ? `${rows.length} of ${counted(rowsHere().length, "variant")}` : "",
  ].filter(Boolean);
  note.hidden = !parts.length;
  note.textContent = parts.length ? `exploratory: ${listed(parts)}` +
    (somePairs() ? "; means are over the pairs shown, without intervals" : "") + ". Nothing is ranked in a view that was picked." : "";
}

function tableRow(parent, row, focus) {
  const first = !row.reference && !exploratory() && row["rank_" + state.attacker] === 1;
  const tr = put(parent, "tr", { class: row.control ? "control" : first ? "first" : "" });
  for (const { name } of shownColumns()) {
    const [text, ci] = cellText(row, name);
    if (name === "variant") { named(put(tr, "th", { scope: "row", class: "text name" }), text); continue; }
    const td = put(tr, "td", { class: [name === "flags" ? "text flags" : "", chosenColumn(name) ? "chosen" : ""].join(" ").trim() });
    if (name === "pairs" && text && !row.reference) {
      const button = put(td, "button", { type: "button", class: "open", "data-row": row.variant, title: "its pairs, cell by cell" }, text);
      button.onclick = () => openCell(row.variant, null);
      if (focus === row.variant) button.focus();
    } else {
      td.textContent = text;
    }
    if (ci) put(td, "span", { class: "ci" }, ci);
    if ((name === "pairs" && row.pairs_done < row.pairs_expected) || (name === "failed" && row.failed)) td.classList.add("bad");
  }
}
