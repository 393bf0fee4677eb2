// Where a page that is served gets what is new: changes as they are flushed, and the details of one run when asked for.
import { page } from "./runs.js";

const token = new URLSearchParams(location.search).get("token");
const address = (path, more = {}) => `${path}?${new URLSearchParams({ ...more, ...(token ? { token } : {}) })}`;

// The attempts, log and samples of a run: held by a page that is one file, else read from the store now.
export async function asked(id) {
  if (!page.live) return page.details[id] ?? { attempts: [], log: "", samples: [] };
  const answer = await fetch(address("run", { id }));
  if (!answer.ok) throw new Error(`the server answered ${answer.status}: ${await answer.text()}`);
  return answer.json();
}

// Reads the curves of a quantity that did not travel with a page of many runs, and calls back; says whether it does.
const reading = new Set();
export function bring(key, then) {
  if (!page.live || page.curves[key] || !page.quantities[key]) return false;
  if (!reading.has(key)) {
    reading.add(key);
    fetch(address("curves", { key })).then(async answer => {
      if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
      page.curves[key] = (await answer.json()).curves;
      then();
    }).catch(error => say(String(error.message ?? error), true)).finally(() => reading.delete(key));
  }
  return true;
}

// Calls back with each change; after a break that missed some, the page is loaded again.
export function watch(onUpdate) {
  if (!page.live) return;
  const source = new EventSource(address("events", { version: page.version }));
  source.addEventListener("change", event => {
    const change = JSON.parse(event.data);
    if (change.after !== page.version) { source.close(); location.reload(); return; }
    onUpdate(change);
    say("live");
  });
  source.addEventListener("reload", () => { source.close(); location.reload(); });
  source.addEventListener("open", () => say("live"));
  source.addEventListener("trouble", event => say(JSON.parse(event.data), true));
  source.addEventListener("error", () => say("not connected; trying again", true));
  addEventListener("pagehide", () => source.close());
}

function say(text, bad = false) {
  const place = document.getElementById("live");
  place.textContent = bad ? text : `${text} · ${new Date().toLocaleTimeString()}`;
  place.classList.toggle("bad", bad);
}

// Puts a change into the data that everything is drawn from; returns the ids of the runs in it.
export function take(change) {
  page.version = change.version;
  for (const key of ["quantities", "axes", "columns", "sizes", "colours", "t975"]) if (change[key]) page[key] = change[key];
  const places = new Map(page.runs.map((run, i) => [run.id, i]));
  for (const run of change.runs ?? []) {
    const at = places.get(run.id);
    if (at === undefined) page.runs.push(run);
    else page.runs[at] = change.whole ? run : { ...page.runs[at], ...run };
  }
  for (const [key, runs] of Object.entries(change.curves ?? {})) {
    const isOthers = change.asked?.includes(key) && !page.curves[key];   // another page asked for it: these are some runs' only
    if (!isOthers) page.curves[key] = { ...page.curves[key], ...runs };
  }
  return [...new Set([...(change.runs ?? []).map(run => run.id), ...Object.values(change.curves ?? {}).flatMap(Object.keys)])];
}
