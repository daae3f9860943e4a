// The scenarios under all policies, as they were evaluated for this release.
import { h, api, card, table, number, percent, csvLink, quantity } from "./lib.js";
import { chart } from "./chart.js";

export function evaluation(root, context) {
  const choose = h("select", { id: "scenario", "aria-label": "Scenario", onchange: () => { context.go({ scenario: choose.value }, true); show(); } });
  const rows = h("div", {}), pictures = h("div", { class: "pictures" }), all = h("div", {});
  const scatter = chart({ title: "Cost over requests that missed a target", unit: "¢/h", x: "missed, %", log: true, csv: ["evaluation", {}], series: [{ label: "inferno", colour: "c1", points: true }, { label: "others", colour: "c0", points: true }] });
  root.append(h("div", { class: "head" }, h("h1", {}, "Evaluation"), h("div", { class: "row" }, h("label", { for: "scenario" }, "Scenario", choose))),
    h("p", { class: "lead quiet" }, "Inferno's own loop against the alternatives, in virtual time, as make evaluate wrote it down."),
    card("Inferno on every scenario", csvLink("evaluation", {}, "all scenarios"), all), h("div", { class: "wide-left" }, card("Policies", null, rows), scatter.element), card("Pictures", null, pictures));
  let list = [];
  function show() {
    const s = list.find((x) => x.name === choose.value) ?? list[0];
    if (!s) return;
    rows.replaceChildren(table(`Scenario ${s.name}`, [["Policy", (o) => o.policy], ["Settings", (o) => o.settings || "defaults", "wide"], ["Both targets", (o) => percent(o.attainment, 2), "num"], ["Cost", (o) => quantity(o.costPerHour, "¢/h"), "num"], ["÷ oracle", (o) => number(o.toOracle, 2), "num wide"], ["Changes", (o) => number(o.changes), "num wide"]],
      s.outcomes.map((o) => ({ ...o, chosen: o.policy === "inferno" }))));
    const points = s.outcomes.map((o) => [Math.max(100 * (1 - o.attainment), 0.01), o.costPerHour, o.policy === "inferno"]).sort((a, b) => a[0] - b[0]);
    scatter.set([points.map((p) => p[0]), points.map((p) => (p[2] ? p[1] : null)), points.map((p) => (p[2] ? null : p[1]))]);
    pictures.replaceChildren(...s.pictures.map((p) => h("img", { src: "/picture/" + encodeURIComponent(p), alt: p.endsWith("-cost.svg") ? `Cost over misses of ${s.name}` : `Load, cost and misses of ${s.name} over time`, loading: "lazy" })));
  }
  return {
    async load(stillWanted) {
      if (list.length) return;
      list = await api("evaluation");
      if (!stillWanted()) return;
      choose.replaceChildren(...list.map((s) => h("option", { value: s.name }, s.name)));
      choose.value = context.query.scenario ?? list[0]?.name ?? "";
      all.replaceChildren(table("Both targets met, and the cost against the cheapest schedule that knows the future", [["Scenario", (s) => s.scenario], ["Both targets", (s) => percent(s.attainment, 2), "num"], ["Cost", (s) => quantity(s.costPerHour, "¢/h"), "num"], ["÷ oracle", (s) => number(s.toOracle, 2), "num"]],
        list.flatMap((s) => s.outcomes.filter((o) => o.policy === "inferno"))));
      show();
    },
  };
}
