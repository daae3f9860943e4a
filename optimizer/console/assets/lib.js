// What all pages share: elements, numbers, questions to the server.

// h makes an element. Strings are text, never markup.
export function h(tag, attributes, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) e.addEventListener(name.slice(2), value);
    else e.setAttribute(name, value === true ? "" : value);
  }
  e.append(...children.flat().filter((c) => c !== undefined && c !== null && c !== false));
  return e;
}

// Asking is refused where a token is missing; the page then asks for one.
export class Refused extends Error {}
let token = "";
export const setToken = (t) => { token = t; };

export async function api(path, query = {}, body, signal) {
  const url = "/api/" + path + search(query);
  const options = { headers: token ? { Authorization: "Bearer " + token } : {}, signal };
  if (body) Object.assign(options, { method: "POST", body: JSON.stringify(body) });
  let answer;
  try {
    answer = await fetch(url, options);
  } catch (e) {
    if (signal?.aborted) throw e;
    throw new Error("The console does not answer: it has ended, or this machine's network is down.");
  }
  const value = await answer.json();
  if (answer.status === 401) throw new Refused(value.error);
  if (!answer.ok) throw new Error(value.error);
  return value;
}

export function search(query) {
  const p = new URLSearchParams(Object.entries(query).filter(([, v]) => v !== undefined && v !== null && v !== ""));
  return p.size ? "?" + p : "";
}

// link to a page, with the cycle that is shown where one is fixed.
export function link(page, argument, query = {}) {
  return "#/" + page + (argument === undefined ? "" : "/" + encodeURIComponent(argument)) + search(query);
}

// csvLink to what a picture shows. With a token it is fetched, for a link cannot carry one.
export function csvLink(name, query, what) {
  const href = "/csv/" + name + ".csv" + search(query);
  return h("a", { href, download: name + ".csv", "aria-label": "CSV of " + what, onclick: async (event) => {
    if (!token) return;
    event.preventDefault();
    const answer = await fetch(href, { headers: { Authorization: "Bearer " + token } });
    const url = URL.createObjectURL(await answer.blob());
    h("a", { href: url, download: name + ".csv" }).click();
    URL.revokeObjectURL(url);
  } }, "CSV");
}

const formats = new Map();
// number with three digits that count, or so many after the point.
export function number(x, digits) {
  if (x === undefined || x === null || Number.isNaN(x)) return "–";
  const size = Math.abs(x);
  const after = digits ?? (size >= 100 || Number.isInteger(x) ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3);
  if (!formats.has(after)) formats.set(after, new Intl.NumberFormat("en", { maximumFractionDigits: after }));
  return formats.get(after).format(x).replaceAll(",", "\u202f");
}
export const unit = (x, u, digits) => (x === undefined || x === null ? "–" : number(x, digits) + "\u00a0" + u);
export const percent = (x, digits = 1) => (x === undefined || x === null ? "–" : number(100 * x, digits) + "\u00a0%");
export const count = (n, what) => number(n) + "\u00a0" + what + (n === 1 ? "" : "s");

// With the unit in quiet letters.
export const quantity = (x, u, digits) => h("span", {}, number(x, digits), x === undefined || x === null ? "" : h("span", { class: "unit" }, "\u00a0" + u));

export function time(ms) {
  if (!ms) return "no time";
  const d = new Date(ms);
  return d.toLocaleDateString("en-CA") + " " + d.toLocaleTimeString("en-GB");
}

export const plan = (parts) => parts.filter((p) => p.replicas > 0).map((p) => p.replicas + " × " + p.accelerator).join(" + ") || "nothing";

export function allocation(a) {
  if (!a) return "nothing";
  const parts = a.parts?.length ? a.parts : a.accelerator ? [{ accelerator: a.accelerator, replicas: a.numReplicas }] : [];
  return plan(parts) + (a.bestEffort ? " (best effort)" : "");
}

const kinds = { unserved: "bad", "best effort": "bad", "misses targets": "warn", "not observed": "info", changing: "info" };
export const state = (s) => h("span", { class: "state " + (kinds[s] ?? "") }, s);

export function card(title, right, ...content) {
  const e = h("section", { class: "card", "aria-label": title }, h("header", {}, h("h2", {}, title), h("div", { class: "right" }, right)), content);
  return e;
}

export function tiles(list) {
  return h("dl", { class: "tiles" }, list.map(([name, value, kind]) => h("div", { class: "tile " + (kind ?? "") }, h("dt", {}, name), h("dd", {}, value))));
}

export function facts(list) {
  return h("dl", { class: "facts" }, list.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

// simple table: columns are [title, cell of row, class].
export function table(caption, columns, rows) {
  if (!rows.length) return h("p", { class: "empty" }, "None.");
  return h("div", { class: "scroll" }, h("table", {}, h("caption", {}, caption),
    h("thead", {}, h("tr", {}, columns.map(([title, , kind]) => h("th", { scope: "col", class: kind }, title)))),
    h("tbody", {}, rows.map((row) => h("tr", { class: row.chosen ? "chosen" : undefined }, columns.map(([, cell, kind]) => h("td", { class: kind }, cell(row))))))));
}

// colour of the n-th of things.
export const colour = (n) => getComputedStyle(document.documentElement).getPropertyValue("--c" + (n % 8)).trim();
export const themed = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();

export function later(f, wait) {
  let timer;
  return (...a) => { clearTimeout(timer); timer = setTimeout(() => f(...a), wait); };
}
