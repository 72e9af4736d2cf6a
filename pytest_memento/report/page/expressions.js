// Expressions that choose experiments, in the language of --memento-select.

const TOKEN =
  /\s*(?:((?:metrics|settings|result|parameters)\s*\[\s*(?:"[^"\\]*"|'[^'\\]*')\s*\]|[A-Za-z_][\w.]*)|((?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(==|!=|<=|>=|[<>()[\],-]))/y;
const UNITS = {
  seconds: { ms: 0.001, s: 1, m: 60, min: 60, h: 3600, d: 86400 },
  bytes: {
    b: 1,
    kb: 1e3,
    mb: 1e6,
    gb: 1e9,
    tb: 1e12,
    kib: 2 ** 10,
    mib: 2 ** 20,
    gib: 2 ** 30,
    tib: 2 ** 40,
  },
};

function amount(text, kind) {
  const units = UNITS[kind] ?? {};
  const parts = [
    ...text
      .toLowerCase()
      .replace(/\s/g, "")
      .matchAll(/([\d.]+)([a-z]+)/g),
  ];
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
    if (name !== undefined)
      found.push({ name: name.replace(/\s*\[\s*["'](.*)["']\s*\]$/, ".$1") });
    else if (digits !== undefined) found.push({ literal: Number(digits) });
    else if (quoted !== undefined)
      found.push({ literal: quoted.slice(1, -1).replace(/\\(.)/g, "$1") });
    else found.push({ sign });
  }
  return found;
}

function parse(text) {
  const left = tokens(text);
  const peek = () => left[0] ?? {};
  const is = (...words) => words.includes(peek().sign) || words.includes(peek().name);
  const take = (...words) => (is(...words) ? (left.shift(), true) : false);
  const need = (word) => {
    if (!take(word)) throw new Error(`${word} is missing`);
  };

  const or = () => {
    let a = and();
    while (take("or")) {
      const x = a,
        b = and();
      a = (r) => x(r) || b(r);
    }
    return a;
  };
  const and = () => {
    let a = not();
    while (take("and")) {
      const x = a,
        b = not();
      a = (r) => x(r) && b(r);
    }
    return a;
  };
  const not = () => {
    if (take("not")) {
      const a = not();
      return (r) => !a(r);
    }
    return comparison();
  };

  function comparison() {
    if (take("(")) {
      const inside = or();
      need(")");
      return inside;
    }
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
    while (!take(close)) {
      all.push(operand());
      if (!is(close)) need(",");
    }
    return all;
  }

  function operand() {
    const minus = take("-");
    const token = left.shift();
    if (!token || token.sign) throw new Error("a name or a value is missing");
    if ("literal" in token) return constant(minus ? -token.literal : token.literal);
    const words = new Map([
      ["None", null],
      ["True", "True"],
      ["False", "False"],
    ]);
    if (words.has(token.name)) return constant(words.get(token.name));
    const column = byName.get(token.name) ?? byName.get(`parameters.${token.name}`);
    const bare = token.name.startsWith("parameters.") && byName.get(token.name.slice(11));
    if (!column && !bare)
      throw new Error(`there is no ${token.name} (${[...byName.keys()].join(", ")})`);
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
