// Charts by uPlot, each with its CSV and its words.
import { h, number, csvLink, themed, colour } from "./lib.js";

const charts = new Set();
// After a change of theme all charts are drawn anew.
export const redraw = () => { for (const c of charts) c.element.isConnected ? c.draw() : charts.delete(c); };

const height = 220;

// chart of series over time or over a quantity. Options: title, unit, x ("time" or the title with its unit), series ({ label, colour, dash, fill, step,
// points }), bands ([upper, lower] by index), csv ([name, query]), mark (x of a vertical line), pick (called with the index that is clicked).
export function chart(o) {
  const box = h("div", { class: "chart", "aria-hidden": "true" });
  const said = h("p", { class: "hidden-text" });
  const links = h("div", { class: "right" });
  const element = h("figure", { class: "card" }, h("header", {}, h("h2", {}, o.title, " ", h("span", { class: "unit" }, o.unit)), links), box, said);
  let plot, data, width;
  const self = { element, draw };
  charts.add(self);

  // uPlot draws in a microtask: a plot reads u.data, its own, as the chart may have been given other data since.
  function draw() {
    if (!data || !box.clientWidth) return;
    plot?.destroy();
    width = box.clientWidth;
    const axis = { stroke: themed("quiet"), grid: { stroke: themed("line"), width: 1 }, ticks: { stroke: themed("line"), width: 1 }, font: "12px system-ui, sans-serif" };
    plot = new uPlot({
      width, height,
      cursor: { y: false, points: { size: 6 }, drag: { x: true, y: false } },
      scales: { x: { time: o.x === "time", distr: o.log ? 3 : 1 }, y: o.log ? { distr: 3 } : { range: (u, least, most) => [o.floor ?? 0, o.ceiling?.(u.data) ?? (most > 0 ? most * 1.08 : 1)] } },
      axes: [{ ...axis, values: o.x === "time" ? (u, v) => clock(v) : (u, v) => v.map((x) => (x === null ? "" : number(x))) }, { ...axis, size: 58, values: (u, v) => v.map((x) => (x === null ? "" : number(x))) }],
      series: [o.x === "time" ? { value: (u, v) => v == null ? "–" : new Date(v * 1000).toLocaleTimeString("en-GB") } : { label: o.x, value: (u, v) => number(v) },
        ...o.series.map((s, i) => ({
          label: s.label, stroke: s.colour ? themed(s.colour) : colour(i), width: s.points ? 0 : 1.6, dash: s.dash ? [6, 4] : undefined,
          fill: s.fill ? themed(s.fill) : undefined, paths: s.step ? uPlot.paths.stepped({ align: 1 }) : s.points ? () => null : undefined,
          points: s.points ? { show: true, size: 9, fill: s.colour ? themed(s.colour) : colour(i) } : { show: data[0].length < 2 },
          value: (u, v) => v == null ? "–" : number(v) + " " + o.unit, spanGaps: false,
        }))],
      bands: (o.bands ?? []).map((series) => ({ series, fill: themed("c1") + "33" })),
      hooks: { draw: [(u) => mark(u)], ready: [(u) => o.pick && u.over.addEventListener("click", () => u.cursor.idx != null && o.pick(u.cursor.idx))] },
    }, data, box);
  }
  function mark(u) {
    const at = o.mark?.();
    if (at === undefined || at === null) return;
    const x = Math.round(u.valToPos(at, "x", true));
    u.ctx.save();
    u.ctx.strokeStyle = themed("ink"); u.ctx.lineWidth = devicePixelRatio; u.ctx.setLineDash([3, 3]);
    u.ctx.beginPath(); u.ctx.moveTo(x, u.bbox.top); u.ctx.lineTo(x, u.bbox.top + u.bbox.height); u.ctx.stroke();
    u.ctx.restore();
  }
  new ResizeObserver(() => { if (box.clientWidth !== width) draw(); }).observe(box);
  self.set = (columns, csv = o.csv) => {
    const same = plot && data && columns.length === data.length;
    data = columns;
    said.textContent = words(o, columns);
    if (csv) links.replaceChildren(csvLink(csv[0], csv[1], o.title));
    if (!columns[0]?.length) { plot?.destroy(); plot = undefined; box.replaceChildren(h("p", { class: "empty" }, o.empty ?? "Nothing is known of it.")); return; }
    if (same && box.clientWidth === width) plot.setData(data); else { box.querySelector(".empty")?.remove(); draw(); }
  };
  return self;
}

// clock of seconds since the Unix epoch, with the day where it begins.
function clock(splits) {
  let day = "";
  const short = splits.length > 1 && splits[1] - splits[0] < 60;
  return splits.map((t) => {
    const d = new Date(t * 1000), today = d.toLocaleDateString("en-CA");
    const at = d.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", second: short ? "2-digit" : undefined });
    const text = today === day ? at : at + "\n" + today;
    day = today;
    return text;
  });
}

// words of a chart for who does not see it.
function words(o, [x, ...series]) {
  if (!x?.length) return "No data.";
  return o.series.map((s, i) => {
    const known = (series[i] ?? []).filter((v) => v !== null && v !== undefined);
    if (!known.length) return `${s.label}: not known.`;
    const { least, most } = known.reduce((a, v) => ({ least: Math.min(a.least, v), most: Math.max(a.most, v) }), { least: Infinity, most: -Infinity });
    return `${s.label}: last ${number(known.at(-1))} ${o.unit}, from ${number(least)} to ${number(most)}.`;
  }).join(" ");
}
