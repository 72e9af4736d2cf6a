// Which experiments are chosen: what holds for figures and table.

const MOST_CHOICES = 30; // values of a column that are offered to choose from

const chosen = { search: "", where: null, text: "", values: new Map() };
let kept = rows; // what is chosen, in matrix order
const searchable = [];

function choose() {
  const words = chosen.search.toLowerCase().split(/\s+/).filter(Boolean);
  kept = rows.filter((row) => {
    for (const [column, value] of chosen.values)
      if (String(column.value(row)) !== value) return false;
    if (chosen.where && !chosen.where(row)) return false;
    if (!words.length) return true;
    searchable[row] ??= columns
      .map((c) => `${c.text(row)}\n${c.value(row) ?? ""}`)
      .join("\n")
      .toLowerCase();
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
  const count =
    kept.length === rows.length
      ? `All ${all} experiments`
      : `${kept.length.toLocaleString("en")} of ${all} experiments`;
  const how = [
    ...[...chosen.values].map(([c, value]) => `${c.name} = ${value}`),
    chosen.search && `"${chosen.search}"`,
    chosen.text,
  ].filter(Boolean);
  const text = `${count}${how.length ? `: ${how.join("; ")}` : ""}.`;
  $("said").replaceChildren(trouble ? el("span", { class: "bad" }, trouble) : text);
}

function labelFor(text, control, kind = "") {
  control.setAttribute("aria-label", text); // what a list offers would be read as part of its name
  return el("label", { class: kind || null }, text, control);
}

function select(options, value, change) {
  const node = el("select", { onchange: () => change(node.value) });
  for (const [key, text] of options)
    node.append(el("option", { value: key, selected: key === value }, text));
  return node;
}

function chooser() {
  const offered = [...varying, byName.get("status")]
    .filter(Boolean)
    .filter((c) => distinct(c).length > 1 && distinct(c).length <= MOST_CHOICES)
    .slice(0, 8);
  const selects = offered.map((column) => {
    const options = [["", "any"], ...distinct(column).map((v) => [`=${v}`, written(v, column)])];
    return labelFor(
      column.name,
      select(options, "", (value) => {
        if (value) chosen.values.set(column, value.slice(1));
        else chosen.values.delete(column);
        choose();
      }),
    );
  });
  const search = el("input", {
    type: "search",
    oninput: () => {
      chosen.search = search.value;
      choose();
    },
  });
  const one = varying.find((c) => c.role === "parameter" && /^[A-Za-z_]\w*$/.test(c.name));
  const example = one && distinct(one)[0];
  const hint = one
    ? `${one.name} == ${typeof example === "number" ? example : `'${example}'`}`
    : "";
  const where = el("input", {
    type: "text",
    placeholder: `${hint}${hint ? " and " : ""}runtime > '2m'`,
    spellcheck: "false",
    autocapitalize: "off",
    oninput: () => filter(where),
  });
  const reset = el(
    "button",
    {
      type: "button",
      class: "plain",
      onclick: () => {
        selects.forEach((label) => {
          label.lastChild.value = "";
        });
        search.value = where.value = chosen.search = "";
        chosen.values.clear();
        filter(where);
      },
    },
    "Show all",
  );
  const inside = el(
    "details",
    { open: true },
    el("summary", {}, "Choose experiments"),
    el(
      "div",
      { class: "controls" },
      ...selects,
      labelFor("Search", search, "wide"),
      labelFor("Expression", where, "wide"),
      reset,
    ),
  );
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
  } catch (error) {
    // what was chosen before stays while one types
    input.setAttribute("aria-invalid", "true");
    say(`Not yet an expression: ${error.message}.`);
  }
}
