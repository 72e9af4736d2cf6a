// The table: rows come as one scrolls, a click on a heading sorts.

const CHUNK = 100; // rows that are put into the page at a time

const STATUS = new Map([
  ["passed", ["good", "✓"]],
  ["cached", ["good", "✓"]],
  ["verified", ["good", "✓"]],
  ["failed", ["bad", "✗"]],
]);

const table = {
  sorted: null, // [column, direction]
  order: [],
  shown: 0,

  build() {
    this.body = el("tbody");
    this.heads = columns.map((column) => {
      const button = el(
        "button",
        { type: "button", onclick: () => this.sort(column) },
        column.name,
      );
      return el(
        "th",
        { scope: "col", class: column.isText ? null : "n", "aria-sort": "none" },
        button,
      );
    });
    this.box = el(
      "div",
      {
        id: "rows",
        class: "scroll",
        tabindex: "0",
        role: "region",
        "aria-label": "Table of experiments",
        onscroll: () => this.fill(),
      },
      el("table", {}, el("thead", {}, el("tr", {}, ...this.heads)), this.body),
    );
    this.rest = el("p", { class: "note" });
    $("table").append(el("h2", {}, "All experiments"), this.box, this.rest);
    $("table").hidden = false;
  },

  sort(column) {
    const [before, way] = this.sorted ?? [];
    this.sorted = before !== column ? [column, 1] : way === 1 ? [column, -1] : null;
    this.heads.forEach((head, n) =>
      head.setAttribute(
        "aria-sort",
        this.sorted?.[0] !== columns[n] ? "none" : this.sorted[1] > 0 ? "ascending" : "descending",
      ),
    );
    this.show();
  },

  show() {
    this.order = [...kept];
    if (this.sorted) {
      const [column, way] = this.sorted;
      const keys = new Map(
        kept.map((row) => [row, column.isText ? column.value(row) : number(column.value(row))]),
      );
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
    this.body.append(
      ...next.map((row) => el("tr", {}, ...columns.map((column) => cell(column, row)))),
    );
    this.shown += next.length;
    const left = this.order.length - this.shown;
    if (left)
      this.rest.replaceChildren(
        `The first ${this.shown.toLocaleString("en")} of ${this.order.length.toLocaleString("en")} rows.`,
        el("span", { class: "skip" }, " The others come as you scroll."),
      );
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
  const whole =
    value === null || String(value) === text ? (text.length > 40 ? text : null) : String(value);
  return el("td", { class: column.isText ? null : "n", title: whole }, text);
}

function status(word) {
  const [kind, mark] = STATUS.get(word) ?? ["other", "–"];
  return el("span", { class: `status ${kind}` }, el("i", { "aria-hidden": "true" }, mark), word);
}
