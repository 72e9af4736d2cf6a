// The figure by parameter: a heat map, lines or bars.

const MOST_BARS = 80;
const MOST_CELLS = 60; // of a side of a heat map

const MOST_TICKS = 30; // values of a parameter, of which each has more than one experiment

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

function quantile(sorted, share) {
  const at = (sorted.length - 1) * share;
  const low = Math.floor(at);
  return sorted[low] + (sorted[Math.ceil(at)] - sorted[low]) * (at - low);
}

function group(among, ...keys) {
  const found = new Map();
  for (const row of among) {
    const key = JSON.stringify(keys.map((column) => column?.value(row) ?? null));
    if (!found.has(key)) found.set(key, []);
    found.get(key).push(row);
  }
  return (...values) => found.get(JSON.stringify(values.map((value) => value ?? null))) ?? [];
}

const listed = (words) =>
  words.length < 2
    ? words.join("")
    : `${words.slice(0, -1).join(", ")} and ${words[words.length - 1]}`;

const measures = columns.filter(
  (c) =>
    ["result", "metric", "cost"].includes(c.role) &&
    !c.isText &&
    c.kind !== "time" &&
    rows.some((row) => Number.isFinite(number(c.value(row)))),
);
const isNumeric = (c) =>
  !c.isText && distinct(c).filter((v) => Number.isFinite(number(v))).length > 2;
const isRepeat = (c) => ["repeat", "seed", "fold"].includes(c.name);

// What the rows differ in, and tells more than that a run was repeated, comes first.
function usefulFirst(among) {
  const rank = (c) => 2 * (distinct(c, among).length < 2) + isRepeat(c);
  return [...varying].sort((a, b) => rank(a) - rank(b));
}

const byParameter = {
  build() {
    if (!measures.length) return false;
    const has = rows.filter((row) => Number.isFinite(number(measures[0].value(row))));
    const sides = usefulFirst(has);
    if (!sides.length) return false;
    const tells = (c) => !isRepeat(c) && distinct(c, has).length > 1;
    const numeric = sides.filter((c) => isNumeric(c) && tells(c));
    const classes = sides.filter((c) => !numeric.includes(c));
    this.measure = measures[0];
    const two = sides.filter(tells);
    const isDrawn = numeric.some((c) => distinct(c).length > MOST_TICKS); // as by a random search
    if (numeric.length === 1 || isDrawn)
      [this.kind, this.x, this.by] = [
        "lines",
        numeric[0],
        classes.find(tells) ?? numeric[1] ?? null,
      ];
    else if (two.length > 1)
      [this.kind, this.x, this.by] =
        numeric.length > 1 ? ["heat", numeric[1], numeric[0]] : ["heat", two[1], two[0]];
    else [this.kind, this.x, this.by] = ["bars", sides[0], null];
    this.sides = sides;
    addFigure(this, "by-parameter", "By parameter");
    this.offer();
    return true;
  },

  offer() {
    const names = (list) => list.map((c) => [c.name, c.name]);
    const kinds = [["bars", "bars"]];
    if (this.sides.some(isNumeric)) kinds.unshift(["lines", "lines"]);
    if (this.sides.length > 1) kinds.unshift(["heat", "heat map"]);
    if (this.kind === "lines" && !isNumeric(this.x)) this.x = this.sides.find(isNumeric);
    const others = this.sides.filter((c) => c !== this.x);
    if (this.by === this.x) this.by = null;
    if (this.kind === "heat") this.by ??= others[0];
    const across = this.kind === "lines" ? this.sides.filter(isNumeric) : this.sides;
    const again = (key, list) => (value) => {
      this[key] = list ? (byName.get(value) ?? null) : value;
      this.offer();
      this.draw();
    };
    const words = {
      heat: ["columns", "rows"],
      lines: ["along", "a line for each"],
      bars: ["a bar for each", "within each"],
    }[this.kind];
    const focus = [...this.controls.querySelectorAll("select")].indexOf(document.activeElement);
    this.controls.replaceChildren(
      labelFor("picture", select(kinds, this.kind, again("kind"))),
      labelFor("of", select(names(measures), this.measure.name, again("measure", true))),
      labelFor(words[0], select(names(across), this.x.name, again("x", true))),
      ...(this.sides.length > 1
        ? [
            labelFor(
              words[1],
              select(
                [...(this.kind === "heat" ? [] : [["", "none"]]), ...names(others)],
                this.by?.name ?? "",
                again("by", true),
              ),
            ),
          ]
        : []),
    );
    if (focus >= 0) this.controls.querySelectorAll("select")[focus]?.focus();
  },

  draw() {
    this.chart?.destroy();
    this.chart = null;
    const among = kept.filter(
      (row) => Number.isFinite(number(this.measure.value(row))) && this.x.value(row) !== null,
    );
    const isScattered = this.isScattered(among);
    const over = this.sides.filter(
      (c) => !isScattered && c !== this.x && c !== this.by && distinct(c, among).length > 1,
    );
    this.is = over.length ? `mean ${this.measure.name}` : this.measure.name;
    this[this.kind](among);
    const by = [this.x, this.by].filter(Boolean).map((c) => c.name);
    const title = `${this.is[0].toUpperCase()}${this.is.slice(1)} by ${listed(by)}`;
    const text = [
      over.length ? `Means over ${listed(over.map((c) => c.name))}.` : "",
      this.kind === "lines" && (over.length || isScattered) ? "Dots are single experiments." : "",
      this.kind === "bars" && over.length
        ? `The line spans all of them${this.host.querySelector(".dot") ? ", dots are single experiments" : ""}.`
        : "",
      among.length < kept.length
        ? `${(kept.length - among.length).toLocaleString("en")} of ${kept.length.toLocaleString("en")} experiments have no such value.`
        : "",
      this.cut ?? "",
    ]
      .filter(Boolean)
      .join(" ");
    this.caption.replaceChildren(el("b", {}, `${title}.`), ` ${text}`);
    this.host.setAttribute("aria-label", title);
    this.cut = "";
  },

  values(among) {
    return among.map((row) => number(this.measure.value(row)));
  },

  heat(among) {
    const sides = [this.by, this.x].map((column) => distinct(column, among));
    const [down, across] = sides.map((values) => values.slice(0, MOST_CELLS));
    if (sides.some((values) => values.length > MOST_CELLS))
      this.cut = `Only the first ${MOST_CELLS} values of a side are shown.`;
    const cells = group(among, this.by, this.x);
    const means = down.map((y) => across.map((x) => mean(this.values(cells(y, x)))));
    const finite = means.flat().filter(Number.isFinite);
    const [low, high] = [Math.min(...finite), Math.max(...finite)];
    const head = el(
      "tr",
      {},
      el("th", { class: "corner" }, `${this.by.name} \\ ${this.x.name}`),
      ...across.map((x) => el("th", { scope: "col" }, written(x, this.x))),
    );
    const body = down.map((y, n) =>
      el(
        "tr",
        {},
        el("th", { scope: "row" }, written(y, this.by)),
        ...across.map((x, k) =>
          this.cell(means[n][k], cells(y, x).length, (means[n][k] - low) / (high - low || 1)),
        ),
      ),
    );
    this.host.removeAttribute("role");
    this.host.replaceChildren(
      el(
        "div",
        { class: "scroll", tabindex: "0", role: "region", "aria-label": "Heat map" },
        el("table", { class: "heat" }, el("thead", {}, head), el("tbody", {}, ...body)),
      ),
    );
  },

  cell(value, count, share) {
    if (!Number.isFinite(value)) return el("td", { class: "none", title: "no value" }, "–");
    const node = el(
      "td",
      {
        class: share > 0.55 ? "high" : null,
        title: `${value} (${count} experiment${count > 1 ? "s" : ""})`,
      },
      written(value, this.measure),
    );
    node.style.backgroundColor = `color-mix(in oklab, var(--high) ${(share * 100).toFixed(1)}%, var(--low))`;
    return node;
  },

  // Whether hardly two experiments have the same value along: then no line means anything.
  isScattered(among) {
    const number = distinct(this.x, among).length;
    return this.kind === "lines" && number > MOST_TICKS && among.length < 2 * number;
  },

  lines(among) {
    const style = styles(this.by, among);
    const lines = this.isScattered(among) ? this.dots(among, style) : this.means(among, style);
    const numbers = distinct(this.x, among).map(number).filter(Number.isFinite);
    this.chart = plot(this.host, {
      lines,
      xLabel: this.x.name,
      yLabel: this.is,
      xLog: numbers.length > 1 && isWide(numbers),
      yLog: false,
      ticks: numbers.length <= 10 && isSpread(numbers) ? numbers : null,
      label: `${this.is} by ${this.x.name}`,
    });
    this.host.append(...legend(this.by, style));
  },

  dots(among, style) {
    const groups = new Map();
    for (const row of among) {
      const value = this.by ? this.by.value(row) : null;
      if (!groups.has(value)) groups.set(value, []);
      groups.get(value).push([number(this.x.value(row)), number(this.measure.value(row)), row]);
    }
    const label = ([, y, row]) => `${labelled(row)}\n${this.measure.name} = ${short(y)}`;
    return [...groups].map(([value, points]) => ({
      ...style.of(value),
      points,
      width: 0,
      dots: 2.6,
      alpha: 0.8,
      label,
    }));
  },

  means(among, style) {
    const cells = group(among, this.by, this.x);
    const bys = this.by ? distinct(this.by, among) : [null];
    const xs = distinct(this.x, among).filter((x) => Number.isFinite(number(x)));
    const lines = [];
    for (const value of bys) {
      const look = style.of(value);
      const name = this.by ? `${this.by.name} = ${written(value, this.by)}\n` : "";
      const points = xs
        .filter((x) => cells(value, x).length)
        .map((x) => [number(x), mean(this.values(cells(value, x))), cells(value, x)]);
      const single = points.flatMap(([x, , inside]) =>
        inside.length > 1 ? inside.map((row) => [x, number(this.measure.value(row)), row]) : [],
      );
      if (single.length && single.length < 4000) {
        lines.push({
          ...look,
          points: single,
          width: 0,
          dots: 1.6,
          alpha: 0.5,
          label: ([, y, row]) => `${labelled(row)}\n${this.measure.name} = ${short(y)}`,
        });
      }
      lines.push({
        ...look,
        points,
        width: 2,
        dots: 3,
        label: ([x, y, inside]) =>
          `${name}${this.x.name} = ${plain(x)}\n${this.is} = ${short(y)}${inside.length > 1 ? ` (${inside.length} experiments)` : ""}`,
      });
    }
    return lines;
  },

  bars(among) {
    const style = styles(this.by, among);
    const cells = group(among, this.x, this.by);
    const [xs, ys] = [distinct(this.x, among), this.by ? distinct(this.by, among) : [null]];
    const pairs = xs
      .slice(0, MOST_BARS)
      .flatMap((x) => ys.slice(0, MOST_BARS).map((y) => [x, y]))
      .filter(([x, y]) => cells(x, y).length);
    if (Math.max(pairs.length, xs.length, ys.length) > MOST_BARS)
      this.cut = `Only the first ${MOST_BARS} bars are shown.`;
    const values = this.values(among);
    const [low, high] = [Math.min(0, ...extremes(values)), Math.max(0, ...extremes(values))];
    const at = (value) => `${((value - low) / (high - low || 1)) * 100}%`;
    let before;
    const body = pairs.slice(0, MOST_BARS).map(([x, y]) => {
      const inside = this.values(cells(x, y));
      const isFirst = x !== before;
      before = x;
      const bar = el("div", { class: "bar" });
      const middle = mean(inside);
      bar.style.left = at(Math.min(0, middle));
      bar.style.width = `${(Math.abs(middle) / (high - low || 1)) * 100}%`;
      bar.style.backgroundColor = style.of(y).hue;
      const track = el("div", { class: "track" }, bar, ...marks(inside, at));
      return el(
        "tr",
        { class: isFirst ? "first" : null },
        el("th", { scope: "row", title: written(x, this.x) }, isFirst ? written(x, this.x) : ""),
        ...(this.by ? [el("th", { class: "by", scope: "row" }, written(y, this.by))] : []),
        el("td", {}, track),
        el(
          "td",
          { class: "n", title: `${middle} (${inside.length} experiments)` },
          written(middle, this.measure),
        ),
      );
    });
    this.host.removeAttribute("role");
    this.host.replaceChildren(
      body.length
        ? el("table", { class: "bars" }, el("tbody", {}, ...body))
        : el("p", { class: "note" }, "There is nothing to draw for these experiments."),
    );
  },
};

const extremes = (values) =>
  values.reduce(([a, b], value) => [Math.min(a, value), Math.max(b, value)], [Infinity, -Infinity]);
const isSpread = (values) => {
  const sorted = isWide(values) ? values.map(Math.log) : values;
  const room = (sorted[sorted.length - 1] - sorted[0]) / 25;
  return sorted.every((value, n) => !n || value - sorted[n - 1] >= room);
};

// Single experiments on a bar: dots while they can be told apart, and how far they reach.
function marks(values, at) {
  if (values.length < 2) return [];
  const [low, high] = extremes(values);
  const span = el("div", { class: "span" });
  span.style.left = at(low);
  span.style.right = `calc(100% - ${at(high)})`;
  const dots =
    values.length > 30
      ? []
      : values.map((value) => {
          const dot = el("div", { class: "dot" });
          dot.style.left = at(value);
          return dot;
        });
  return [span, ...dots];
}
