// How values of a column are told apart in figures: by colour and dash.

const colour = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();
const DASHES = [[], [6, 3], [2, 2], [8, 3, 2, 3]];
const HUES = 8;

// How each value of a column is drawn: a hue and a dash, or a place on a ramp for numbers.
function styles(column, among) {
  if (!column) return { of: () => ({ hue: colour("c0"), dash: [] }), entries: [], ramp: null };
  // A value keeps its colour whatever is chosen, while there are colours for all.
  const all = distinct(column);
  const values = all.length > HUES ? distinct(column, among) : all;
  const finite = values.map(number).filter(Number.isFinite);
  if (!column.isText && finite.length > 4) {
    const log = isWide(finite);
    const [low, high] = [finite[0], finite[finite.length - 1]].map(log ? Math.log : Number);
    const of = (value) => ({
      hue: ramp(((log ? Math.log : Number)(number(value)) - low) / (high - low || 1)),
      dash: [],
    });
    return {
      of,
      entries: [],
      ramp: [written(finite[0], column), written(finite[finite.length - 1], column)],
    };
  }
  const rank = new Map(values.map((value, n) => [value, n]));
  const of = (value) => {
    const n = rank.get(value) ?? HUES;
    return n < HUES
      ? { hue: colour(`c${n}`), dash: DASHES[n % DASHES.length] }
      : { hue: colour("faint"), dash: [] };
  };
  const here = new Set(among.map(column.value));
  const entries = values
    .slice(0, HUES)
    .filter((value) => here.has(value))
    .map((value) => [written(value, column), of(value)]);
  if (values.length > HUES) entries.push([`${values.length - HUES} others`, of(undefined)]);
  return { of, entries, ramp: null };
}

function ramp(share) {
  const at = Math.min(Math.max(share, 0), 1) * 4;
  const n = Math.min(3, Math.floor(at));
  return mix(colour(`r${n}`), colour(`r${n + 1}`), at - n);
}

function mix(a, b, share) {
  const part = (text, n) => parseInt(text.slice(1 + 2 * n, 3 + 2 * n), 16);
  return `rgb(${[0, 1, 2].map((n) => Math.round(part(a, n) + (part(b, n) - part(a, n)) * share)).join(",")})`;
}

// Whether numbers are better seen on a logarithmic scale.
const isWide = (values) => {
  const [low, high] = extremes(values);
  return low > 0 && high / low >= 50;
};

function legend(column, style) {
  if (!column || !(style.entries.length || style.ramp)) return [];
  if (style.ramp)
    return [
      el(
        "ul",
        { class: "legend" },
        el(
          "li",
          {},
          `${column.name}: ${style.ramp[0]} `,
          el("span", { class: "ramp" }),
          ` ${style.ramp[1]}`,
        ),
      ),
    ];
  return [
    el(
      "ul",
      { class: "legend", "aria-label": column.name },
      el("li", {}, `${column.name}:`),
      ...style.entries.map(([text, { hue, dash }]) => {
        const line = el("span", { "aria-hidden": "true" });
        line.style.borderTopColor = hue;
        line.style.borderTopStyle = dash.length === 0 ? "solid" : dash[0] > 2 ? "dashed" : "dotted";
        return el("li", {}, line, text);
      }),
    ),
  ];
}
