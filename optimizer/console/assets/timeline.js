// All cycles: what happened when, two of them compared, one decided again with other settings.
import { h, api, card, time, number } from "./lib.js";
import { chart } from "./chart.js";
import { difference } from "./difference.js";

export function timeline(root, context) {
  let all = [];
  const index = (id) => all.findIndex((c) => c.id === id);
  const shown = () => (context.query.cycle ? index(context.query.cycle) : all.length - 1);
  const pick = { pick: (i) => all[i] && context.go({ cycle: all[i].id }), mark: () => context.query.cycle && all[shown()]?.time / 1000 };
  const cost = chart({ title: "Cost of the plan", unit: "¢/h", x: "time", ...pick, csv: ["timeline", {}], series: [{ label: "cost", colour: "c1", step: true }] });
  const load = chart({ title: "Load", unit: "req/min", x: "time", ...pick, csv: ["timeline", {}], series: [{ label: "load", colour: "c0" }] });
  const needs = chart({ title: "Servers that need attention", unit: "servers", x: "time", ...pick, csv: ["timeline", {}], series: [{ label: "not served in full", colour: "bad", step: true }, { label: "miss targets", colour: "warn", step: true }, { label: "not observed", colour: "info", step: true }] });
  const good = chart({ title: "Output tokens within targets", unit: "tokens/s", x: "time", ...pick, csv: ["timeline", {}], series: [{ label: "tokens", colour: "c0" }] });
  const million = chart({ title: "Cost of a million output tokens", unit: "¢", x: "time", ...pick, csv: ["timeline", {}], series: [{ label: "cost", colour: "c1" }] });
  const scrub = h("input", { type: "range", min: 0, step: 1, id: "scrub", oninput: () => { const c = all[scrub.valueAsNumber]; said.textContent = time(c?.time); }, onchange: () => context.go({ cycle: all[scrub.valueAsNumber]?.id }) });
  const said = h("output", { for: "scrub" });
  const mark = (key, title) => h("button", { type: "button", id: key, onclick: () => { context.go({ [key]: all[shown()]?.id }, true); compare(); } }, title);
  const words = h("p", { class: "quiet" });
  const comparison = difference(context, "From A to B");
  const selects = {};
  const replay = h("form", { class: "row", onsubmit: (e) => { e.preventDefault(); decide(); } });
  const replayed = difference(context, "What would have been decided");
  root.append(h("div", { class: "head" }, h("h1", {}, "Timeline")),
    card("Cycle", null, h("div", { class: "slider" }, h("label", { for: "scrub" }, "Scrub"), scrub, said), h("div", { class: "row sep" }, mark("a", "Set A here"), mark("b", "Set B here"), words)),
    h("div", { class: "two" }, cost.element, load.element), h("div", { class: "two" }, good.element, million.element), needs.element,
    comparison.element, card("Decide this cycle again with", null, replay), replayed.element);

  async function compare() {
    const { a, b } = context.query;
    words.textContent = `A: ${a ? time(all[index(a)]?.time) : "not set"} · B: ${b ? time(all[index(b)]?.time) : "not set"}`;
    if (!a || !b) return comparison.wait("Set A at one cycle and B at another to see what changed between them.");
    try { comparison.set(await api("compare", { a, b })); } catch (e) { comparison.fail(e.message); }
  }
  async function decide() {
    const q = Object.fromEntries(Object.entries(selects).map(([k, s]) => [k, s.value]).filter(([, v]) => v));
    context.go(Object.fromEntries(Object.keys(selects).map((k) => [k, q[k]])), true);
    if (!Object.keys(q).length) return replayed.wait("Choose what is to be otherwise.");
    replayed.wait("Deciding …");
    try { replayed.set(await api("ask", {}, { ...context.at(), ...q })); } catch (e) { replayed.fail(e.message); }
  }
  const titles = { solver: "Solver", queueModel: "Queueing model", forecaster: "Forecaster", stability: "Stabiliser" };
  for (const [key, title] of Object.entries(titles)) {
    selects[key] = h("select", { id: "r-" + key }, h("option", { value: "" }, "as it was"), (context.about?.plugs[key] ?? []).map((n) => h("option", { value: n }, n)));
    selects[key].value = context.query[key] ?? "";
    replay.append(h("label", { for: "r-" + key }, title, selects[key]));
  }
  replay.append(h("button", {}, "Decide"));
  return {
    async load(stillWanted) {
      all = await context.ids();
      if (!stillWanted()) return;
      const seconds = all.map((c) => c.time / 1000);
      cost.set([seconds, all.map((c) => c.cost)]);
      load.set([seconds, all.map((c) => c.load)]);
      good.set([seconds, all.map((c) => c.goodTokens ?? null)]);
      million.set([seconds, all.map((c) => c.millionTokens ?? null)]);
      needs.set([seconds, all.map((c) => c.unserved), all.map((c) => c.missing), all.map((c) => c.unobserved)]);
      scrub.max = Math.max(all.length - 1, 0);
      scrub.valueAsNumber = shown();
      said.textContent = time(all[shown()]?.time);
      scrub.setAttribute("aria-valuetext", said.textContent);
      await compare();
      if (Object.values(selects).some((s) => s.value)) await decide(); else replayed.wait("Choose a solver, a queueing model, a forecaster or a stabiliser.");
    },
  };
}
