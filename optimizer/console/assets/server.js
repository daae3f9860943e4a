// One server: what it does, what it was predicted to do, and why it is planned so.
import { h, api, card, facts, table, quantity, number, unit, percent, plan, state, time, csvLink } from "./lib.js";
import { chart } from "./chart.js";

export function server(root, context) {
  const name = context.argument ?? "";
  const title = h("h1", {}, name), badge = h("span", {}), why = h("p", { class: "lead" });
  const about = h("div", {}), observed = h("div", {}), ways = h("div", {}), decisions = h("div", {}), conditions = h("div", {});
  const pick = { mark: () => mark, pick: (i) => ids[i] && context.go({ cycle: ids[i] }) };
  let mark, ids = [];
  const load = chart({ title: "Load and forecast", unit: "req/min", x: "time", ...pick, bands: [[3, 2]], empty: "No load was ever measured.", series: [
    { label: "measured", colour: "c0" }, { label: "low (0.1 quantile)", colour: "c1", dash: true }, { label: "high (0.9 quantile)", colour: "c1", dash: true }, { label: "expected", colour: "c1" }] });
  const latencies = (what) => chart({ title: what, unit: "ms", x: "time", ...pick, series: [{ label: "measured, mean", colour: "c0" }, { label: "predicted, mean", colour: "c2", dash: true }, { label: "target", colour: "bad", dash: true }] });
  const ttft = latencies("TTFT, predicted and measured"), itl = latencies("ITL, predicted and measured");
  const replicas = chart({ title: "Replicas", unit: "replicas", x: "time", ...pick, series: [{ label: "planned", colour: "c1", step: true }, { label: "ready", colour: "c0", step: true }] });
  const choose = h("select", { "aria-label": "Accelerator of the curves", onchange: () => { context.go({ accelerator: choose.value }, true); curve(); } });
  let operating;
  const curveTTFT = chart({ title: "TTFT of a replica over its rate", unit: "ms", x: "req/min", mark: () => operating, ceiling: (d) => ceiling(d), empty: "There is no load to predict for.", series: [{ label: "mean", colour: "c0" }, { label: "at the percentile", colour: "c3" }, { label: "target", colour: "bad", dash: true }, { label: "measured now", colour: "ink", points: true }] });
  const curveITL = chart({ title: "ITL of a replica over its rate", unit: "ms", x: "req/min", mark: () => operating, ceiling: (d) => ceiling(d), empty: "There is no load to predict for.", series: [{ label: "mean", colour: "c0" }, { label: "at the percentile", colour: "c3" }, { label: "target", colour: "bad", dash: true }, { label: "measured now", colour: "ink", points: true }] });
  const curveWords = h("p", { class: "quiet" });
  root.append(
    h("div", { class: "head" }, title, badge), why,
    h("div", { class: "two" }, card("What it is", null, about), card("What was measured", null, observed)),
    h("div", { class: "two" }, load.element, replicas.element, ttft.element, itl.element),
    card("What its law says of one replica", choose, curveWords), h("div", { class: "two" }, curveTTFT.element, curveITL.element),
    card("Ways to serve it", null, ways), conditions, card("Its decisions", null, decisions));

  // The axis ends where a target can still be read.
  function ceiling(d) {
    const target = d[3]?.[0], known = d[1].filter((v) => v !== null);
    const most = known.reduce((a, v) => Math.max(a, v), 0);
    return target ? Math.min(Math.max(most, target) * 1.08, target * 2.5) : most * 1.08;
  }
  let last;
  function curve() {
    const c = last.curves.find((x) => x.accelerator === choose.value) ?? last.curves[0];
    operating = c?.rate;
    const of = (held, mean, target, measured) => {
      if (!c) return [[]];
      const points = c.points.map((p) => ({ ...p }));
      if (operating && measured !== undefined && !points.some((p) => p.rate === operating)) { points.push({ rate: operating, now: measured }); points.sort((a, b) => a.rate - b.rate); }
      // Between two points of the curve the line goes on over the measured one.
      points.forEach((p, i) => { if (p.now !== undefined && i > 0 && i < points.length - 1) for (const k of [held, mean]) p[k] = between(points[i - 1], p.rate, points[i + 1], k); });
      return [points.map((p) => p.rate), points.map((p) => p[mean] ?? null), points.map((p) => p[held] ?? null), points.map(() => target ?? null), points.map((p) => p.now ?? null)];
    };
    const csv = ["curves", { ...context.at(), name }];
    curveTTFT.set(of("ttftHeld", "ttft", last.ttft.target, last.ttft.measured), csv);
    curveITL.set(of("itlHeld", "itl", last.itl.target, last.itl.measured), csv);
    curveWords.replaceChildren(c ? h("span", {}, `A replica on ${c.accelerator} sustains `, h("strong", {}, c.highest === undefined ? "an unknown rate" : unit(c.highest, "req/min")), " within the targets and saturates at ", unit(c.saturation, "req/min"), ". ",
      c.rate === undefined ? "The plan has none of it." : h("span", {}, "Under the plan it gets ", h("strong", {}, unit(c.rate, "req/min")), ", the dashed line.")) : "Nothing was sized: there is no load, or no way to serve it.");
  }
  const between = (a, x, b, k) => a[k] == null || b[k] == null ? null : a[k] + (b[k] - a[k]) * (x - a.rate) / (b.rate - a.rate);

  return {
    async load(stillWanted) {
      const query = { ...context.at(), name };
      const [s, past] = await Promise.all([api("server", query), api("history", { name })]);
      if (!stillWanted()) return;
      last = s;
      badge.replaceChildren(state(s.state));
      why.textContent = s.why;
      about.replaceChildren(facts([
        ["Class", s.class], ["Model", s.model], ["Plan", plan(s.parts) + limits(s.parts)], ["Planned for", s.sizedFor === undefined ? "no load" : unit(s.sizedFor, "req/min")], ["Cost", unit(s.cost, "¢/h")], ["Replicas", s.bounds + " allowed"],
        ["Targets", targets(s)], ["What binds", s.explanation?.binding?.length ? s.explanation.binding.join(", ") + ": cards of it are scarce" : "no type of card"]]));
      const o = s.observed;
      observed.replaceChildren(facts([
        ["Load", s.load ? `${unit(s.load.arrivalRate, "req/min")}, ${unit(s.load.avgInTokens, "tokens")} in, ${unit(s.load.avgOutTokens, "tokens")} out` : `not known${o?.fault ? `: ${o.fault}, ${o.detail}` : ""}`],
        ["Ready", s.runs.length ? s.runs.map((p) => `${p.ready} on ${p.accelerator || "no node"}${p.starting ? `, ${p.starting} starting` : ""}${p.failing ? `, ${p.failing} failing` : ""}`).join("; ") : "none"],
        ["TTFT", measured(s.ttft)], ["ITL", measured(s.itl)], ...known("Within both targets", s.attainment, percent),
        ...known("Running", o?.running, (x) => unit(x, "requests a replica")), ...known("Waiting", o?.waiting, (x) => unit(x, "requests a replica")), ...known("KV cache used", o?.kvUsage, percent), ...known("CV of arrivals", o?.arrivalCV, number)]));
      charts(s, past);
      const names = s.curves.map((c) => c.accelerator);
      const wanted = context.query.accelerator ?? choose.value;
      choose.replaceChildren(...names.map((a) => h("option", { value: a }, a)));
      choose.value = names.includes(wanted) ? wanted : s.curves.find((c) => c.rate !== undefined)?.accelerator ?? names[0] ?? "";
      curve();
      ways.replaceChildren(waysOf(s));
      conditions.replaceChildren(...(s.conditions?.length ? [card("Conditions that are not as they should be", null, table("Conditions", [["Type", (c) => c.type], ["Status", (c) => c.status], ["Reason", (c) => c.reason], ["Message", (c) => c.message]], s.conditions))] : []));
      decisions.replaceChildren(decisionsOf(past));
    },
  };

  function charts(s, past) {
    ids = past.cycle ?? [];
    const seconds = (past.time ?? []).map((t) => t / 1000);
    const fixed = context.query.cycle;
    mark = fixed && s.time ? s.time / 1000 : undefined;
    const flat = (v) => seconds.map(() => v ?? null);
    const ahead = s.forecast, csv = ["history", { name }];
    const upto = fixed ? seconds.filter((t) => t <= s.time / 1000).length : seconds.length;
    const x = [...seconds.slice(0, upto), ...ahead.map((a) => a.time / 1000)];
    const gap = Array(upto).fill(null), none = ahead.map(() => null);
    load.set(upto ? [x, [...past.load.slice(0, upto), ...none], [...gap, ...ahead.map((a) => a.low)], [...gap, ...ahead.map((a) => a.high)], [...gap, ...ahead.map((a) => a.mid)]] : [[]], csv);
    ttft.set(upto ? [seconds, past.ttft, past.predictedTTFT, flat(s.ttft.target)] : [[]], csv);
    itl.set(upto ? [seconds, past.itl, past.predictedITL, flat(s.itl.target)] : [[]], csv);
    replicas.set(upto ? [seconds, past.replicas, past.ready] : [[]], csv);
  }
  function decisionsOf(past) {
    const changes = [];
    (past.cycle ?? []).forEach((id, i) => { if (i === 0 || past.runsOn[i] !== past.runsOn[i - 1]) changes.push({ id, time: past.time[i], from: i ? past.runsOn[i - 1] : "", to: past.runsOn[i], cost: past.cost[i], load: past.load[i] }); });
    return h("div", {}, table("Changes of its plan, the newest first", [
      ["Time", (c) => h("a", { href: context.to("server", name, { cycle: c.id }) }, time(c.time))], ["Before", (c) => c.from || "–"], ["After", (c) => c.to || "nothing"], ["Load, req/min", (c) => number(c.load), "num"], ["Cost, ¢/h", (c) => number(c.cost), "num"]], changes.reverse().slice(0, 100)),
    h("p", { class: "sep" }, csvLink("history", { name }, "all its cycles"), " of all its cycles"));
  }
}

// known is a fact where there is one.
const known = (name, x, words) => x === undefined || x === null ? [] : [[name, words(x)]];
const targets = (s) => [["TTFT", s.ttft.target], ["ITL", s.itl.target]].filter(([, t]) => t !== undefined).map(([n, t]) => `${n} ${unit(t, "ms")}`).join(", ") + (s.percentile ? ` for ${number(s.percentile)} % of requests` : " for the mean");
const limits = (parts) => parts.length && parts[0].maxBatchSize ? ` · batch ${parts[0].maxBatchSize}${parts[0].maxBatchedTokens ? `, ${number(parts[0].maxBatchedTokens)} tokens an iteration` : ""}` : "";
const measured = (l) => l.measured === undefined ? "not measured" : `${unit(l.measured, "ms")} mean${l.p90 === undefined ? "" : `, ${unit(l.p90, "ms")} P90`}${l.p99 === undefined ? "" : `, ${unit(l.p99, "ms")} P99`}${l.predicted === undefined ? "" : `; ${unit(l.predicted, "ms")} mean predicted`}`;

function waysOf(s) {
  if (s.unexplained) return h("p", { class: "empty" }, s.unexplained);
  const lacks = (c) => c.share ? `forbidden by ${c.share}` : Object.entries(c.lacks ?? {}).map(([t, n]) => `${n} × ${t} more`).join(", ");
  return table("Candidates by their worth under scarcity, the chosen one marked", [
    ["Way", (c) => h("span", {}, c.chosen ? h("strong", {}, c.runsOn || c.accelerator || "nothing") : c.runsOn || c.accelerator || "nothing", c.chosen ? " (chosen)" : c.feasible ? "" : h("span", { class: "quiet" }, " (misses targets)"))],
    ["Cost", (c) => quantity(c.cost, "¢/h"), "num"],
    ["Penalties", (c) => c.penalties?.length ? h("span", {}, c.penalties.map((p) => h("div", { title: p.lifted ? "lifted by: " + p.lifted : undefined }, `${p.cents > 0 ? "+" : ""}${number(p.cents)} ${p.reason}`))) : "–", "wide"],
    ["Counts", (c) => quantity(c.value, "¢/h"), "num"],
    ["Its cards are worth to others", (c) => quantity(c.scarcity, "¢/h"), "num wide"],
    ["Lacks", (c) => lacks(c) || "–", "wide"], ["Why", (c) => c.why || "–"]], s.explanation.candidates);
}
