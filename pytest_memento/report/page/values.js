// The data of the page: its columns, and how values are written and compared.

const data = JSON.parse(document.getElementById("data").textContent);
const root = document.documentElement;

const $ = (id) => document.getElementById(id);

function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false)
      node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

// Adds a figure, and gives its owner the places for controls, picture and caption.
function addFigure(owner, id, heading) {
  owner.controls = el("div", { class: "controls" });
  owner.host = el("div", { class: "plot" });
  owner.caption = el("figcaption");
  $("figures").append(
    el("h2", {}, heading),
    el("figure", { id }, owner.controls, owner.host, owner.caption),
  );
}

const columns = data.columns.map((column) => {
  const value = column.words
    ? (row) => (column.at[row] < 0 ? null : column.words[column.at[row]])
    : (row) => column.values[row] ?? null;
  const isText = column.kind === "text";
  const isMeasured = column.role === "result" || column.role === "metric";
  const isWhole =
    isMeasured &&
    !isText &&
    column.values.every((each) => typeof each !== "number" || Number.isInteger(each));
  const made = { ...column, value, isText, isMeasured, isWhole };
  made.text = (row) => written(value(row), made);
  return made;
});
const byName = new Map(columns.map((column) => [column.name, column]));
const rows = Array.from({ length: data.rows }, (_, row) => row);

function written(value, column) {
  if (value === null) return "";
  if (typeof value !== "number") return String(value);
  if (column.kind === "seconds") return duration(value);
  if (column.kind === "bytes") return size(value);
  if (column.isMeasured && !column.isWhole) return short(value);
  return Number.isInteger(value) ? String(value) : plain(value);
}

// Four digits, as in the tables of a paper; the whole number is in the cell's title.
function short(value, digits = 4) {
  const magnitude = Math.abs(value);
  if (magnitude >= 1e6 || (magnitude < 1e-4 && magnitude > 0))
    return value.toExponential(digits - 1);
  if (magnitude >= 10 ** (digits - 1)) return value.toFixed(1);
  return value.toPrecision(digits);
}

const two = (number) => String(number).padStart(2, "0");

function duration(seconds) {
  if (seconds < 9.995) return `${seconds.toFixed(2)}s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m${two(whole % 60)}s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)}h${two(Math.floor((whole % 3600) / 60))}m`;
  return `${Math.floor(whole / 86400)}d${two(Math.floor((whole % 86400) / 3600))}h`;
}

function size(bytes) {
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (bytes < 999.5)
      return `${unit === "B" || bytes >= 99.5 ? bytes.toFixed(0) : bytes.toFixed(1)} ${unit}`;
    bytes /= 1000;
  }
  return `${bytes.toFixed(1)} TB`;
}

const SPECIAL = new Map([
  ["nan", NaN],
  ["inf", Infinity],
  ["-inf", -Infinity],
  ["NaN", NaN],
  ["Infinity", Infinity],
  ["-Infinity", -Infinity],
]);

// A number that can be compared and drawn, NaN if it is none.
function number(value) {
  if (typeof value === "number") return value;
  if (value === null) return NaN;
  return SPECIAL.has(value) ? SPECIAL.get(value) : /^-?\d+$/.test(value) ? Number(value) : NaN;
}

function distinct(column, among = rows) {
  const values = [...new Set(among.map(column.value))].filter((value) => value !== null);
  return column.isText ? values : values.sort((a, b) => number(a) - number(b));
}

const varying = columns.filter(
  (c) => ["experiment", "parameter", "setting"].includes(c.role) && distinct(c).length > 1,
);
const naming = columns.filter((c) => c.role === "parameter" || c.role === "experiment");
const labelled = (row) =>
  (varying.length ? varying : naming)
    .filter((c) => c.value(row) !== null)
    .map((c) => `${c.name} = ${c.text(row)}`)
    .join(", ");
