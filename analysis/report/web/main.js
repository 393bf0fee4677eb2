// Starts the page: draws what its data hold, follows the address, and takes up changes where it is served live.
import { figures } from "./figures.js";
import { filters, refreshFilters } from "./filters.js";
import { take, watch } from "./live.js";
import { followAddress, refreshRun } from "./run_page.js";
import { onChange, page, setColours } from "./runs.js";
import { runsTable, sortable } from "./tables.js";

let drawn = figures();
const drawAll = () => drawn.forEach(figure => figure.draw());
const everything = () => { drawAll(); runsTable(); };

setColours();
filters();
everything();
onChange(everything);
document.querySelectorAll("table.sortable").forEach(sortable);
for (const link of document.querySelectorAll("nav a")) if (!document.querySelector(link.hash)) link.remove();

addEventListener("hashchange", async () => {
  const was = document.getElementById("report").hidden, isRun = await followAddress();
  if (!isRun && was) { everything(); document.querySelector(location.hash || "main")?.scrollIntoView(); }
});
followAddress();

let width = window.innerWidth;
addEventListener("resize", () => { if (window.innerWidth !== width) { width = window.innerWidth; everything(); } });
addEventListener("beforeprint", () => { document.querySelectorAll("details:not(.tools)").forEach(d => { d.open = true; }); drawAll(); });
addEventListener("afterprint", drawAll);

watch(change => {
  const before = JSON.stringify(page.views.map(view => view.key)), ids = take(change);
  for (const [id, markup] of Object.entries(change.sections ?? {})) {
    const place = document.getElementById(id);
    place.innerHTML = markup;          // made by this program, every text from the store escaped
    place.querySelectorAll("table.sortable").forEach(sortable);
  }
  if (change.views && JSON.stringify(change.views.map(view => view.key)) !== before) {
    page.views = change.views;
    document.getElementById("figures").replaceChildren();
    drawn = figures();
  }
  if (change.colours) setColours();
  if (change.runs?.length || change.quantities) refreshFilters();
  if (!document.getElementById("report").hidden) everything();
  refreshRun(ids);
});
