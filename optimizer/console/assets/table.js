// A table of thousands of rows of which only those that are seen are in the page.
import { h } from "./lib.js";

const rowHeight = 36;
const spare = 12;

// virtual table: columns are { title, cell, sort, width, kind }. Rows without a sort keep the order they are given in.
export function virtual(caption, columns, { empty = "None." } = {}) {
  let rows = [], shown = [], order = null, filter = () => true;
  const body = h("tbody", {});
  const heads = columns.map((c, i) => h("th", { scope: "col", class: c.kind },
    c.sort ? h("button", { type: "button", onclick: () => sortBy(i) }, c.title) : c.title));
  const words = h("caption", {}, caption);
  const table = h("table", {}, words, h("thead", {}, h("tr", {}, heads)), body);
  const box = h("div", { class: "scroll tall virtual", tabindex: 0, role: "region", "aria-label": caption }, table);
  heads.forEach((e, i) => { if (columns[i].width) e.style.setProperty("--width", columns[i].width); });
  let first = -1, last = -1;

  function sortBy(i) {
    const down = order?.column === i ? !order.down : columns[i].kind?.includes("num") ?? false;
    order = { column: i, down };
    heads.forEach((e, k) => k === i ? e.setAttribute("aria-sort", down ? "descending" : "ascending") : e.removeAttribute("aria-sort"));
    arrange();
  }
  function arrange() {
    shown = rows.filter(filter);
    if (order) {
      const of = columns[order.column].sort, sign = order.down ? -1 : 1;
      shown = shown.map((r) => [of(r), r]).sort(([a], [b]) => {
        const none = (x) => x === undefined || x === null;
        if (none(a) || none(b)) return none(a) - none(b);
        return sign * (typeof a === "string" ? a.localeCompare(b) : a - b);
      }).map(([, r]) => r);
    }
    words.textContent = caption + (shown.length === rows.length ? ` (${rows.length})` : ` (${shown.length} of ${rows.length})`);
    table.setAttribute("aria-rowcount", shown.length + 1);
    first = last = -1;
    draw();
  }
  function draw() {
    const from = Math.max(0, Math.floor(box.scrollTop / rowHeight) - spare);
    const to = Math.min(shown.length, Math.ceil((box.scrollTop + (box.clientHeight || 600)) / rowHeight) + spare);
    if (from === first && to === last) return;
    first = from; last = to;
    const held = body.contains(document.activeElement) ? document.activeElement.closest("tr")?.dataset.key : undefined;
    const space = (n) => { const td = h("td", { colspan: columns.length }); td.style.height = n * rowHeight + "px"; return h("tr", { class: "space", "aria-hidden": "true" }, td); };
    const list = shown.slice(from, to).map((r, i) => h("tr", { "aria-rowindex": from + i + 2, "data-key": r.name ?? r.server ?? from + i },
      columns.map((c) => { const v = c.cell(r); return h("td", { class: c.kind, title: typeof v === "string" ? v : undefined }, v); })));
    if (!shown.length) list.push(h("tr", {}, h("td", { colspan: columns.length, class: "quiet" }, empty)));
    body.replaceChildren(...(from ? [space(from)] : []), ...list, ...(to < shown.length ? [space(shown.length - to)] : []));
    if (held !== undefined) [...body.rows].find((r) => r.dataset.key === held)?.querySelector("a,button")?.focus({ preventScroll: true });
  }
  box.addEventListener("scroll", () => requestAnimationFrame(draw), { passive: true });
  new ResizeObserver(() => draw()).observe(box);
  return {
    element: box,
    set(list) { rows = list; arrange(); },
    filter(f) { filter = f; box.scrollTop = 0; arrange(); },
    shown: () => shown,
  };
}
