// Cards: who holds them, and what more would save.
import { h, api, card, table, quantity, number, unit, csvLink, colour } from "./lib.js";
import { virtual } from "./table.js";

export function supply(root, context) {
  const lead = h("p", { class: "lead" }), types = h("div", {}), link = h("span", {}), shares = h("div", {}), bought = h("div", {});
  const holders = virtual("Who holds cards", [
    { title: "Server", cell: (r) => r.server ? h("a", { href: context.to("server", r.server) }, r.server) : h("span", { class: "quiet" }, "others, in sum"), sort: (r) => r.server },
    { title: "Class", kind: "wide", cell: (r) => r.class ?? "", sort: (r) => r.class }, { title: "Type", cell: (r) => r.type, sort: (r) => r.type },
    { title: "Replicas", kind: "num", cell: (r) => number(r.replicas), sort: (r) => r.replicas }, { title: "Cards", kind: "num", cell: (r) => number(r.cards), sort: (r) => r.cards }], { empty: "Nobody." });
  root.append(h("div", { class: "head" }, h("h1", {}, "Supply")), lead, card("Cards by type", link, types), shares, bought, card("Holders", null, holders.element));
  return {
    async load(stillWanted) {
      const s = await api("supply", context.at());
      if (!stillWanted()) return;
      const list = s.types ?? [];
      const best = list[0];
      lead.replaceChildren(...(best?.price > 0 ? ["Buy next: one ", h("strong", {}, best.type), " card more would save ", h("strong", {}, unit(best.price, "¢/h")), best.cost ? `; it costs ${unit(best.cost, "¢/h")}.` : "."] : list.some((t) => t.price !== undefined) ? ["Nothing is scarce: no card more would save anything."] : ["What one card more would save is not known: the solver gives no prices."]));
      link.replaceChildren(csvLink("supply", context.at(), "cards by type"));
      types.replaceChildren(table("What is there, and what the plan uses", [
        ["Type", (t) => h("strong", {}, t.type)],
        ["Used", (t) => { const bar = h("div", { class: "bar", role: "img", "aria-label": `${t.used} of ${t.cards} cards are used` }); const used = h("span", {}); used.style.width = Math.min(100, 100 * t.used / Math.max(t.cards, 1)) + "%"; used.style.background = colour(t.used > t.cards ? 1 : 0); bar.append(used); return bar; }],
        ["Cards", (t) => `${number(t.used)} / ${number(t.cards)}`, "num"], ["Nodes", (t) => number(t.nodes || undefined), "num wide"],
        ["One more saves", (t) => quantity(t.price, "¢/h"), "num"], ["A card costs", (t) => quantity(t.cost, "¢/h"), "num wide"]], list));
      shares.replaceChildren(...(s.shares.length ? [card("Shares", null, table("What the plan gives each share, by type of card", [
        ["Share", (r) => r.share], ["Type", (r) => r.type], ["Used", (r) => number(r.used), "num"], ["Guaranteed", (r) => number(r.guaranteed), "num"], ["Due", (r) => number(r.due), "num wide"], ["Lent", (r) => number(r.lent), "num wide"], ["At most", (r) => r.most === undefined ? "no bound" : number(r.most), "num"], ["Cost", (r) => quantity(r.cost, "¢/h"), "num"], ...(s.shares.some((x) => x.powerCap !== undefined) ? [["Power, of at most", (r) => r.powerCap === undefined ? "no bound" : `${number(r.power)} / ${number(r.powerCap)} W`, "num"]] : [])],
      s.shares.flatMap((x) => (x.cards?.length ? x.cards : [{ type: "–" }]).map((c) => ({ ...c, share: x.name, cost: x.cost, power: x.power, powerCap: x.powerCap })))))] : []));
      bought.replaceChildren(...(s.bought.length + s.takenBack.length + s.pools.length ? [card("Purchases", null, table("What plans count on, what did not come, and what can be bought", [
        ["Pool", (r) => r.pool ?? r.name], ["What", (r) => r.what], ["Cards", (r) => `${number(r.cards)} × ${r.type}`], ["Cost", (r) => quantity(r.cost ?? r.price, "¢/h"), "num"], ["When", (r) => r.when]],
      [...s.bought.map((b) => ({ ...b, what: `${b.count} bought`, when: b.delaySeconds ? `there in ${unit(b.delaySeconds, "s")}` : "" })), ...s.takenBack.map((b) => ({ ...b, what: "taken back", when: b.reason })),
        ...s.pools.map((p) => ({ ...p, what: `up to ${p.limit}, ${p.arrived ?? 0} there`, when: p.delaySeconds ? `takes ${unit(p.delaySeconds, "s")}` : "" }))]))] : []));
      holders.set(list.flatMap((t) => [...t.holders.map((x) => ({ ...x, type: t.type })), ...(t.others ? [{ type: t.type, cards: t.others }] : [])]));
    },
  };
}
