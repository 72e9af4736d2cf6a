// What is alive in a report: choosing, sorting, figures. Texts reach the page as text nodes only.
(() => {
  "use strict";

  const CHUNK = 100; // rows that are put into the page at a time
  const MOST_CHOICES = 30; // values of a column that are offered to choose from
  const MOST_CURVES = 40; // that are drawn one by one unless asked for
  const MOST_CELLS = 60; // of a side of a heat map
  const MOST_BARS = 80;
  const MOST_BANDS = 5;
  const MOST_PRINTED = 500;
  const PAPER = 640; // pixels of a printed line
  const data = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;

  const $ = (id) => document.getElementById(id);

  function el(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children);
    return node;
  }

  // -- values ------------------------------------------------------------------------------------

  const columns = data.columns.map((column) => {
    const value = column.words
      ? (row) => (column.at[row] < 0 ? null : column.words[column.at[row]])
      : (row) => column.values[row] ?? null;
    const isText = column.kind === "text";
    const isMeasured = column.role === "result" || column.role === "metric";
    const isWhole = isMeasured && !isText && column.values.every((each) => typeof each !== "number" || Number.isInteger(each));
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
    return column.isMeasured ? (column.isWhole ? plain(value) : short(value)) : String(value);
  }

  // Four digits, as in the tables of a paper; the whole number is in the cell's title.
  function short(value, digits = 4) {
    const magnitude = Math.abs(value);
    if (magnitude >= 1e6 || (magnitude < 1e-4 && magnitude > 0)) return value.toExponential(digits - 1);
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
      if (bytes < 999.5) return `${unit === "B" || bytes >= 99.5 ? bytes.toFixed(0) : bytes.toFixed(1)} ${unit}`;
      bytes /= 1000;
    }
    return `${bytes.toFixed(1)} TB`;
  }

  const SPECIAL = new Map([["nan", NaN], ["inf", Infinity], ["-inf", -Infinity],
    ["NaN", NaN], ["Infinity", Infinity], ["-Infinity", -Infinity]]);

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
    (varying.length ? varying : naming).filter((c) => c.value(row) !== null)
      .map((c) => `${c.name} = ${c.text(row)}`).join(", ");

  // -- expressions: the language of --memento-select ----------------------------------------------

  const TOKEN = /\s*(?:([A-Za-z_][\w.]*)|((?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(==|!=|<=|>=|[<>()[\],-]))/y;
  const UNITS = {
    seconds: { ms: 0.001, s: 1, m: 60, min: 60, h: 3600, d: 86400 },
    bytes: { b: 1, kb: 1e3, mb: 1e6, gb: 1e9, tb: 1e12, kib: 2 ** 10, mib: 2 ** 20, gib: 2 ** 30, tib: 2 ** 40 },
  };

  function amount(text, kind) {
    const units = UNITS[kind] ?? {};
    const parts = [...text.toLowerCase().replace(/\s/g, "").matchAll(/([\d.]+)([a-z]+)/g)];
    const total = parts.reduce((sum, [, n, unit]) => sum + Number(n) * (units[unit] ?? NaN), 0);
    return parts.length ? total : NaN;
  }

  function tokens(text) {
    const found = [];
    TOKEN.lastIndex = 0;
    while (text.slice(TOKEN.lastIndex).trim()) {
      const at = TOKEN.lastIndex;
      const match = TOKEN.exec(text);
      if (!match) throw new Error(`cannot read ${text.slice(at).trim().slice(0, 20)}`);
      const [, name, digits, quoted, sign] = match;
      if (name !== undefined) found.push({ name });
      else if (digits !== undefined) found.push({ literal: Number(digits) });
      else if (quoted !== undefined) found.push({ literal: quoted.slice(1, -1).replace(/\\(.)/g, "$1") });
      else found.push({ sign });
    }
    return found;
  }

  function parse(text) {
    const left = tokens(text);
    const peek = () => left[0] ?? {};
    const is = (...words) => words.includes(peek().sign) || words.includes(peek().name);
    const take = (...words) => (is(...words) ? (left.shift(), true) : false);
    const need = (word) => { if (!take(word)) throw new Error(`${word} is missing`); };

    const or = () => { let a = and(); while (take("or")) { const x = a, b = and(); a = (r) => x(r) || b(r); } return a; };
    const and = () => { let a = not(); while (take("and")) { const x = a, b = not(); a = (r) => x(r) && b(r); } return a; };
    const not = () => { if (take("not")) { const a = not(); return (r) => !a(r); } return comparison(); };

    function comparison() {
      if (take("(")) { const inside = or(); need(")"); return inside; }
      const a = operand();
      if (take("is")) {
        const negated = take("not");
        need("None");
        return (r) => (a.value(r) === null) !== negated;
      }
      const negated = take("not");
      if (take("in")) {
        const all = listed();
        return (r) => a.value(r) !== null && all.some((b) => equal(a, b, r)) !== negated;
      }
      const sign = ["==", "!=", "<=", ">=", "<", ">"].find((each) => take(each));
      if (!sign || negated) throw new Error("a comparison is missing, such as lr <= 0.01");
      const b = operand();
      return (r) => compare(sign, a, b, r);
    }

    function listed() {
      const close = take("[") ? "]" : (need("("), ")");
      const all = [];
      while (!take(close)) { all.push(operand()); if (!is(close)) need(","); }
      return all;
    }

    function operand() {
      const minus = take("-");
      const token = left.shift();
      if (!token || token.sign) throw new Error("a name or a value is missing");
      if ("literal" in token) return constant(minus ? -token.literal : token.literal);
      const words = new Map([["None", null], ["True", "True"], ["False", "False"]]);
      if (words.has(token.name)) return constant(words.get(token.name));
      const column = byName.get(token.name) ?? byName.get(`parameters.${token.name}`);
      const bare = token.name.startsWith("parameters.") && byName.get(token.name.slice(11));
      if (!column && !bare) throw new Error(`there is no ${token.name} (${[...byName.keys()].join(", ")})`);
      return column ?? bare;
    }

    const found = or();
    if (left.length) throw new Error(`cannot read ${peek().name ?? peek().sign ?? peek().literal}`);
    return found;
  }

  const constant = (literal) => ({ kind: "", value: () => literal });

  function pair(a, b, row) {
    const kind = a.kind || b.kind;
    const [x, y] = [a, b].map((side) => side.value(row));
    const asNumber = (v) => (typeof v === "string" && kind in UNITS ? amount(v, kind) : number(v));
    const [m, n] = [x, y].map(asNumber);
    const isNumber = (v, num) => typeof v === "number" || !Number.isNaN(num) || SPECIAL.has(v);
    if (x !== null && y !== null && isNumber(x, m) && isNumber(y, n)) return [m, n];
    return [x, y].map((v) => (v === null ? null : String(v)));
  }

  function equal(a, b, row) {
    const [x, y] = pair(a, b, row);
    return x !== null && x === y;
  }

  function compare(sign, a, b, row) {
    const [x, y] = pair(a, b, row);
    if (x === null || y === null) return false;
    if (sign === "==") return x === y;
    if (sign === "!=") return x !== y;
    if (sign === "<") return x < y;
    if (sign === "<=") return x <= y;
    return sign === ">" ? x > y : x >= y;
  }

  // -- what is chosen ------------------------------------------------------------------------------

  const chosen = { search: "", where: null, text: "", values: new Map() };
  let kept = rows; // what is chosen, in matrix order
  const searchable = [];

  function choose() {
    const words = chosen.search.toLowerCase().split(/\s+/).filter(Boolean);
    kept = rows.filter((row) => {
      for (const [column, value] of chosen.values) if (String(column.value(row)) !== value) return false;
      if (chosen.where && !chosen.where(row)) return false;
      if (!words.length) return true;
      searchable[row] ??= columns.map((c) => `${c.text(row)}\n${c.value(row) ?? ""}`).join("\n").toLowerCase();
      return words.every((word) => searchable[row].includes(word));
    });
    say();
    table.show();
    later(() => figures.forEach((figure) => figure.draw()));
  }

  let waiting = 0;
  function later(task) {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(() => requestAnimationFrame(task));
  }

  function say(trouble = "") {
    const all = rows.length.toLocaleString("en");
    const count = kept.length === rows.length ? `All ${all} experiments` : `${kept.length.toLocaleString("en")} of ${all} experiments`;
    const how = [...[...chosen.values].map(([c, value]) => `${c.name} = ${value}`), chosen.search && `"${chosen.search}"`, chosen.text].filter(Boolean);
    const text = `${count}${how.length ? `: ${how.join("; ")}` : ""}.`;
    $("said").replaceChildren(trouble ? el("span", { class: "bad" }, trouble) : text);
  }

  function labelFor(text, control, kind = "") {
    control.setAttribute("aria-label", text); // what a list offers would be read as part of its name
    return el("label", { class: kind || null }, text, control);
  }

  function select(options, value, change) {
    const node = el("select", { onchange: () => change(node.value) });
    for (const [key, text] of options) node.append(el("option", { value: key, selected: key === value }, text));
    return node;
  }

  function chooser() {
    const offered = [...varying, byName.get("status")]
      .filter(Boolean)
      .filter((c) => distinct(c).length > 1 && distinct(c).length <= MOST_CHOICES).slice(0, 8);
    const selects = offered.map((column) => {
      const options = [["", "any"], ...distinct(column).map((v) => [`=${v}`, written(v, column)])];
      return labelFor(column.name, select(options, "", (value) => {
        if (value) chosen.values.set(column, value.slice(1));
        else chosen.values.delete(column);
        choose();
      }));
    });
    const search = el("input", { type: "search", oninput: () => { chosen.search = search.value; choose(); } });
    const one = varying.find((c) => c.role === "parameter" && /^[A-Za-z_]\w*$/.test(c.name));
    const example = one && distinct(one)[0];
    const hint = one ? `${one.name} == ${typeof example === "number" ? example : `'${example}'`}` : "";
    const where = el("input", {
      type: "text", placeholder: `${hint}${hint ? " and " : ""}runtime > '2m'`,
      spellcheck: "false", autocapitalize: "off", oninput: () => filter(where),
    });
    const reset = el("button", { type: "button", class: "plain", onclick: () => {
      selects.forEach((label) => { label.lastChild.value = ""; });
      search.value = where.value = chosen.search = "";
      chosen.values.clear();
      filter(where);
    } }, "Show all");
    const inside = el("details", { open: true }, el("summary", {}, "Choose experiments"),
      el("div", { class: "controls" }, ...selects, labelFor("Search", search, "wide"),
        labelFor("Expression", where, "wide"), reset));
    if (matchMedia("(max-width: 46rem)").matches) inside.open = false;
    $("choose").append(inside, el("p", { id: "said", role: "status" }));
    $("choose").hidden = false;
  }

  function filter(input) {
    try {
      chosen.where = input.value.trim() ? parse(input.value) : null;
      chosen.text = input.value.trim();
      input.removeAttribute("aria-invalid");
      choose();
    } catch (error) { // what was chosen before stays while one types
      input.setAttribute("aria-invalid", "true");
      say(`Not yet an expression: ${error.message}.`);
    }
  }

  // -- the table -----------------------------------------------------------------------------------

  const STATUS = new Map([["passed", ["good", "✓"]], ["cached", ["good", "✓"]],
    ["verified", ["good", "✓"]], ["failed", ["bad", "✗"]]]);

  const table = {
    sorted: null, // [column, direction]
    order: [],
    shown: 0,

    build() {
      this.body = el("tbody");
      this.heads = columns.map((column) => {
        const button = el("button", { type: "button", onclick: () => this.sort(column) }, column.name);
        return el("th", { scope: "col", class: column.isText ? null : "n", "aria-sort": "none" }, button);
      });
      this.box = el("div", { id: "rows", class: "scroll", tabindex: "0", role: "region", "aria-label": "Table of experiments",
        onscroll: () => this.fill() },
      el("table", {}, el("thead", {}, el("tr", {}, ...this.heads)), this.body));
      this.rest = el("p", { class: "note" });
      $("table").append(el("h2", {}, "All experiments"), this.box, this.rest);
      $("table").hidden = false;
    },

    sort(column) {
      const [before, way] = this.sorted ?? [];
      this.sorted = before !== column ? [column, 1] : way === 1 ? [column, -1] : null;
      this.heads.forEach((head, n) => head.setAttribute("aria-sort",
        this.sorted?.[0] !== columns[n] ? "none" : this.sorted[1] > 0 ? "ascending" : "descending"));
      this.show();
    },

    show() {
      this.order = [...kept];
      if (this.sorted) {
        const [column, way] = this.sorted;
        const keys = new Map(kept.map((row) => [row, column.isText ? column.value(row) : number(column.value(row))]));
        this.order.sort((a, b) => between(keys.get(a), keys.get(b), way));
      }
      this.shown = 0;
      this.body.replaceChildren();
      this.box.scrollTop = 0;
      this.more();
    },

    fill() {
      const { scrollTop, clientHeight, scrollHeight } = this.box;
      if (scrollHeight - scrollTop - clientHeight < 800) this.more();
    },

    more(count = CHUNK) {
      const next = this.order.slice(this.shown, this.shown + count);
      if (!next.length && this.shown) return;
      this.body.append(...next.map((row) => el("tr", {}, ...columns.map((column) => cell(column, row)))));
      this.shown += next.length;
      const left = this.order.length - this.shown;
      if (left) this.rest.replaceChildren(`The first ${this.shown.toLocaleString("en")} of ${this.order.length.toLocaleString("en")} rows.`,
        el("span", { class: "skip" }, " The others come as you scroll."));
      else this.rest.textContent = this.order.length ? "" : "No experiment is like that.";
    },
  };

  // What has no value comes last, whichever way.
  function between(a, b, way) {
    const none = (value) => value === null || Number.isNaN(value);
    if (none(a) || none(b)) return none(a) - none(b);
    return (typeof a === "string" ? collator.compare(a, b) : a < b ? -1 : a > b ? 1 : 0) * way;
  }
  const collator = new Intl.Collator("en", { numeric: true });

  function cell(column, row) {
    const value = column.value(row);
    const text = column.text(row);
    if (column.role === "status") return el("td", {}, status(text));
    const whole = value === null || String(value) === text ? (text.length > 40 ? text : null) : String(value);
    return el("td", { class: column.isText ? null : "n", title: whole }, text);
  }

  function status(word) {
    const [kind, mark] = STATUS.get(word) ?? ["other", "–"];
    return el("span", { class: `status ${kind}` }, el("i", { "aria-hidden": "true" }, mark), word);
  }

  // -- colours -------------------------------------------------------------------------------------

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
      const of = (value) => ({ hue: ramp(((log ? Math.log : Number)(number(value)) - low) / (high - low || 1)), dash: [] });
      return { of, entries: [], ramp: [written(finite[0], column), written(finite[finite.length - 1], column)] };
    }
    const rank = new Map(values.map((value, n) => [value, n]));
    const of = (value) => {
      const n = rank.get(value) ?? HUES;
      return n < HUES ? { hue: colour(`c${n}`), dash: DASHES[n % DASHES.length] } : { hue: colour("faint"), dash: [] };
    };
    const here = new Set(among.map(column.value));
    const entries = values.slice(0, HUES).filter((value) => here.has(value)).map((value) => [written(value, column), of(value)]);
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
  const isWide = (values) => Math.min(...values) > 0 && Math.max(...values) / Math.min(...values) >= 50;

  function legend(column, style) {
    if (!column || !(style.entries.length || style.ramp)) return [];
    if (style.ramp) return [el("ul", { class: "legend" },
      el("li", {}, `${column.name}: ${style.ramp[0]} `, el("span", { class: "ramp" }), ` ${style.ramp[1]}`))];
    return [el("ul", { class: "legend", "aria-label": column.name }, el("li", {}, `${column.name}:`),
      ...style.entries.map(([text, { hue, dash }]) => {
        const line = el("span", { "aria-hidden": "true" });
        line.style.borderTopColor = hue;
        line.style.borderTopStyle = dash.length === 0 ? "solid" : dash[0] > 2 ? "dashed" : "dotted";
        return el("li", {}, line, text);
      }))];
  }

  // -- lines: axes and zoom are uPlot's, the lines have steps of their own ---------------------------

  const WHOLE = Array.from({ length: 48 }, (_, n) => [1, 2, 5][n % 3] * 10 ** Math.floor(n / 3));

  function plot(host, { lines, xLabel, yLabel, xLog, yLog, ticks, label }) {
    const usable = ([x, y]) => Number.isFinite(x) && Number.isFinite(y) && Math.abs(y) < 1e300 && (!xLog || x > 0) && (!yLog || y > 0);
    const all = lines.flatMap((line) => [...line.points, ...(line.band ?? []).flatMap(([x, a, b]) => [[x, a], [x, b]])]).filter(usable);
    if (!all.length) {
      host.replaceChildren(el("p", { class: "note" }, "There is nothing to draw for these experiments."));
      return null;
    }
    const extent = (points, n) => points.reduce(([a, b], point) => [Math.min(a, point[n]), Math.max(b, point[n])], [Infinity, -Infinity]);
    const padded = ([low, high], log, share) => {
      if (log) { const f = high > low ? (high / low) ** share : 1.5; return [low / f, high * f]; }
      const room = high > low ? (high - low) * share : Math.abs(high) * 0.1 || 1;
      return [low - room, high + room];
    };
    const full = padded(extent(all, 0), xLog, 0.02);
    let view = full; // of which uPlot asks first, and then of the range of what is in it
    const isWhole = all.every(([x]) => Number.isInteger(x));
    const width = "printing" in root.dataset ? PAPER : Math.max(240, host.clientWidth);
    const font = `12px ${getComputedStyle(root).getPropertyValue("--sans")}`;
    const axis = (text, more) => ({
      label: text, stroke: colour("faint"), font, labelFont: font, labelSize: 22,
      grid: { stroke: colour("rule"), width: 0.5 }, ticks: { stroke: colour("rule"), width: 1, size: 4 }, ...more,
    });
    const logarithmic = { splits: (u, n) => decades(u.axes[n].scale === "x" ? u.scales.x : u.scales.y), filter: (u, splits) => splits };
    const options = {
      width, height: Math.round(Math.min(420, Math.max(260, width * 0.42))),
      legend: { show: false }, cursor: { points: { show: false }, y: false, drag: { x: true, y: false, setScale: true } },
      scales: {
        x: { time: false, distr: xLog ? 3 : 1, range: (u, low, high) => (view = (low > full[0] || high < full[1]) && high > low && u.zoomed ? [low, high] : full) },
        y: { distr: yLog ? 3 : 1, range: () => {
          const inside = view === full ? all : lines.flatMap((line) => within(line.points.filter(usable), view));
          return padded(extent(inside.length ? inside : all, 1), yLog, 0.06);
        } },
      },
      axes: [
        axis(xLabel, { size: 32, labelSize: 20, ...(ticks ? { splits: () => ticks, filter: (u, s) => s, values: (u, s) => s.map(plain) } : { ...(xLog ? logarithmic : {}), ...(isWhole ? { incrs: WHOLE } : {}), values: (u, s) => s.map(plain) }) }),
        axis(yLabel, { ...(yLog ? logarithmic : {}), size: 62, values: (u, s) => s.map(plain) }),
      ],
      series: [{}, { stroke: "transparent", points: { show: false } }],
      hooks: {
        setSelect: [(u) => { u.zoomed = u.select.width > 0; }],
        draw: [(u) => draw(u, lines, usable)],
      },
    };
    host.replaceChildren();
    host.setAttribute("role", "img");
    host.setAttribute("aria-label", label);
    const chart = new uPlot(options, [full, extent(all, 1)], host);
    chart.over.addEventListener("dblclick", () => { chart.zoomed = false; });
    point(chart, host, lines);
    return chart;
  }

  // The points of a line in a window, and where it crosses the edges.
  function within(points, [low, high]) {
    return points.flatMap(([x, y], n) => {
      const found = x >= low && x <= high ? [[x, y]] : [];
      const [to, value] = points[n + 1] ?? [x, y];
      for (const edge of [low, high]) {
        if ((x - edge) * (to - edge) < 0) found.push([edge, y + ((value - y) * (edge - x)) / (to - x)]);
      }
      return found;
    });
  }

  const plain = (value) => (value == null ? "" : Math.abs(value) >= 1e5 || (value !== 0 && Math.abs(value) < 1e-4) ? value.toExponential().replace("e+", "e") : String(Number(value.toPrecision(6))));

  function decades({ min, max }) {
    const [low, high] = [Math.floor(Math.log10(min)), Math.ceil(Math.log10(max))];
    const every = Math.ceil((high - low) / 10) || 1;
    const factors = high - low <= 2 ? [1, 2, 5] : [1];
    const found = [];
    for (let power = low; power <= high; power += every) for (const factor of factors) found.push(Number(`${factor}e${power}`));
    return found.filter((value) => value >= min && value <= max);
  }

  function draw(u, lines, usable) {
    const { ctx } = u;
    const scale = uPlot.pxRatio;
    const { left, top, width, height } = u.bbox;
    const place = ([x, y]) => [u.valToPos(x, "x", true), u.valToPos(y, "y", true)];
    ctx.save();
    ctx.beginPath();
    ctx.rect(left, top, width, height);
    ctx.clip();
    ctx.lineJoin = "round";
    for (const line of lines) {
      if (line.band) fill(ctx, line, place, usable);
      line.at = trace(ctx, line, place, usable, scale);
    }
    ctx.restore();
  }

  function fill(ctx, line, place, usable) {
    const inside = line.band.filter(([x, a, b]) => usable([x, a]) && usable([x, b]));
    ctx.globalAlpha = 0.16;
    ctx.fillStyle = line.hue;
    ctx.beginPath();
    inside.forEach(([x, a]) => ctx.lineTo(...place([x, a])));
    inside.reverse().forEach(([x, , b]) => ctx.lineTo(...place([x, b])));
    ctx.fill();
  }

  // Draw a line, broken where a value is none, and return where its points are, in CSS pixels.
  function trace(ctx, line, place, usable, scale) {
    const at = [];
    let goesOn = false;
    ctx.globalAlpha = line.alpha ?? 1;
    ctx.strokeStyle = ctx.fillStyle = line.hue;
    ctx.lineWidth = (line.width ?? 1.6) * scale;
    ctx.setLineDash((line.dash ?? []).map((length) => length * scale));
    ctx.beginPath();
    for (const each of line.points) {
      if (!usable(each)) { goesOn = false; continue; }
      const [x, y] = place(each);
      at.push([x / scale, y / scale, each]);
      if (goesOn) ctx.lineTo(x, y);
      else ctx.moveTo(x, y);
      goesOn = true;
    }
    if (line.width !== 0) ctx.stroke();
    ctx.setLineDash([]);
    if (line.dots || at.length === 1) {
      for (const [x, y] of at) { ctx.beginPath(); ctx.arc(x * scale, y * scale, (line.dots ?? 2.5) * scale, 0, 7); ctx.fill(); }
    }
    return at;
  }

  // Say what the pointer is at, and draw that line again on top.
  function point(u, host, lines) {
    const over = el("canvas", { class: "over", "aria-hidden": "true" });
    const tip = el("div", { class: "tip", hidden: true });
    u.root.querySelector(".u-wrap").append(over);
    host.append(tip);
    const clear = () => { tip.hidden = true; over.getContext("2d").clearRect(0, 0, over.width, over.height); };
    u.over.addEventListener("pointerleave", clear);
    u.over.addEventListener("pointermove", (event) => {
      const box = u.root.querySelector(".u-wrap").getBoundingClientRect();
      const [px, py] = [event.clientX - box.left, event.clientY - box.top];
      let best = null, nearest = 900;
      for (const line of lines) for (const [x, y, each] of line.at ?? []) {
        const distance = (x - px) ** 2 + (y - py) ** 2;
        if (distance < nearest) { nearest = distance; best = { line, x, y, each }; }
      }
      clear();
      if (!best) return;
      over.width = u.ctx.canvas.width;
      over.height = u.ctx.canvas.height;
      const ctx = over.getContext("2d");
      ctx.scale(uPlot.pxRatio, uPlot.pxRatio);
      ctx.strokeStyle = ctx.fillStyle = colour("ink");
      ctx.lineWidth = 2;
      ctx.beginPath();
      if (best.line.width !== 0) best.line.at.forEach(([x, y]) => ctx.lineTo(x, y));
      ctx.stroke();
      ctx.beginPath();
      ctx.arc(best.x, best.y, 4, 0, 7);
      ctx.fill();
      tip.textContent = `${best.line.label(best.each)}`;
      tip.hidden = false;
      tip.style.left = `${Math.max(0, Math.min(best.x + 14, box.width - tip.offsetWidth - 4))}px`;
      tip.style.top = `${Math.max(0, best.y - tip.offsetHeight - 12)}px`;
    });
  }

  // -- numbers -------------------------------------------------------------------------------------

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

  const listed = (words) => (words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words[words.length - 1]}`);

  // -- figure: by parameter --------------------------------------------------------------------------

  const measures = columns.filter((c) => ["result", "metric", "cost"].includes(c.role) && !c.isText && c.kind !== "time" &&
    rows.some((row) => Number.isFinite(number(c.value(row)))));
  const isNumeric = (c) => !c.isText && distinct(c).filter((v) => Number.isFinite(number(v))).length > 2;
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
      if (numeric.length === 1) [this.kind, this.x, this.by] = ["lines", numeric[0], classes.find(tells) ?? null];
      else if (two.length > 1) [this.kind, this.x, this.by] = numeric.length > 1 ? ["heat", numeric[1], numeric[0]] : ["heat", two[1], two[0]];
      else [this.kind, this.x, this.by] = ["bars", sides[0], null];
      this.sides = sides;
      this.controls = el("div", { class: "controls" });
      this.host = el("div", { class: "plot" });
      this.caption = el("figcaption");
      $("figures").append(el("h2", {}, "By parameter"), el("figure", { id: "by-parameter" }, this.controls, this.host, this.caption));
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
      const again = (key, list) => (value) => { this[key] = list ? byName.get(value) ?? null : value; this.offer(); this.draw(); };
      const words = { heat: ["columns", "rows"], lines: ["along", "a line for each"], bars: ["a bar for each", "within each"] }[this.kind];
      const focus = [...this.controls.querySelectorAll("select")].indexOf(document.activeElement);
      this.controls.replaceChildren(
        labelFor("picture", select(kinds, this.kind, again("kind"))),
        labelFor("of", select(names(measures), this.measure.name, again("measure", true))),
        labelFor(words[0], select(names(across), this.x.name, again("x", true))),
        ...(this.sides.length > 1 ? [labelFor(words[1], select(
          [...(this.kind === "heat" ? [] : [["", "none"]]), ...names(others)], this.by?.name ?? "", again("by", true)))] : []),
      );
      if (focus >= 0) this.controls.querySelectorAll("select")[focus]?.focus();
    },

    draw() {
      this.chart?.destroy();
      this.chart = null;
      const among = kept.filter((row) => Number.isFinite(number(this.measure.value(row))) && this.x.value(row) !== null);
      const over = this.sides.filter((c) => c !== this.x && c !== this.by && distinct(c, among).length > 1);
      this.is = over.length ? `mean ${this.measure.name}` : this.measure.name;
      this[this.kind](among);
      const by = [this.x, this.by].filter(Boolean).map((c) => c.name);
      const title = `${this.is[0].toUpperCase()}${this.is.slice(1)} by ${listed(by)}`;
      const text = [
        over.length ? `Means over ${listed(over.map((c) => c.name))}.` : "",
        this.kind === "lines" && over.length ? "Dots are single experiments." : "",
        this.kind === "bars" && over.length ? `The line spans all of them${this.host.querySelector(".dot") ? ", dots are single experiments" : ""}.` : "",
        among.length < kept.length ? `${(kept.length - among.length).toLocaleString("en")} of ${kept.length.toLocaleString("en")} experiments have no such value.` : "",
        this.cut ?? "",
      ].filter(Boolean).join(" ");
      this.caption.replaceChildren(el("b", {}, `${title}.`), ` ${text}`);
      this.host.setAttribute("aria-label", title);
      this.cut = "";
    },

    values(among) { return among.map((row) => number(this.measure.value(row))); },

    heat(among) {
      const sides = [this.by, this.x].map((column) => distinct(column, among));
      const [down, across] = sides.map((values) => values.slice(0, MOST_CELLS));
      if (sides.some((values) => values.length > MOST_CELLS)) this.cut = `Only the first ${MOST_CELLS} values of a side are shown.`;
      const cells = group(among, this.by, this.x);
      const means = down.map((y) => across.map((x) => mean(this.values(cells(y, x)))));
      const finite = means.flat().filter(Number.isFinite);
      const [low, high] = [Math.min(...finite), Math.max(...finite)];
      const head = el("tr", {}, el("th", { class: "corner" }, `${this.by.name} \\ ${this.x.name}`),
        ...across.map((x) => el("th", { scope: "col" }, written(x, this.x))));
      const body = down.map((y, n) => el("tr", {}, el("th", { scope: "row" }, written(y, this.by)),
        ...across.map((x, k) => this.cell(means[n][k], cells(y, x).length, (means[n][k] - low) / (high - low || 1)))));
      this.host.removeAttribute("role");
      this.host.replaceChildren(el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Heat map" },
        el("table", { class: "heat" }, el("thead", {}, head), el("tbody", {}, ...body))));
    },

    cell(value, count, share) {
      if (!Number.isFinite(value)) return el("td", { class: "none", title: "no value" }, "–");
      const node = el("td", { class: share > 0.55 ? "high" : null, title: `${value} (${count} experiment${count > 1 ? "s" : ""})` },
        written(value, this.measure));
      node.style.backgroundColor = `color-mix(in oklab, var(--high) ${(share * 100).toFixed(1)}%, var(--low))`;
      return node;
    },

    lines(among) {
      const style = styles(this.by, among);
      const cells = group(among, this.by, this.x);
      const bys = this.by ? distinct(this.by, among) : [null];
      const xs = distinct(this.x, among).filter((x) => Number.isFinite(number(x)));
      const lines = [];
      for (const value of bys) {
        const look = style.of(value);
        const name = this.by ? `${this.by.name} = ${written(value, this.by)}\n` : "";
        const points = xs.filter((x) => cells(value, x).length).map((x) => [number(x), mean(this.values(cells(value, x))), cells(value, x)]);
        const single = points.flatMap(([x, , inside]) => (inside.length > 1 ? inside.map((row) => [x, number(this.measure.value(row)), row]) : []));
        if (single.length && single.length < 4000) {
          lines.push({ ...look, points: single, width: 0, dots: 1.6, alpha: 0.5, label: ([, y, row]) => `${labelled(row)}\n${this.measure.name} = ${short(y)}` });
        }
        lines.push({ ...look, points, width: 2, dots: 3, label: ([x, y, inside]) => `${name}${this.x.name} = ${plain(x)}\n${this.is} = ${short(y)}${inside.length > 1 ? ` (${inside.length} experiments)` : ""}` });
      }
      const numbers = xs.map(number);
      this.chart = plot(this.host, { lines, xLabel: this.x.name, yLabel: this.is, xLog: numbers.length > 1 && isWide(numbers), yLog: false,
        ticks: numbers.length <= 10 && isSpread(numbers) ? numbers : null, label: `${this.is} by ${this.x.name}` });
      this.host.append(...legend(this.by, style));
    },

    bars(among) {
      const style = styles(this.by, among);
      const cells = group(among, this.x, this.by);
      const pairs = distinct(this.x, among).flatMap((x) => (this.by ? distinct(this.by, among) : [null]).map((y) => [x, y]))
        .filter(([x, y]) => cells(x, y).length);
      if (pairs.length > MOST_BARS) this.cut = `Only the first ${MOST_BARS} of ${pairs.length} bars are shown.`;
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
        return el("tr", { class: isFirst ? "first" : null }, el("th", { scope: "row", title: written(x, this.x) }, isFirst ? written(x, this.x) : ""),
          ...(this.by ? [el("th", { class: "by", scope: "row" }, written(y, this.by))] : []), el("td", {}, track),
          el("td", { class: "n", title: `${middle} (${inside.length} experiments)` }, written(middle, this.measure)));
      });
      this.host.removeAttribute("role");
      this.host.replaceChildren(body.length ? el("table", { class: "bars" }, el("tbody", {}, ...body))
        : el("p", { class: "note" }, "There is nothing to draw for these experiments."));
    },
  };

  const extremes = (values) => values.reduce(([a, b], value) => [Math.min(a, value), Math.max(b, value)], [Infinity, -Infinity]);
  const isSpread = (values) => {
    const sorted = (isWide(values) ? values.map(Math.log) : values);
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
    const dots = values.length > 30 ? [] : values.map((value) => {
      const dot = el("div", { class: "dot" });
      dot.style.left = at(value);
      return dot;
    });
    return [span, ...dots];
  }

  // -- figure: over steps ----------------------------------------------------------------------------

  const overSteps = {
    build() {
      if (!data.curves.length) return false;
      const counts = data.metrics.map((_, n) => data.curves.filter((curve) => curve[1] === n).length);
      this.metric = counts.indexOf(Math.max(...counts));
      this.by = usefulFirst(data.curves.map(([row]) => row))[0] ?? null;
      this.mode = "";
      this.log = false;
      this.controls = el("div", { class: "controls" });
      this.host = el("div", { class: "plot" });
      this.caption = el("figcaption");
      $("figures").append(el("h2", {}, "Over steps"), el("figure", { id: "over-steps" }, this.controls, this.host, this.caption));
      const again = (task) => (value) => { task(value); this.draw(); };
      const log = el("input", { type: "checkbox", onchange: () => { this.log = log.checked; this.draw(); } });
      this.controls.append(
        labelFor("metric", select(data.metrics.map((name, n) => [String(n), name]), String(this.metric), again((v) => { this.metric = Number(v); }))),
        labelFor("colour by", select([["", "none"], ...varying.map((c) => [c.name, c.name])], this.by?.name ?? "", again((v) => { this.by = byName.get(v) ?? null; }))),
        labelFor("show", select([["", "as many allow"], ["each", "each experiment"], ["median", "median of each colour"]], "", again((v) => { this.mode = v; }))),
        el("label", { class: "check" }, log, "logarithmic"),
      );
      if ($("thinned")) { $("figures").append($("thinned")); $("thinned").hidden = false; }
      return true;
    },

    draw() {
      this.chart?.destroy();
      const inside = new Set(kept);
      const curves = data.curves.filter(([row, metric]) => metric === this.metric && inside.has(row));
      const isEach = (this.mode || (curves.length > MOST_CURVES ? "median" : "each")) === "each";
      const among = curves.map(([row]) => row);
      const style = styles(this.by, among);
      const name = data.metrics[this.metric];
      const lines = isEach ? this.each(curves, style, name) : this.medians(curves, style, name);
      this.chart = plot(this.host, { lines, xLabel: "step", yLabel: name, xLog: false, yLog: this.log,
        ticks: null, label: `${name} over steps of ${curves.length} experiments` });
      this.host.append(...legend(this.by, style));
      const what = isEach ? "A line is an experiment." : `Lines are medians${lines.some((line) => line.band) ? "; the shaded part holds the middle half of the experiments" : ""}.`;
      const logs = this.log ? "Values of zero or less cannot be drawn on this scale." : "";
      this.caption.replaceChildren(el("b", {}, `${name[0]?.toUpperCase() ?? ""}${name.slice(1)} over steps, ${curves.length.toLocaleString("en")} experiment${curves.length === 1 ? "" : "s"}.`),
        ` ${what} ${logs} `, el("span", { class: "skip" }, "Drag to zoom, double-click to see all."));
    },

    each(curves, style, name) {
      const alpha = curves.length > 400 ? 0.25 : curves.length > 60 ? 0.5 : 0.9;
      return curves.map(([row, , at, values]) => ({
        ...style.of(this.by ? this.by.value(row) : null), alpha, width: curves.length > 60 ? 1 : 1.6,
        points: data.steps[at].map((step, n) => [number(step), values[n] ?? NaN]),
        label: ([x, y]) => `${labelled(row)}\nstep ${plain(x)}: ${name} = ${short(y)}`,
      }));
    },

    medians(curves, style, name) {
      const groups = new Map();
      for (const curve of curves) {
        const value = this.by ? this.by.value(curve[0]) : null;
        if (!groups.has(value)) groups.set(value, []);
        groups.get(value).push(curve);
      }
      const order = this.by ? distinct(this.by, curves.map(([row]) => row)) : [null];
      return order.filter((value) => groups.has(value)).map((value) => {
        const inside = groups.get(value);
        const rows = quartiles(inside);
        const title = this.by ? `${this.by.name} = ${written(value, this.by)}\n` : "";
        return { ...style.of(value), width: 2, points: rows.map(([x, , m]) => [x, m]), band: order.length > MOST_BANDS ? null : rows.map(([x, a, , b]) => [x, a, b]),
          label: ([x, y]) => `${title}step ${plain(x)}: median ${name} = ${short(y)} (${inside.length} experiments)` };
      });
    },
  };

  // Quartiles of curves at up to 200 of their steps, [step, lower, median, upper].
  function quartiles(curves) {
    const tables = [...new Set(curves.map((curve) => curve[2]))];
    let steps = [...new Set(tables.flatMap((at) => data.steps[at]))].filter((step) => typeof step === "number").sort((a, b) => a - b);
    if (steps.length > 200) steps = Array.from({ length: 200 }, (_, n) => steps[Math.round((n * (steps.length - 1)) / 199)]);
    const found = steps.map(() => []);
    for (const [, , at, values] of curves) sample(data.steps[at], values, steps, found);
    return steps.flatMap((step, n) => {
      const sorted = found[n].sort((a, b) => a - b);
      return sorted.length ? [[step, quantile(sorted, 0.25), quantile(sorted, 0.5), quantile(sorted, 0.75)]] : [];
    });
  }

  // Add the values of a curve at given steps, those between its points by interpolation.
  function sample(own, values, steps, found) {
    let k = 0;
    steps.forEach((step, n) => {
      while (k + 1 < own.length && own[k + 1] <= step) k += 1;
      if (own[k] === step) { if (values[k] !== null) found[n].push(values[k]); return; }
      if (step < own[0] || k + 1 >= own.length || values[k] === null || values[k + 1] === null) return;
      found[n].push(values[k] + ((values[k + 1] - values[k]) * (step - own[k])) / (own[k + 1] - own[k]));
    });
  }

  // -- all together ----------------------------------------------------------------------------------

  const figures = [];
  const redraw = () => figures.forEach((figure) => figure.draw());

  if (rows.length) {
    chooser();
    table.build();
    for (const figure of [byParameter, overSteps]) if (figure.build()) figures.push(figure);
    $("figures").hidden = !figures.length;
    say();
    table.show();
    redraw();
  }
  root.dataset.ready = "";

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  let width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; later(redraw); } });

  // On paper there is no scrolling, and nothing is dark.
  let opened = [];
  addEventListener("beforeprint", () => {
    root.dataset.printing = "";
    if (rows.length) table.more(Math.max(0, MOST_PRINTED - table.shown));
    opened = [...document.querySelectorAll("#failures h3 + p + details:not([open])")]; // one of each cause
    opened.forEach((details) => { details.open = true; });
    redraw();
  });
  addEventListener("afterprint", () => {
    delete root.dataset.printing;
    opened.forEach((details) => { details.open = false; });
    redraw();
  });
})();
