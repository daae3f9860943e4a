// All servers, those that need attention first.
import { h, api, card, tiles, quantity, number, unit, percent, plan, state, csvLink, colour } from "./lib.js";
import { virtual } from "./table.js";
import { nodesPicture } from "./nodes.js";

// latency beside its target; red where it is above.
export function latency(l) {
  if (l.measured === undefined) return h("span", { class: "quiet" }, l.target === undefined ? "–" : "– / " + number(l.target));
  return h("span", { class: l.target !== undefined && l.measured > l.target ? "over" : undefined }, number(l.measured), h("span", { class: "unit" }, l.target === undefined ? " ms" : ` / ${number(l.target)} ms`));
}

export function fleet(root, context) {
  const top = h("div", {});
  const classes = h("div", {});
  const picture = nodesPicture();
  const links = h("div", { class: "right" });
  const nodesLink = h("span", {}), how = h("p", { class: "quiet sep" });
  const search = h("input", { type: "search", id: "filter", placeholder: "name, class, model, state", "aria-label": "Filter the servers by words", oninput: () => { context.go({ filter: search.value || undefined }, true); apply(); } });
  const rows = virtual("Servers, those that need attention first", [
    { title: "State", kind: "states", cell: (r) => state(r.state) },
    { title: "Server", kind: "names", cell: (r) => h("a", { href: context.to("server", r.name) }, r.name), sort: (r) => r.name },
    { title: "Class", width: "6.5rem", kind: "wide", cell: (r) => r.class, sort: (r) => r.priority * 1000 + r.class.charCodeAt(0) },
    { title: "Load, req/min", width: "6rem", kind: "num", cell: (r) => number(r.load?.arrivalRate), sort: (r) => r.load?.arrivalRate },
    { title: "Plan", width: "9rem", kind: "wide", cell: (r) => plan(r.parts), sort: (r) => r.replicas },
    { title: "Ready", width: "5rem", kind: "num wide", cell: (r) => `${r.ready} / ${r.replicas}`, sort: (r) => r.ready - r.replicas },
    { title: "TTFT / target", width: "8.2rem", kind: "num wide", cell: (r) => latency(r.ttft), sort: (r) => r.ttft.measured },
    { title: "ITL / target", width: "8.5rem", kind: "num wide", cell: (r) => latency(r.itl), sort: (r) => r.itl.measured },
    { title: "Within", width: "5rem", kind: "num wide", cell: (r) => percent(r.attainment), sort: (r) => r.attainment },
    { title: "Cost, ¢/h", width: "5rem", kind: "num", cell: (r) => number(r.cost), sort: (r) => r.cost },
  ], { empty: "No server." });
  root.append(
    h("div", { class: "head" }, h("h1", {}, "Fleet")), top,
    h("div", { class: "wide-left" },
      card("Nodes and cards", nodesLink, picture.element, how),
      card("Classes", null, classes)),
    card("Servers", [search, links], rows.element));

  function apply() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    rows.filter((r) => words.every((w) => `${r.name} ${r.class} ${r.model} ${r.state} ${r.namespace ?? ""} ${plan(r.parts)}`.toLowerCase().includes(w)));
  }
  search.value = context.query.filter ?? "";
  apply();
  return {
    async load(stillWanted) {
      const f = await api("fleet", context.at());
      if (!stillWanted()) return;
      top.replaceChildren(tiles([
        ["Cost of the plan", quantity(f.cost, "¢/h")], ["Load", quantity(f.load, "req/min")], ["Servers", quantity(f.servers.length, f.replicas === 1 ? "with 1 replica" : `with ${number(f.replicas)} replicas`)],
        ["Not served in full", number(f.unserved), f.unserved ? "bad" : ""], ["Miss their targets", number(f.missing), f.missing ? "warn" : ""], ["Not observed", number(f.unobserved), f.unobserved ? "warn" : ""],
      ]));
      classes.replaceChildren(h("table", { class: "plain" }, h("caption", { class: "hidden-text" }, "Classes of service by priority"), h("thead", {}, h("tr", {}, ["Class", "Servers", "Need attention", "Load, req/min", "Cost, ¢/h"].map((t, i) => h("th", { scope: "col", class: i === 3 ? "num wide" : i ? "num" : "" }, t)))),
        h("tbody", {}, f.classes.map((c, i) => {
          const s = h("span", { class: "swatch" });
          s.style.background = colour(i);
          return h("tr", {}, h("td", {}, s, h("a", { href: context.to("fleet", undefined, { filter: c.name }), onclick: () => { search.value = c.name; apply(); } }, c.name), h("span", { class: "unit" }, ` priority ${c.priority || "?"}`)), h("td", { class: "num" }, number(c.servers)), h("td", { class: "num" + (c.needy ? " over" : "") }, number(c.needy)), h("td", { class: "num wide" }, number(c.load)), h("td", { class: "num" }, number(c.cost)));
        }))));
      how.textContent = f.running ? "What runs, as the pods' nodes say." : "As the plan packs them; the scheduler may find another packing.";
      picture.set(f.nodes, f.classes.map((c) => c.name));
      nodesLink.replaceChildren(csvLink("nodes", context.at(), "nodes and cards"));
      links.replaceChildren(csvLink("fleet", context.at(), "the servers"));
      rows.set(f.servers);
    },
  };
}
