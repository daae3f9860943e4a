// What if: sliders for load, prices, capacity and targets, and the difference of the plan.
import { h, api, card, number, later } from "./lib.js";
import { difference } from "./difference.js";

export function ask(root, context) {
  const groups = h("div", { class: "sliders" });
  const reset = h("button", { type: "button", onclick: () => { for (const s of sliders) s.set(s.neutral); changed(); } }, "Reset");
  const own = h("input", { type: "search", id: "own", "aria-label": "Further changes, as inferno plan takes them", placeholder: "load.chat=*2 capacity.H100=+8", onchange: () => changed() });
  const answer = difference(context, "Difference");
  root.append(h("div", { class: "head" }, h("h1", {}, "What if")), h("p", { class: "lead quiet" }, "The cycle is decided again with the changes, and compared with the same cycle without them. Nothing is written anywhere."),
    h("div", { class: "wide-left" }, answer.element, card("Changes", reset, groups, h("p", { class: "group" }, h("label", { for: "own" }, "Further changes")), own)));
  let sliders = [], built = "", asking = new AbortController();

  // slider of one change: of a factor on a logarithmic scale, or of a number of cards.
  function slider(key, label, { most, whole, of }) {
    const input = h("input", { type: "range", min: whole ? -most : -1, max: whole ? most : 1, step: whole ? 1 : 0.02, id: "s-" + key, oninput: () => { say(); changed(); } });
    const said = h("output", { for: "s-" + key });
    const factor = () => Math.round(100 * most ** input.valueAsNumber) / 100;
    const say = () => {
      said.textContent = whole ? (input.valueAsNumber ? `${input.valueAsNumber > 0 ? "+" : "−"}${Math.abs(input.valueAsNumber)} cards` : "as is") : factor() === 1 ? "as is" : `× ${number(factor())}`;
      input.setAttribute("aria-valuetext", said.textContent);
    };
    return {
      key, neutral: 0, element: h("div", { class: "slider" }, h("label", { for: "s-" + key }, label), input, said),
      get: () => input.valueAsNumber, set(v) { input.valueAsNumber = v; say(); },
      changes: () => !input.valueAsNumber ? [] : whole ? [`${of}=${input.valueAsNumber > 0 ? "+" : "-"}${Math.abs(input.valueAsNumber)}`] : factor() === 1 ? [] : [].concat(of).map((k) => `${k}=*${factor()}`),
    };
  }
  function build(fleet, supply) {
    const classes = fleet.classes.filter((c) => c.servers);
    const targets = (kind) => classes.filter((c) => fleet.servers.some((s) => s.class === c.name && s[kind].target !== undefined));
    const sections = [
      ["Load of all servers", [slider("load", "Load", { most: 4, of: "load.*" })]],
      ["Prices of accelerators", supply.accelerators.map((a) => slider("price." + a, a, { most: 4, of: "price." + a }))],
      ["Capacity", supply.types.map((t) => slider("capacity." + t.type, t.type, { most: Math.max(8, Math.min(t.cards, 512)), whole: true, of: "capacity." + t.type }))],
      ["TTFT targets", targets("ttft").map((c) => slider("ttft." + c.name, c.name, { most: 4, of: "slo-ttft." + c.name }))],
      ["ITL targets", targets("itl").map((c) => slider("itl." + c.name, c.name, { most: 4, of: "slo-itl." + c.name }))],
    ];
    sliders = sections.flatMap(([, list]) => list);
    groups.replaceChildren(...sections.filter(([, list]) => list.length).flatMap(([title, list]) => [h("p", { class: "group" }, title), ...list.map((s) => s.element)]));
    const kept = new URLSearchParams(context.query.set ?? "");
    for (const s of sliders) s.set(Number(kept.get(s.key) ?? 0));
    own.value = context.query.own ?? "";
  }
  const question = () => ({ ...context.at(), changes: [...sliders.flatMap((s) => s.changes()), ...own.value.split(/\s+/).filter(Boolean)] });
  async function put() {
    asking.abort();
    const mine = asking = new AbortController(), q = question();
    if (!q.changes.length) {
      api("ask", {}, q).catch(() => {}); // decides the cycle without changes, which the first question is compared with
      return answer.wait("Move a slider.");
    }
    const slow = setTimeout(() => mine === asking && answer.busy(), 300);
    try {
      const d = await api("ask", {}, q, mine.signal);
      if (mine === asking) answer.set(d);
    } catch (e) {
      if (mine === asking) answer.fail(e.message);
    } finally {
      clearTimeout(slow);
    }
  }
  const soon = later(put, 150);
  function changed() {
    const kept = new URLSearchParams(sliders.filter((s) => s.get()).map((s) => [s.key, s.get()]));
    context.go({ set: kept.size ? kept.toString() : undefined, own: own.value || undefined }, true);
    soon();
  }
  return {
    async load(stillWanted) {
      const [f, s] = await Promise.all([api("fleet", context.at()), api("supply", context.at())]);
      if (!stillWanted()) return;
      const shape = JSON.stringify([f.classes.map((c) => c.name), s.types.map((t) => t.type), s.accelerators]);
      if (shape !== built) { built = shape; build(f, s); }
      await put();
    },
  };
}
