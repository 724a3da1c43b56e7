// What is known of each cell: unpacked in the browser itself, no request is made. Until then rows know no pairs.
"use strict";
let facts = null; // null until unpacked; else per row: { heat, gaps, cells, byPair }
let trains = [], comparisons = null, readings = null, pictures = {}, unpackError = null;

async function unpack() {
  if (!("DecompressionStream" in window)) throw new Error("this browser cannot unpack gzip");
  const bytes = Uint8Array.from(atob(data.cells), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  spread(await new Response(stream).json());
  data.cells = null;
}

const domain = (place) => data.places[place];
const apart = (steps) => { let at = 0; return steps.map((step) => (at += step)); };

function spread(packed) {
  const { words } = packed, share = (x) => (x === null ? null : x / 1000), fine = (x) => (x === null ? null : x / 10000);
  const three = Object.keys(data.attackers);
  facts = packed.pairs.map((pairs, at) => {
    const heat = Object.fromEntries(ATTACKERS.map((a) => [a.id, new Map()]));
    for (const [source, target, n, eligible, means, halves] of pairs) {
      const pair = `${domain(source)}:${domain(target)}`;
      three.forEach((id, k) => heat[id].set(pair, {
        n, eligible: Boolean(eligible), after: share(means[2 * k]), removed: share(means[2 * k + 1]),
        halfAfter: halves ? share(halves[2 * k]) : null, halfRemoved: halves ? share(halves[2 * k + 1]) : null,
      }));
    }
    for (const [attack, source, target, n, means, before, halves] of packed.attacked[at]) {
      const pair = `${domain(source)}:${domain(target)}`;
      heat[`attack${attack}`].set(pair, {
        n, eligible: heat[three[0]].get(pair)?.eligible ?? false, after: share(means[0]), removed: share(means[1]), before: share(before),
        halfAfter: halves ? share(halves[0]) : null, halfRemoved: halves ? share(halves[1]) : null,
      });
    }
    const gaps = new Map(packed.gaps[at].map(([source, target, ...counts]) => [`${domain(source)}:${domain(target)}`, counts]));
    return { heat, gaps, cells: [], byPair: new Map() };
  });
  const t = packed.trains;
  trains = t.own.map((own, i) => ({
    key: t.key.slice(12 * i, 12 * i + 12), source: domain(t.source[i]), own: fine(own),
    before: new Map(t.before[i].map(([place, ...values]) => [domain(place), values.map(share)])),
  }));
  const c = packed.cells;
  const cells = c.row.map((row, i) => ({
    row, source: domain(c.source[i]), targets: words[c.targets[i]], seed: c.seed[i], status: words[c.status[i]], error: words[c.error[i]],
    key: c.key.slice(12 * i, 12 * i + 12), train: trains[c.train[i]] ?? null, sourceAfter: fine(c.source_after[i]),
    seconds: c.seconds[i] === null ? null : c.seconds[i] / 10, params: words[c.params[i]], flags: words[c.flags[i]], inputs: words[c.inputs[i]],
    attempt: c.attempt[i], log: Boolean(c.log[i]), dirty: Boolean(c.dirty[i]), device: words[c.device[i]], torch: words[c.torch[i]],
    commit: words[c.git_commit[i]], host: words[c.host[i]], seen: new Map(), tried: [], curves: packed.curves?.[i] ?? null,
    rerun: words[c.rerun[i]].replace("@pair@", words[c.pair[i]]).replace("@seed@", c.seed[i]),
  }));
  for (const cell of cells) {
    const mine = facts[cell.row], known = [...mine.heat[three[0]].keys(), ...mine.gaps.keys()];
    // one that is told of no target blocks all others
    const pairs = cell.targets ? cell.targets.split("+").map((t) => `${cell.source}:${t}`) : [...new Set(known)].filter((p) => p.startsWith(cell.source + ":"));
    mine.cells.push(cell);
    for (const pair of pairs) mine.byPair.set(pair, [...(mine.byPair.get(pair) ?? []), cell]);
  }
  const more = (steps, mean) => (steps === null || mean === undefined || mean === null ? null : mean + steps / 1000);
  apart(packed.seen.cell).forEach((i, k) => {
    const cell = cells[i], target = domain(packed.seen.target[k]), heat = facts[cell.row].heat;
    cell.seen.set(target, Object.fromEntries(three.map((id) => [id, more(packed.seen[id][k], heat[id].get(`${cell.source}:${target}`)?.after)])));
  });
  apart(packed.tried.cell).forEach((i, k) => {
    const cell = cells[i], id = `attack${packed.tried.attack[k]}`, target = domain(packed.tried.target[k]);
    const after = more(packed.tried.attacked[k], facts[cell.row].heat[id].get(`${cell.source}:${target}`)?.after);
    cell.tried.push({ id, target, status: words[packed.tried.status[k]], after });
  });
  comparisons = packed.compared.tables.map((t) => new Map(t.a.map((a, i) => [`${packed.compared.words[t.attacker[i]]} ${a} ${t.b[i]}`, {
    a: data.rows[a], b: data.rows[t.b[i]], differs: packed.compared.words[t.differs[i]],
    difference: fine(t.difference[i]), low: fine(t.low[i]), high: fine(t.high[i]), p: fine(t.p[i]), holm: fine(t.p_holm[i]),
    df: t.df[i], units: t.units[i], pairs: t.pairs[i], wins: t.wins[i], ties: t.ties[i], losses: t.losses[i],
  }])));
  readings = packed.readings;
  pictures = packed.pictures ?? {};
  for (const row of data.rows) row.facts = facts[row.at];
}

const cellsOf = (row, pair) => row.facts?.byPair.get(pair) ?? [];

// The paired difference between two rows against the chosen attacker, as the first less the second; null where there is none.
function between(first, second) {
  const known = comparisons?.[state.group];
  const straight = known?.get(`${state.attacker} ${first.id} ${second.id}`), c = straight ?? known?.get(`${state.attacker} ${second.id} ${first.id}`);
  if (straight || !c) return straight ?? null;
  const turned = (x) => (x === null ? null : -x);
  return { ...c, a: c.b, b: c.a, difference: turned(c.difference), low: turned(c.high), high: turned(c.low), wins: c.losses, losses: c.wins };
}
const chance = (p) => (p === null ? "no p" : p < 0.00005 ? "p < 0.0001" : `p = ${p < 0.001 ? p.toFixed(4) : p.toFixed(3)}`);
