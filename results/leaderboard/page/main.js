// Puts the page together, and answers to its controls, its address and the size of its window.
"use strict";
// What a choice does not change is not drawn again.
const drawnFor = {};
function onlyWhere(name, changed, drawIt) {
  if (drawnFor[name] === changed) return;
  drawnFor[name] = changed;
  drawIt();
}

function draw() {
  view = null;
  drawFacets();
  drawFilters();
  drawReading();
  drawTable();
  drawPlane();
  drawHeat();
  drawStrength();
  const rows = [state.group, state.search, ...state.methods, facts !== null, unpackError, window.innerWidth].join("\n");
  onlyWhere("cost", rows, drawCost);
  onlyWhere("compare", [rows, state.attacker, somePairs()].join("\n"), drawCompare);
  drawDrill();
}

function theme(name, keep) {
  document.documentElement.dataset.theme = name;
  $("theme").textContent = name === "dark" ? "light" : "dark";
  if (keep) try { localStorage.setItem("mapbench-theme", name); } catch { /* a file:// page may have no storage */ }
}

function start() {
  let kept = null, waiting = 0;
  try { kept = localStorage.getItem("mapbench-theme"); } catch { /* as above */ }
  theme(kept || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"), false);
  $("theme").onclick = () => theme(document.documentElement.dataset.theme === "dark" ? "light" : "dark", true);
  $("skip").onclick = () => $("board").querySelector("button")?.focus();
  if (!data.groups.length) return;
  $("search").oninput = (event) => { state.search = event.target.value.toLowerCase(); changed(true); };
  $("clear").onclick = clearFilters;
  $("heat-variant").onchange = (event) => { state.heat = event.target.value; changed(); };
  $("heat-what").onchange = (event) => { state.what = Number(event.target.value); changed(); };
  $("drill-close").onclick = () => $("drill").close();
  $("drill").addEventListener("close", closeDrill);
  exports();
  const enterAddress = () => { restore(); draw(); };
  window.addEventListener("hashchange", enterAddress);
  let wide = window.innerWidth;
  window.addEventListener("resize", () => {
    if (window.innerWidth === wide) return; // a phone's address bar comes and goes
    wide = window.innerWidth;
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(draw);
  });
  enterAddress();
  $("filters").open = state.methods.size > 0 || state.pairs.size > 0 || state.hidden.size > 0;
  unpack().catch((error) => { unpackError = `What is known of each cell could not be unpacked (${error.message}).`; }).finally(() => {
    enterAddress();
    document.documentElement.dataset.ready = "yes";
  });
}

start();
