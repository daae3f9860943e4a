// What differs between two plans.
import { h, card, quantity, number, unit, allocation, count } from "./lib.js";
import { virtual } from "./table.js";

export function difference(context, title) {
  const sum = h("div", { "aria-live": "polite" });
  const rows = virtual("Servers whose plan changes", [
    { title: "Server", cell: (r) => h("a", { href: context.to("server", r.server) }, r.server), sort: (r) => r.server },
    { title: "Before", cell: (r) => allocation(r.before) }, { title: "After", cell: (r) => allocation(r.after) },
    { title: "Cost, ¢/h", width: "7rem", kind: "num", cell: (r) => signed(cost(r.after) - cost(r.before)), sort: (r) => cost(r.after) - cost(r.before) }], { empty: "No server's plan changes." });
  const element = card(title, null, sum, h("div", { class: "sep" }, rows.element));
  return {
    element,
    set(d) {
      const less = d.costChange < 0;
      sum.replaceChildren(
        h("p", { class: "change" }, h("span", { class: Math.abs(d.costChange) < 0.005 ? "" : less ? "less" : "more" }, signed(d.costChange)), h("span", { class: "unit" }, " ¢/h")),
        h("p", {}, `${unit(d.before, "¢/h")} before, ${unit(d.totalCost, "¢/h")} after. ${count(d.changed.length, "plan")} change${d.changed.length === 1 ? "s" : ""}, ${number(d.served.length)} more served in full, ${number(d.lost.length)} fewer.`),
        h("p", { class: "quiet" }, d.changes.length ? d.changes.slice(0, 6).join("; ") + (d.changes.length > 6 ? ` and ${d.changes.length - 6} more` : "") : "", d.seconds ? `${d.changes.length ? ". " : ""}Decided in ${unit(d.seconds, "s")} by ${d.solver.name}.` : ""),
        d.drift ? h("p", { class: "quiet" }, `Without any change ${count(d.drift, "server")} would be decided otherwise than was recorded: the record is of another release, or the plan rests on what only its optimizer remembers.`) : "",
        list("No longer served in full", d.lost), list("Served in full now", d.served));
      rows.set(d.changed);
    },
    fail(text) { sum.replaceChildren(h("p", { class: "over" }, text)); rows.set([]); },
    busy() { sum.prepend(h("p", { class: "quiet" }, "Deciding …")); },
    wait(text) { sum.replaceChildren(h("p", { class: "quiet" }, text)); },
  };
}

const cost = (a) => a?.cost ?? 0;
const signed = (x) => Math.abs(x) < 0.005 ? "±0" : (x > 0 ? "+" : "−") + number(Math.abs(x));
const list = (title, names) => names.length ? h("p", {}, h("strong", {}, title + ": "), names.slice(0, 8).join(", "), names.length > 8 ? ` and ${names.length - 8} more` : "") : "";
