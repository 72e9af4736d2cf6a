// The figure over steps: the curves of a metric.

const MOST_BANDS = 5;
const MOST_CURVES = 40; // that are drawn one by one unless asked for

const overSteps = {
  build() {
    if (!data.curves.length) return false;
    const counts = data.metrics.map((_, n) => data.curves.filter((curve) => curve[1] === n).length);
    this.metric = counts.indexOf(Math.max(...counts));
    this.by = usefulFirst(data.curves.map(([row]) => row))[0] ?? null;
    this.mode = "";
    this.log = false;
    addFigure(this, "over-steps", "Over steps");
    const again = (task) => (value) => {
      task(value);
      this.draw();
    };
    const log = el("input", {
      type: "checkbox",
      onchange: () => {
        this.log = log.checked;
        this.draw();
      },
    });
    this.controls.append(
      labelFor(
        "metric",
        select(
          data.metrics.map((name, n) => [String(n), name]),
          String(this.metric),
          again((v) => {
            this.metric = Number(v);
          }),
        ),
      ),
      labelFor(
        "colour by",
        select(
          [["", "none"], ...varying.map((c) => [c.name, c.name])],
          this.by?.name ?? "",
          again((v) => {
            this.by = byName.get(v) ?? null;
          }),
        ),
      ),
      labelFor(
        "show",
        select(
          [
            ["", "as many allow"],
            ["each", "each experiment"],
            ["median", "median of each colour"],
          ],
          "",
          again((v) => {
            this.mode = v;
          }),
        ),
      ),
      el("label", { class: "check" }, log, "logarithmic"),
    );
    if ($("thinned")) {
      $("figures").append($("thinned"));
      $("thinned").hidden = false;
    }
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
    this.chart = plot(this.host, {
      lines,
      xLabel: "step",
      yLabel: name,
      xLog: false,
      yLog: this.log,
      ticks: null,
      label: `${name} over steps of ${curves.length} experiments`,
    });
    this.host.append(...legend(this.by, style));
    const what = isEach
      ? "A line is an experiment."
      : `Lines are medians${lines.some((line) => line.band) ? "; the shaded part holds the middle half of the experiments" : ""}.`;
    const logs = this.log ? "Values of zero or less cannot be drawn on this scale." : "";
    this.caption.replaceChildren(
      el(
        "b",
        {},
        `${name[0]?.toUpperCase() ?? ""}${name.slice(1)} over steps, ${curves.length.toLocaleString("en")} experiment${curves.length === 1 ? "" : "s"}.`,
      ),
      ` ${what} ${logs} `,
      el("span", { class: "skip" }, "Drag to zoom, double-click to see all."),
    );
  },

  each(curves, style, name) {
    const alpha = curves.length > 400 ? 0.25 : curves.length > 60 ? 0.5 : 0.9;
    return curves.map(([row, , at, values]) => ({
      ...style.of(this.by ? this.by.value(row) : null),
      alpha,
      width: curves.length > 60 ? 1 : 1.6,
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
    const order = this.by
      ? distinct(
          this.by,
          curves.map(([row]) => row),
        )
      : [null];
    return order
      .filter((value) => groups.has(value))
      .map((value) => {
        const inside = groups.get(value);
        const rows = quartiles(inside);
        const title = this.by ? `${this.by.name} = ${written(value, this.by)}\n` : "";
        return {
          ...style.of(value),
          width: 2,
          points: rows.map(([x, , m]) => [x, m]),
          band: order.length > MOST_BANDS ? null : rows.map(([x, a, , b]) => [x, a, b]),
          label: ([x, y]) =>
            `${title}step ${plain(x)}: median ${name} = ${short(y)} (${inside.length} experiments)`,
        };
      });
  },
};

// Quartiles of curves at up to 200 of their steps, [step, lower, median, upper].
function quartiles(curves) {
  const tables = [...new Set(curves.map((curve) => curve[2]))];
  let steps = [...new Set(tables.flatMap((at) => data.steps[at]))]
    .filter((step) => typeof step === "number")
    .sort((a, b) => a - b);
  if (steps.length > 200)
    steps = Array.from(
      { length: 200 },
      (_, n) => steps[Math.round((n * (steps.length - 1)) / 199)],
    );
  const found = steps.map(() => []);
  for (const [, , at, values] of curves) sample(data.steps[at], values, steps, found);
  return steps.flatMap((step, n) => {
    const sorted = found[n].sort((a, b) => a - b);
    return sorted.length
      ? [[step, quantile(sorted, 0.25), quantile(sorted, 0.5), quantile(sorted, 0.75)]]
      : [];
  });
}

// Add the values of a curve at given steps, those between its points by interpolation.
function sample(own, values, steps, found) {
  let k = 0;
  steps.forEach((step, n) => {
    while (k + 1 < own.length && own[k + 1] <= step) k += 1;
    if (own[k] === step) {
      if (values[k] !== null) found[n].push(values[k]);
      return;
    }
    if (step < own[0] || k + 1 >= own.length || values[k] === null || values[k + 1] === null)
      return;
    found[n].push(
      values[k] + ((values[k + 1] - values[k]) * (step - own[k])) / (own[k + 1] - own[k]),
    );
  });
}
