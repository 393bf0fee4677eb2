// The page's data, which runs are shown, and by what they are coloured. Whoever draws asks here and is told of changes.

export const page = JSON.parse(document.getElementById("data").textContent);
export const chosen = { words: "", hidden: new Set(), group: "size" };

// The colour of each size, on a light page and on a dark one.
export function setColours() {
  page.colours.forEach(([light, dark], i) => document.documentElement.style.setProperty(`--s${i}`, `light-dark(${light}, ${dark})`));
}

const listeners = [];
export const onChange = listener => listeners.push(listener);
export const changed = what => listeners.forEach(listener => listener(what));

export const valueOf = (run, key) => run[key] ?? run.varies?.[key] ?? "";
const searched = run => [run.id, run.model, run.state, `seed ${run.seed ?? ""}`,
  ...Object.entries(run.varies).map(([name, value]) => `${name}=${value}`)].join(" ").toLowerCase();

export function isShown(run) {
  if (chosen.hidden.has(`size:${run.size}`) || chosen.hidden.has(`patch:${run.patch}`)) return false;
  if (chosen.hidden.has(`group:${valueOf(run, chosen.group)}`)) return false;
  if (!chosen.words) return true;
  const text = searched(run);
  return chosen.words.toLowerCase().split(/[\s,]+/).filter(Boolean).every(word => text.includes(word));
}
export const shownRuns = () => page.runs.filter(isShown);
export const isFiltered = () => page.runs.some(run => !isShown(run));
export const runNamed = id => page.runs.find(run => run.id === id);

// Size, and every setting that has several values among the runs and few enough to tell by colour.
export function groupings() {
  const names = new Set(["size", "patch", "state", "seed", ...page.runs.flatMap(run => Object.keys(run.varies))]);
  return [...names].filter(name => {
    const values = new Set(page.runs.map(run => String(valueOf(run, name))));
    return name === "size" || (values.size > 1 && values.size <= 24);
  }).filter(name => !["model.size", "model.patch"].includes(name));
}

export function groups() {
  if (chosen.group === "size") return page.sizes;
  const values = [...new Set(page.runs.map(run => valueOf(run, chosen.group)))];
  return values.sort((a, b) => String(a).localeCompare(String(b), "en", { numeric: true }));
}

export function colour(run) {
  const place = Math.max(0, groups().indexOf(valueOf(run, chosen.group)));
  return chosen.group === "size" ? `var(--s${place})` : `var(--g${place % 8})`;
}

// Steps and values of one run; steps that many runs share are kept once.
export function curveOf(key, run) {
  const found = page.curves[key]?.[run.id];
  return found ? [typeof found[0] === "number" ? page.steps[found[0]] : found[0], found[1]] : null;
}
