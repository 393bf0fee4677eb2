// Numbers and small pieces of the page as text; nothing here knows what is shown.

export function short(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-3) return value.toExponential(2).replace("e+", "e");
  return String(Number(value.toPrecision(4)));
}

// An estimate and the ends of its interval with the same decimals: two digits of the interval's half width.
export function withInterval(value, low, high) {
  const half = (high - low) / 2 || Math.abs(value) / 100 || 1;
  const digits = Math.min(12, Math.max(0, 1 - Math.floor(Math.log10(half))));
  return `${value.toFixed(digits)} [${low.toFixed(digits)}, ${high.toFixed(digits)}]`;
}

export function cell(value) {
  if (typeof value !== "number") return value ?? "";
  if (Number.isInteger(value)) return value.toLocaleString("en");
  const size = Math.abs(value);
  return size >= 1e3 && size < 1e6 ? Math.round(value).toLocaleString("en") : short(value);
}

// How a column writes its numbers: all of them by powers of ten, where one of them is so small that it has to be.
export function cellsOf(values) {
  const small = values.some(value => typeof value === "number" && value !== 0 && Math.abs(value) < 1e-3);
  const positive = values.every(value => typeof value !== "number" || value > 0);
  return small && positive ? value => (typeof value === "number" ? scientific(value) : cell(value)) : cell;
}

const superscript = n => String(n).replace(/./g, c => c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c]);

function scientific(value) {
  const k = Math.floor(Math.log10(value) + 1e-9);
  return `${(value / 10 ** k).toFixed(2)}·10${superscript(k)}`;
}

export function powerOfTen(value) {
  if (value >= 0.001 && value < 1e5) return short(Number(value.toPrecision(3)));
  const k = Math.floor(Math.log10(value) + 1e-9), m = Number((value / 10 ** k).toPrecision(2));
  return (m === 1 ? "10" : `${m}·10`) + superscript(k);
}

// An HTML element with attributes, text and children; texts never become markup.
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes))
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== false && value !== null) made.setAttribute(key, value === true ? "" : value);
  made.append(...children);
  return made;
}

export function svg(name, attributes = {}, parent = null) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const key in attributes) made.setAttribute(key, attributes[key]);
  if (parent) parent.appendChild(made);
  return made;
}
