// Lines in a chart: axes and zoom are uPlot's, the lines have steps of their own.

const PAPER = 640; // pixels of a printed line

const WHOLE = Array.from({ length: 48 }, (_, n) => [1, 2, 5][n % 3] * 10 ** Math.floor(n / 3));

function plot(host, { lines, xLabel, yLabel, xLog, yLog, ticks, label }) {
  const usable = ([x, y]) =>
    Number.isFinite(x) &&
    Number.isFinite(y) &&
    Math.abs(y) < 1e300 &&
    (!xLog || x > 0) &&
    (!yLog || y > 0);
  const all = lines
    .flatMap((line) => [
      ...line.points,
      ...(line.band ?? []).flatMap(([x, a, b]) => [
        [x, a],
        [x, b],
      ]),
    ])
    .filter(usable);
  if (!all.length) {
    host.replaceChildren(
      el("p", { class: "note" }, "There is nothing to draw for these experiments."),
    );
    return null;
  }
  const extent = (points, n) =>
    points.reduce(
      ([a, b], point) => [Math.min(a, point[n]), Math.max(b, point[n])],
      [Infinity, -Infinity],
    );
  const padded = ([low, high], log, share) => {
    if (log) {
      const f = high > low ? (high / low) ** share : 1.5;
      return [low / f, high * f];
    }
    const room = high > low ? (high - low) * share : Math.abs(high) * 0.1 || 1;
    return [low - room, high + room];
  };
  const full = padded(extent(all, 0), xLog, 0.02);
  let view = full; // of which uPlot asks first, and then of the range of what is in it
  const isWhole = all.every(([x]) => Number.isInteger(x));
  const width = "printing" in root.dataset ? PAPER : Math.max(240, host.clientWidth);
  const font = `12px ${getComputedStyle(root).getPropertyValue("--sans")}`;
  const axis = (text, more) => ({
    label: text,
    stroke: colour("faint"),
    font,
    labelFont: font,
    labelSize: 22,
    grid: { stroke: colour("rule"), width: 0.5 },
    ticks: { stroke: colour("rule"), width: 1, size: 4 },
    ...more,
  });
  const logarithmic = {
    splits: (u, n) => decades(u.axes[n].scale === "x" ? u.scales.x : u.scales.y),
    filter: (u, splits) => splits,
  };
  const options = {
    width,
    height: Math.round(Math.min(420, Math.max(260, width * 0.42))),
    legend: { show: false },
    cursor: {
      points: { show: false },
      y: false,
      drag: { x: true, y: false, setScale: true },
    },
    scales: {
      x: {
        time: false,
        distr: xLog ? 3 : 1,
        range: (u, low, high) =>
          (view = (low > full[0] || high < full[1]) && high > low && u.zoomed ? [low, high] : full),
      },
      y: {
        distr: yLog ? 3 : 1,
        range: () => {
          const inside =
            view === full ? all : lines.flatMap((line) => within(line.points.filter(usable), view));
          return padded(extent(inside.length ? inside : all, 1), yLog, 0.06);
        },
      },
    },
    axes: [
      axis(xLabel, {
        size: 32,
        labelSize: 20,
        ...(ticks
          ? {
              splits: () => ticks,
              filter: (u, s) => s,
              values: (u, s) => s.map(plain),
            }
          : {
              ...(xLog ? logarithmic : {}),
              ...(isWhole ? { incrs: WHOLE } : {}),
              values: (u, s) => s.map(plain),
            }),
      }),
      axis(yLabel, {
        ...(yLog ? logarithmic : {}),
        size: 62,
        values: (u, s) => s.map(plain),
      }),
    ],
    series: [{}, { stroke: "transparent", points: { show: false } }],
    hooks: {
      setSelect: [
        (u) => {
          u.zoomed = u.select.width > 0;
        },
      ],
      draw: [(u) => draw(u, lines, usable)],
    },
  };
  host.replaceChildren();
  host.setAttribute("role", "img");
  host.setAttribute("aria-label", label);
  const chart = new uPlot(options, [full, extent(all, 1)], host);
  chart.over.addEventListener("dblclick", () => {
    chart.zoomed = false;
  });
  point(chart, host, lines);
  return chart;
}

// The points of a line in a window, and where it crosses the edges.
function within(points, [low, high]) {
  return points.flatMap(([x, y], n) => {
    const found = x >= low && x <= high ? [[x, y]] : [];
    const [to, value] = points[n + 1] ?? [x, y];
    for (const edge of [low, high]) {
      if ((x - edge) * (to - edge) < 0)
        found.push([edge, y + ((value - y) * (edge - x)) / (to - x)]);
    }
    return found;
  });
}

const plain = (value) =>
  value == null
    ? ""
    : Math.abs(value) >= 1e5 || (value !== 0 && Math.abs(value) < 1e-4)
      ? value.toExponential().replace("e+", "e")
      : String(Number(value.toPrecision(6)));

function decades({ min, max }) {
  const [low, high] = [Math.floor(Math.log10(min)), Math.ceil(Math.log10(max))];
  const every = Math.ceil((high - low) / 10) || 1;
  const factors = high - low <= 2 ? [1, 2, 5] : [1];
  const found = [];
  for (let power = low; power <= high; power += every)
    for (const factor of factors) found.push(Number(`${factor}e${power}`));
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
    if (!usable(each)) {
      goesOn = false;
      continue;
    }
    const [x, y] = place(each);
    at.push([x / scale, y / scale, each]);
    if (goesOn) ctx.lineTo(x, y);
    else ctx.moveTo(x, y);
    goesOn = true;
  }
  if (line.width !== 0) ctx.stroke();
  ctx.setLineDash([]);
  if (line.dots || at.length === 1) {
    for (const [x, y] of at) {
      ctx.beginPath();
      ctx.arc(x * scale, y * scale, (line.dots ?? 2.5) * scale, 0, 7);
      ctx.fill();
    }
  }
  return at;
}

// Say what the pointer is at, and draw that line again on top.
function point(u, host, lines) {
  const over = el("canvas", { class: "over", "aria-hidden": "true" });
  const tip = el("div", { class: "tip", hidden: true });
  u.root.querySelector(".u-wrap").append(over);
  host.append(tip);
  const clear = () => {
    tip.hidden = true;
    over.getContext("2d").clearRect(0, 0, over.width, over.height);
  };
  u.over.addEventListener("pointerleave", clear);
  u.over.addEventListener("pointermove", (event) => {
    const box = u.root.querySelector(".u-wrap").getBoundingClientRect();
    const [px, py] = [event.clientX - box.left, event.clientY - box.top];
    let best = null,
      nearest = 900;
    for (const line of lines)
      for (const [x, y, each] of line.at ?? []) {
        const distance = (x - px) ** 2 + (y - py) ** 2;
        if (distance < nearest) {
          nearest = distance;
          best = { line, x, y, each };
        }
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
