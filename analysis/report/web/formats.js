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
  return Number.isInteger(value) ? value.toLocaleString("en") : short(value);
}

const superscript = n => String(n).replace(/./g, c => c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c]);

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
