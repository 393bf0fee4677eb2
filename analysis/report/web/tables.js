// The table of runs, which chooses its columns by the room there is, and sorting of every table.
import { cell, cellsOf, element } from "./formats.js";
import { page, shownRuns, valueOf } from "./runs.js";

const FIRST = 60;                     // rows before "show all": a thousand rows take a browser half a second
const order = { key: null, down: false, all: false };

export function runsTable() {
  const place = document.getElementById("runs-table");
  if (!place) return;
  const shown = sorted(shownRuns()), { varied, alike, out } = columnsFor(place.clientWidth, shown);
  const head = element("tr", {}, ...varied.map(heading)), rows = (order.all ? shown : shown.slice(0, FIRST)).map(run => row(run, varied));
  const table = element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows));
  const parts = [element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Runs" }, table)];
  if (alike.length) parts.unshift(element("p", { class: "hint" }, `All of them: ${alike.join(", ")}.`));
  if (shown.length > rows.length) parts.push(element("button", { type: "button", class: "more", onclick: () => { order.all = true; runsTable(); } }, `Show all ${cell(shown.length)} runs`));
  if (out.length) parts.push(element("p", { class: "hint" }, `No room for: ${out.join(", ")}. A run's page has them, and so has a wider window.`));
  place.replaceChildren(...parts);
}

// Columns alike in all runs go to a line above; of the others as many as there is room for, the most telling first.
function columnsFor(width, shown) {
  const values = column => new Set(shown.map(run => valueOf(run, column.key)));
  const constant = page.columns.filter(column => shown.length > 1 && !["model", "state", "step"].includes(column.key) && values(column).size === 1);
  const others = page.columns.filter(column => !constant.includes(column));
  let room = width, varied = [];
  for (const column of others) {
    const write = cellsOf(shown.map(run => valueOf(run, column.key)));
    const longest = Math.max(column.title.length + 1, ...shown.slice(0, 200).map(run => String(write(valueOf(run, column.key))).length));
    room -= 7.4 * longest + 20;
    if (room < 0 && varied.length > 1) break;
    varied.push({ ...column, write });
  }
  const alike = constant.filter(c => valueOf(shown[0], c.key) !== "").map(c => `${c.title} ${cell(valueOf(shown[0], c.key))}`);
  return { varied, alike, out: others.slice(varied.length).map(column => column.title) };
}

const isNumber = key => page.runs.some(run => typeof valueOf(run, key) === "number");

function heading(column) {
  const sort = order.key !== column.key ? "none" : order.down ? "descending" : "ascending";
  const click = () => { order.down = order.key === column.key && !order.down; order.key = column.key; runsTable(); };
  return element("th", { scope: "col", "aria-sort": sort, class: isNumber(column.key) ? "num" : "" }, element("button", { type: "button", onclick: click, title: column.key }, column.title));
}

function row(run, columns) {
  const made = element("tr", { class: `state-${run.state}` });
  columns.forEach((column, i) => {
    const text = String(column.write(valueOf(run, column.key)));
    const inside = i === 0 || column.key === "id" ? element("a", { href: `#run=${encodeURIComponent(run.id)}` }, text) : text;
    made.append(element("td", { class: isNumber(column.key) ? "num" : "" }, inside));
  });
  return made;
}

export function compare(a, b) {
  if (a === "" || b === "") return (a === "") - (b === "") || 0;
  return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
}
function sorted(runs) {
  if (!order.key) return runs;
  const value = run => valueOf(run, order.key), sign = order.down ? -1 : 1;
  return [...runs].sort((a, b) => value(a) === "" || value(b) === "" ? compare(value(a), value(b)) : sign * compare(value(a), value(b)));
}

// A table that came as markup: a click on a heading sorts it.
export function sortable(table) {
  const body = table.tBodies[0];
  [...table.tHead.rows[0].cells].forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = row => { const held = row.cells[column]; return held.dataset.v === undefined ? held.textContent : Number(held.dataset.v); };
    const pairs = [...body.rows].map(row => [key(row), row]);
    body.append(...pairs.sort(([a], [b]) => a === "" || b === "" ? compare(a, b) : (down ? -1 : 1) * compare(a, b)).map(pair => pair[1]));
  }));
}
