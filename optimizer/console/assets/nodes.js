// The picture of nodes and cards: a square for each card, in the colour of the class whose server has it.
import { h, colour, themed, number } from "./lib.js";

const cell = 11, gap = 2, apart = 7;

export function nodesPicture() {
  const grid = h("div", { class: "nodes" });
  const legend = h("div", { class: "legend" });
  const element = h("div", {}, grid, legend);
  let nodes = [], classes = [];
  const hits = new WeakMap();

  function draw() {
    const by = Map.groupBy(nodes, (n) => n.type);
    const rows = [];
    for (const [type, list] of by) {
      const cards = list.reduce((a, n) => a + n.cards, 0);
      const held = list.reduce((a, n) => a + n.held.reduce((b, x) => b + x.cards, 0), 0);
      const servers = new Set(list.flatMap((n) => n.held.map((x) => x.server))).size;
      const canvas = h("canvas", { role: "img", "aria-label": `${type}: ${held} of ${cards} cards on ${list.length} nodes are planned for ${servers} servers` });
      rows.push(h("div", { class: "node-row" }, h("strong", {}, type), canvas, h("span", { class: "num" }, `${number(held)} / ${number(cards)} `, h("span", { class: "unit" }, "cards"))));
      queueMicrotask(() => paint(canvas, list));
    }
    grid.replaceChildren(...rows);
    if (!rows.length) grid.replaceChildren(h("p", { class: "quiet" }, "No capacity is known."));
    legend.replaceChildren(...classes.map((c, i) => { const s = h("span", { class: "swatch" }); s.style.background = colour(i); return h("span", {}, s, c); }),
      (() => { const s = h("span", { class: "swatch" }); s.style.background = themed("line"); return h("span", {}, s, "free"); })());
  }
  function paint(canvas, list) {
    const width = canvas.clientWidth;
    if (!width) return;
    const places = [];
    let x = 0, y = 0;
    for (const n of list) {
      const held = n.held.flatMap((k) => Array(k.cards).fill(k));
      const cards = Math.max(n.cards, held.length, 1);
      const w = cards * (cell + gap) - gap;
      if (x && x + w > width) { x = 0; y += cell + apart; }
      for (let i = 0; i < cards; i++) {
        const at = x + i * (cell + gap);
        // A node wider than the picture goes on in the next line.
        const columns = Math.max(1, Math.floor((width + gap) / (cell + gap)));
        places.push(at + cell <= width ? { x: at, y, n, k: held[i] } : { x: (i % columns) * (cell + gap), y: y + Math.floor(i / columns) * (cell + gap), n, k: held[i] });
      }
      if (w > width) { y = places.at(-1).y + cell + apart; x = 0; } else x += w + apart;
    }
    const high = (places.at(-1)?.y ?? 0) + cell, ratio = devicePixelRatio || 1;
    canvas.width = width * ratio; canvas.height = high * ratio;
    canvas.style.height = high + "px";
    const g = canvas.getContext("2d");
    g.scale(ratio, ratio);
    for (const p of places) {
      g.fillStyle = p.k ? colour(Math.max(classes.indexOf(p.k.class), 0)) : themed("line");
      g.beginPath(); g.roundRect(p.x, p.y, cell, cell, 2); g.fill();
    }
    hits.set(canvas, places);
    canvas.onmousemove = (e) => {
      const p = hits.get(canvas)?.find((p) => e.offsetX >= p.x && e.offsetX <= p.x + cell && e.offsetY >= p.y && e.offsetY <= p.y + cell);
      canvas.title = p ? `${p.n.name} (${p.n.type}): ${p.k ? `${p.k.server}, ${p.k.class}` : "free"}` : "";
    };
  }
  const again = () => element.isConnected && draw();
  addEventListener("theme", again);
  let width = 0;
  new ResizeObserver(() => { if (grid.clientWidth !== width) { width = grid.clientWidth; again(); } }).observe(grid);
  return { element, set(list, of) { nodes = list; classes = of; draw(); } };
}
