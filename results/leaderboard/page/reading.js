// The sentences a reader came for: which method protects best at no source cost, and how sure that is.
"use strict";
// Of the three attackers they are results.leaderboard.reading's, the same as in the terminal.
function drawReading() {
  $("reading").textContent = exploratory() ? explored() : attacker().attack === undefined ? claimed() : attacked();
  $("reading-of").textContent = group().title;
  $("notes").textContent = group().notes.join(" · ");
  $("notes").hidden = !group().notes.length;
}

function claimed() {
  const k = Object.keys(data.attackers).indexOf(state.attacker);
  return k === 0 ? group().reading : readings?.[state.group][k - 1] ?? "";
}

function explored() {
  const name = `target_removed_${state.attacker}`;
  const rows = inOrder(shown()).filter((row) => !row.control && (row[name] ?? null) !== null);
  if (!rows.length) return "Exploratory view: no method that passes the filters has a number.";
  return `Exploratory view: of the methods shown, ${rows[0].variant} removes ${fixed(rows[0][name])} against ${attacker().who}, at a source drop of ` +
    `${fixed(rows[0].source_drop)}. What was picked after looking is no finding: clear the filters for ranks and intervals.`;
}

function attacked() {
  const a = state.attacker, removed = `target_removed_${a}`, best = inOrder(rowsHere()).filter((r) => r["rank_" + a] === 1);
  if (!best.length) return `No method is ranked against ${attacker().name}: pairs are missing, or none was attacked.`;
  const one = best[0], tried = one.tried[a];
  return `Against ${attacker().who}, ${listed(best.map((r) => r.variant))} ${best.length > 1 ? "share the first rank" : "ranks first"}` +
    `${one.within ? ` among methods that keep their source drop under ${data.budget}` : ""}: ${one.variant} keeps ${told(one, removed)} of the target accuracy above chance removed ` +
    `(n = ${counted(tried.units, "train cell")}, ${counted(tried.seeds, "seed")}, ${counted(tried.asked, "eligible pair")}). ` +
    `The attacker reads ${fixed(one[`target_after_${a}`])} on the target, ${fixed(one[`target_before_${a}`])} out of f_s, and ${fixed(tried.scratch)} from a net of his own.`;
}

const told = (row, name) => fixed(row[name]) + interval(half(row, name));
