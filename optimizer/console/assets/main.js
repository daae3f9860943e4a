// The frame around the pages: which page, which cycle, what is new.
import { h, api, link, time, setToken, Refused } from "./lib.js";
import { redraw } from "./chart.js";
import { fleet } from "./fleet.js";
import { server } from "./server.js";
import { supply } from "./supply.js";
import { ask } from "./ask.js";
import { timeline } from "./timeline.js";
import { evaluation } from "./evaluation.js";

const pages = {
  fleet: ["Fleet", fleet], server: [null, server], supply: ["Supply", supply], ask: ["What if", ask], timeline: ["Timeline", timeline], evaluation: ["Evaluation", evaluation],
};
const $ = (id) => document.getElementById(id);
const main = $("main");

// every so many ms it is looked whether there is something new.
const pollEvery = 2000;

const context = {
  about: null, page: null, argument: undefined, query: {}, cycles: [],
  // query that names the cycle, if one is fixed.
  at: () => (context.query.cycle ? { cycle: context.query.cycle } : {}),
  // go changes the address; what is undefined goes out of it. It makes a step of the history unless it only replaces.
  go(change, replace) {
    const query = { ...context.query, ...change };
    const hash = link(context.page, context.argument, query);
    if (replace) history.replaceState(null, "", hash); else history.pushState(null, "", hash);
    context.query = JSON.parse(JSON.stringify(query));
    if ("cycle" in change) { frame(); load(); }
  },
  // to is the address of a page at the same cycle.
  to: (page, argument, query) => link(page, argument, { ...context.at(), ...query }),
  // ids of all cycles, oldest first.
  async ids() {
    try { context.cycles.push(...await api("cycles", { from: context.cycles.length })); } catch (e) { if (e instanceof Refused) throw e; }
    return context.cycles;
  },
  say: (text) => { $("live").textContent = text; },
};

function parse() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [page, argument] = path.split("/");
  let name;
  try { name = argument === undefined ? undefined : decodeURIComponent(argument); } catch { name = argument; }
  return { page: page in pages ? page : "fleet", argument: name, query: Object.fromEntries(new URLSearchParams(query ?? "")) };
}

let current = null;
// show the page of the address. A page is built once and filled again when there is something new.
async function show() {
  const next = parse();
  const same = current && next.page === context.page && next.argument === context.argument;
  Object.assign(context, next);
  if (!same) {
    main.replaceChildren();
    current = pages[next.page][1](main, context);
    main.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
  document.title = (next.argument ?? pages[next.page][0]) + " · inferno";
  frame();
  await load();
}

let loading = 0;
async function load() {
  const mine = ++loading;
  main.setAttribute("aria-busy", "true");
  try {
    if (context.about.cycles || context.page === "evaluation") await current.load(() => mine === loading);
    else fault(new Error("No cycle has been read yet."));
    if (context.about.cycles) document.querySelector(".fault")?.remove();
  } catch (e) {
    if (mine === loading) fault(e);
  }
  if (mine === loading) { main.removeAttribute("aria-busy"); performance.mark("inferno-shown"); }
}

function fault(e) {
  if (e instanceof Refused) return login(e.message);
  document.querySelector(".fault")?.remove();
  main.prepend(h("div", { class: "card fault", role: "alert" }, h("h2", {}, context.about?.cycles === 0 ? "There is nothing to show yet" : "This cannot be shown"), h("p", {}, e.message)));
}

// login asks for a token; it is held in this page's memory alone.
function login(why) {
  const field = h("input", { type: "password", id: "token", autocomplete: "off", required: true });
  main.replaceChildren(h("form", { class: "card", onsubmit: async (event) => {
    event.preventDefault();
    setToken(field.value.trim());
    current = null;
    await start();
  } }, h("h1", {}, "Who asks?"), h("p", { class: "lead sep" }, "This console shows the Servers of the namespaces in which you may list them. Give a token of the cluster, such as ", h("code", {}, "kubectl create token NAME"), " prints. It stays in this page."),
  h("div", { class: "row" }, h("label", { for: "token" }, "Token", field), h("button", {}, "Look")), h("p", { class: "sep", role: "alert" }, why)));
  field.focus();
}

function frame() {
  const a = context.about;
  if (!a) return;
  $("nav").replaceChildren(...Object.entries(pages).filter(([id, [title]]) => title && (id !== "evaluation" || a.evaluation) && (a.everything || id !== "ask" && id !== "timeline"))
    .map(([id, [title]], i) => h("li", {}, h("a", { href: link(id, undefined, id === "evaluation" ? {} : context.at()), title: `${title} (${i + 1})`, "aria-current": id === context.page || id === "fleet" && context.page === "server" ? "page" : undefined }, title))));
  $("source").replaceChildren(h("span", { class: a.live ? "dot on" : "dot", role: "img", "aria-label": a.live ? "live" : "ended" }), h("strong", {}, a.name), ` ${a.kind}, ${a.cycles} cycle${a.cycles === 1 ? "" : "s"}`);
  const fixed = context.query.cycle;
  const shown = fixed ? context.cycles.find((c) => c.id === fixed) : a.last;
  $("cycle").replaceChildren(fixed ? "at " : "newest: ", h("strong", {}, shown ? time(shown.time) : fixed ?? "none yet"), shown ? h("span", { class: "wide" }, ` · ${shown.id}`) : "");
  $("latest").setAttribute("aria-pressed", fixed ? "false" : "true");
  for (const id of ["previous", "next"]) $(id).disabled = !a.everything || a.cycles < 2 || id === "next" && !fixed;
  const unread = a.unread ?? [];
  const said = unread.join("\n");
  if ($("notices").dataset.said !== said) {
    $("notices").dataset.said = said;
    $("notices").replaceChildren(...(unread.length ? [h("strong", {}, "Not all could be read; the rest is shown."), h("ul", {}, unread.map((m) => h("li", {}, m)))] : []));
  }
}

// step to another cycle.
async function step(by) {
  const all = await context.ids();
  const i = context.query.cycle ? all.findIndex((c) => c.id === context.query.cycle) : all.length - 1;
  const to = all[i + by];
  if (to) context.go({ cycle: to.id });
}

async function poll() {
  try {
    const before = context.about?.last?.id;
    context.about = await api("about");
    if (context.query.cycle && context.cycles.length < context.about.cycles) await context.ids();
    frame();
    if (!context.query.cycle && context.about.last?.id !== before && current) await load();
    context.say("");
  } catch (e) {
    if (!(e instanceof Refused)) context.say(e.message);
  }
}

async function start() {
  try {
    context.about = await api("about");
  } catch (e) {
    return fault(e);
  }
  if (parse().query.cycle) await context.ids();
  await show();
}

function theme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try { localStorage.setItem("theme", root.dataset.theme); } catch { /* not remembered */ }
  redraw();
  window.dispatchEvent(new Event("theme"));
}

const keys = [["1 … 5", "a page"], ["/", "filter the servers"], ["[ and ]", "previous and next cycle"], ["l", "follow the newest cycle"], ["t", "dark or light"], ["?", "these keys"], ["Esc", "leave a field or this list"]];
function help() {
  const d = $("keys");
  d.replaceChildren(h("h2", { id: "keys-title" }, "Keys"), h("dl", { class: "facts sep" }, keys.flatMap(([k, what]) => [h("dt", {}, h("kbd", {}, k)), h("dd", {}, what)])),
    h("form", { method: "dialog", class: "sep" }, h("button", { autofocus: true }, "Close")));
  d.showModal();
}

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || $("keys").open) return;
  if (event.target.matches("input, select, textarea")) { if (event.key === "Escape") event.target.blur(); return; }
  const page = $("nav").querySelectorAll("a")[Number(event.key) - 1];
  const act = { "/": () => document.querySelector("input[type=search]")?.focus(), "[": () => step(-1), "]": () => step(1), l: () => context.go({ cycle: undefined }), t: theme, "?": help }[event.key] ?? (page && (() => { location.hash = page.getAttribute("href"); }));
  if (act) { event.preventDefault(); act(); }
});
addEventListener("hashchange", show);
addEventListener("popstate", show);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { redraw(); window.dispatchEvent(new Event("theme")); });
$("theme").addEventListener("click", theme);
$("help").addEventListener("click", help);
$("previous").addEventListener("click", () => step(-1));
$("next").addEventListener("click", () => step(1));
$("latest").addEventListener("click", () => context.go({ cycle: undefined }));
await start();
setInterval(poll, pollEvery);
