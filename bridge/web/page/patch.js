// The patch: a box for each node, wires as cables that are drawn with a pointer or with the keyboard.

import { fullName, isEmitter, isTarget, may, rangeOf, state, told } from "./link.js";
import { h, s, say, shown, name, valueText } from "./element.js";
import { filter, isShown, isShownNode, remember, remembered } from "./app.js";
import { badge, details, ordered } from "./list.js";
import { conversionText, unwire, wire, wireDialog, wireName } from "./wires.js";

const [WIDTH, HEAD, ROW, GAP, FOLD] = [248, 38, 28, 26, 14];
const unfolded = new Set();
const boxes = new Map();
const cables = new Map();
let [board, surface, picture, drawing] = [null, null, null, null];
let positions = {};
let picked = null;
let scale = 1;

export function patch() {
  positions = JSON.parse(remembered("positions", "{}"));
  picture = s("svg", { class: "cables", role: "group", "aria-label": "Wires" });
  drawing = s("path", { class: "drawing" });
  surface = h("div", { class: "surface" });
  board = h("div", { class: "board", tabIndex: 0, "aria-label": "Patch: nodes and the wires between them", role: "region" }, surface);
  board.addEventListener("wheel", zoomed, { passive: false });
  board.addEventListener("pointerdown", panned);
  board.addEventListener("keydown", (event) => event.key === "Escape" && drop());
  const zoom = (by, text, label) => h("button", { onclick: () => setScale(scale * by), "aria-label": label }, text);
  requestAnimationFrame(redraw);
  return h("div", { class: "patchview" }, board, h("div", { class: "zoom" }, zoom(1.25, "+", "Larger"), zoom(0.8, "−", "Smaller"),
    h("button", { onclick: fit }, "Fit"), h("button", { onclick: arrange }, "Arrange")));
}

/** Nodes as they are drawn, and the ends of wires that are no capability of one of them. */
function drawnNodes() {
  const drawn = ordered().filter((node) => isShownNode(node) && node.objects.some((object) => object.capabilities.length)).map((node) => {
    const ends = new Set([...state.wires.values()].flatMap((it) => [it.from, it.to]));
    const all = node.objects.flatMap((object) => object.capabilities).filter((it) => isShown(it) && (isEmitter(it) || isTarget(it) || it.access.includes("r")));
    const first = unfolded.has(node.label) ? all : [...all].sort((a, b) => ends.has(b.id) - ends.has(a.id)).slice(0, FOLD);
    const rows = all.filter((it) => first.includes(it)).map((it) => ({ id: it.id, text: it.object.title ? `${it.object.title} · ${it.name}` : it.name, out: isEmitter(it), in: isTarget(it) }));
    return { key: node.label, title: node.name, node, rows, more: all.length - rows.length };
  });
  return [...drawn, ...strangers()];
}

function strangers() {
  const found = new Map();
  for (const it of state.wires.values()) {
    for (const [id, text, way] of [[it.from, it.properties.From, "out"], [it.to, it.properties.To, "in"]]) {
      if (id || typeof text !== "string") continue;
      const [title, member] = text.startsWith("dbus:") ? [text.split(":/")[0], text.split(":/").slice(1).join(":/")] : [text.split(":")[0], text.slice(text.indexOf(":") + 1)];
      const known = found.get(title) ?? found.set(title, { key: `end ${title}`, title, node: null, rows: [], more: 0 }).get(title);
      if (!known.rows.some((row) => row.id === text)) known.rows.push({ id: text, text: member, [way]: true });
    }
  }
  return [...found.values()];
}

const height = (box) => HEAD + box.rows.length * ROW + (box.more || unfolded.has(box.key) ? ROW : 0) + 8;

/** Columns: what only emits, what does both, what is only set. */
function columnOf(box) {
  const [out, into] = [box.rows.some((row) => row.out), box.rows.some((row) => row.in)];
  return out && !into ? 0 : into && !out ? 2 : 1;
}

function placeAll(drawn) {
  const taken = Object.fromEntries(drawn.filter((box) => positions[box.title]).map((box) => [box.key, positions[box.title]]));
  const count = Math.max(1, Math.min(3, Math.floor((board.clientWidth / scale + GAP) / (WIDTH + 90))));
  const bottoms = [GAP, GAP, GAP];
  for (const box of drawn) {
    const at = columnOf(box);
    const column = count === 3 ? at : count === 2 ? Math.min(1, at) : 0;
    const known = taken[box.key];
    box.x = known ? known[0] : GAP + column * (WIDTH + Math.max(90, Math.min(260, (board.clientWidth / scale - count * WIDTH - 2 * GAP) / Math.max(1, count - 1))));
    box.y = known ? known[1] : bottoms[column];
    if (!known) bottoms[column] = box.y + height(box) + GAP;
  }
}

export function redraw() {
  if (!board?.isConnected || dragging) return;
  const drawn = drawnNodes();
  placeAll(drawn);
  const held = surface.contains(document.activeElement) ? document.activeElement.dataset.port : null;
  boxes.clear();
  surface.replaceChildren(picture, ...drawn.map(boxOf));
  surface.dataset.empty = drawn.length ? "" : "Nothing is here to be wired.";
  if (held) surface.querySelector(`[data-port="${CSS.escape(held)}"]`)?.focus();
  redrawCables();
  size();
}

function size() {
  let [right, bottom] = [0, 0];
  for (const box of boxes.values()) [right, bottom] = [Math.max(right, box.x + WIDTH + 60), Math.max(bottom, box.y + height(box) + 60)];
  surface.style.width = `${right}px`;
  surface.style.height = `${bottom}px`;
  surface.style.transform = `scale(${scale})`;
  picture.setAttribute("width", right);
  picture.setAttribute("height", bottom);
}

function boxOf(box) {
  boxes.set(box.key, box);
  const head = h("header", { tabIndex: 0, role: "button", "aria-label": `${shown(box.title)}: move with the arrow keys`, onpointerdown: (event) => moved(event, box),
    onkeydown: (event) => nudged(event, box) }, name(box.title, 40), box.node && badge(box.node));
  const fold = box.more || unfolded.has(box.key)
    ? h("button", { class: "quiet fold", onclick: () => { unfolded.has(box.key) ? unfolded.delete(box.key) : unfolded.add(box.key); redraw(); } }, box.more ? `${box.more} more` : "Fewer") : null;
  box.element = h("section", { class: "box" + (box.node?.left ? " left" : box.node ? "" : " stranger"), "aria-label": shown(box.title) }, head, ...box.rows.map((row) => rowOf(row)), fold);
  box.element.style.transform = `translate(${box.x}px, ${box.y}px)`;
  return box.element;
}

function rowOf(row) {
  const port = (way, label) => h("button", { class: `port ${way}`, dataset: { port: `${way} ${row.id}`, id: row.id }, "aria-label": `${label} ${fullName(row.id)}`, "aria-pressed": "false",
    disabled: !may("patch"), onpointerdown: (event) => drawn(event, row.id, way), onclick: (event) => event.detail === 0 && pick(row.id, way) });
  const value = h("output", {}, "");
  row.element = h("div", { class: "prow", dataset: { id: row.id } }, row.in ? port("in", "Into") : null,
    h("button", { class: "quiet name", onclick: () => details(row.id), title: shown(row.text, 200) }, shown(row.text, 60)), value, row.out ? port("out", "From") : null);
  showValue(row);
  return row.element;
}

function showValue(row) {
  const [value, capability] = [state.values.get(row.id), state.capabilities.get(row.id)];
  if (!capability) return;
  row.element.querySelector("output").textContent = valueText(value).slice(0, 18);
  const range = typeof value === "number" ? rangeOf(capability) : null;
  const level = range ? (value - range[0]) / (range[1] - range[0]) : value === true ? 1 : 0;
  row.element.style.setProperty("--level", `${Math.max(0, Math.min(1, level)) * 100}%`);
}

/** Where a cable is plugged in: the port, else the head of a box whose row is not shown. */
function plug(id, text, way) {
  const wanted = id ?? text;
  for (const box of boxes.values()) {
    const at = box.rows.findIndex((row) => row.id === wanted);
    if (at >= 0) return [box.x + (way === "out" ? WIDTH : 0), box.y + HEAD + at * ROW + ROW / 2];
  }
  const box = id && boxes.get(id.split("/")[0]);
  return box ? [box.x + (way === "out" ? WIDTH : 0), box.y + HEAD / 2] : null;
}

function curve([x1, y1], [x2, y2]) {
  const bend = Math.max(40, Math.min(160, Math.abs(x2 - x1) / 2));
  return `M${x1},${y1}C${x1 + bend},${y1} ${x2 - bend},${y2} ${x2},${y2}`;
}

function redrawCables() {
  const focused = document.activeElement?.dataset?.wire;
  cables.clear();
  picture.replaceChildren(drawing);
  for (const it of state.wires.values()) {
    const ends = [plug(it.from, it.properties.From, "out"), plug(it.to, it.properties.To, "in")];
    if (!ends[0] || !ends[1]) continue;
    const line = curve(...ends);
    const open = () => (may("patch") ? wireDialog({}, it) : say(wireName(it).join(" → ")));
    const group = s("g", { class: "cable", tabindex: 0, role: "button", "data-wire": it.number, onclick: open,
      onkeydown: (event) => {
        if (event.key === "Enter" || event.key === " ") open();
        else if ((event.key === "Delete" || event.key === "Backspace") && may("patch")) unwire(it);
        else return;
        event.preventDefault();
      } }, s("path", { class: "hit", d: line }), s("path", { class: "line", d: line }), s("path", { class: "flow", d: line }), s("title"));
    cables.set(it.number, { group, count: it.properties.Count, ends: `${it.from} ${it.to}` });
    picture.append(group);
    showCable(it);
  }
  if (focused) picture.querySelector(`[data-wire="${focused}"]`)?.focus();
}

function showCable(it) {
  const cable = cables.get(it.number);
  const { State: its, Count: count, Lost: lost, LastError: error } = it.properties;
  const words = [wireName(it).join(" → "), its, `${count} passed on`, lost && `${lost} lost`, conversionText(it), error].filter(Boolean).join(", ");
  cable.group.setAttribute("class", `cable ${its}${cable.group.classList.contains("flowing") ? " flowing" : ""}`);
  cable.group.setAttribute("aria-label", shown(words, 300));
  cable.group.lastChild.textContent = shown(words, 300);
  if (count !== cable.count) {
    cable.count = count;
    cable.group.classList.add("flowing");
    clearTimeout(cable.rest);
    cable.rest = setTimeout(() => cable.group.classList.remove("flowing"), 600);
  }
}

let dragging = false;

/** Follows a pointer until it is let go. */
function follow(event, move, end) {
  dragging = true;
  const stop = (up) => {
    dragging = false;
    removeEventListener("pointermove", move);
    removeEventListener("pointerup", stop);
    removeEventListener("pointercancel", stop);
    end(up);
    if (isStale) redrawSoon();
  };
  addEventListener("pointermove", move);
  addEventListener("pointerup", stop);
  addEventListener("pointercancel", stop);
}

const inSurface = (event) => {
  const at = surface.getBoundingClientRect();
  return [(event.clientX - at.left) / scale, (event.clientY - at.top) / scale];
};

/** A cable is drawn from a port. */
function drawn(event, id, way) {
  if (event.button !== 0) return;
  event.preventDefault();
  event.stopPropagation();
  event.target.releasePointerCapture?.(event.pointerId);
  const start = inSurface(event);
  let hasMoved = false;
  surface.classList.add(way === "out" ? "seeks-in" : "seeks-out");
  const move = (now) => {
    const at = inSurface(now);
    hasMoved ||= Math.hypot(at[0] - start[0], at[1] - start[1]) > 4;
    const port = plug(id, id, way);
    drawing.setAttribute("d", way === "out" ? curve(port, at) : curve(at, port));
  };
  follow(event, move, (up) => {
    drawing.setAttribute("d", "");
    surface.classList.remove("seeks-in", "seeks-out");
    if (!hasMoved) return pick(id, way);
    const found = document.elementFromPoint(up.clientX, up.clientY)?.closest(".prow");
    const other = found?.querySelector(way === "out" ? ".port.in" : ".port.out")?.dataset.id;
    if (other && up.type === "pointerup") way === "out" ? wire(id, other) : wire(other, id);
  });
}

/** With the keyboard, or a tap: first one port, then the other. */
function pick(id, way) {
  if (picked && picked.way !== way) {
    const [from, to] = way === "in" ? [picked.id, id] : [id, picked.id];
    drop();
    return wire(from, to);
  }
  drop();
  picked = { id, way };
  surface.classList.add(way === "out" ? "seeks-in" : "seeks-out");
  surface.querySelector(`[data-port="${CSS.escape(`${way} ${id}`)}"]`)?.setAttribute("aria-pressed", "true");
  say(`${fullName(id)}: now choose where the wire ${way === "out" ? "ends" : "begins"}. Escape lets go.`);
}

function drop() {
  picked = null;
  surface.classList.remove("seeks-in", "seeks-out");
  for (const port of surface.querySelectorAll("[aria-pressed=true]")) port.setAttribute("aria-pressed", "false");
}

function moveTo(box, x, y) {
  [box.x, box.y] = [Math.max(0, Math.round(x)), Math.max(0, Math.round(y))];
  box.element.style.transform = `translate(${box.x}px, ${box.y}px)`;
  redrawCables();
}

function keepPosition(box) {
  positions[box.title] = [box.x, box.y];
  remember("positions", JSON.stringify(Object.fromEntries(Object.entries(positions).slice(-500))));
  size();
}

function moved(event, box) {
  if (event.button !== 0) return;
  event.stopPropagation();
  const [start, from] = [inSurface(event), [box.x, box.y]];
  follow(event, (now) => {
    const at = inSurface(now);
    moveTo(box, from[0] + at[0] - start[0], from[1] + at[1] - start[1]);
  }, () => keepPosition(box));
}

function nudged(event, box) {
  const by = { ArrowLeft: [-ROW, 0], ArrowRight: [ROW, 0], ArrowUp: [0, -ROW], ArrowDown: [0, ROW] }[event.key];
  if (!by) return;
  event.preventDefault();
  moveTo(box, box.x + by[0], box.y + by[1]);
  keepPosition(box);
}

function panned(event) {
  if (event.button !== 0 || event.pointerType === "touch" || event.target.closest("button, .cable, header")) return;
  const start = [event.clientX + board.scrollLeft, event.clientY + board.scrollTop];
  follow(event, (now) => board.scrollTo(start[0] - now.clientX, start[1] - now.clientY), () => {});
}

function zoomed(event) {
  if (!event.ctrlKey) return;
  event.preventDefault();
  setScale(scale * (event.deltaY < 0 ? 1.1 : 0.9));
}

function setScale(wanted) {
  scale = Math.max(0.25, Math.min(2, wanted));
  size();
}

function fit() {
  const [right, bottom] = [surface.offsetWidth, surface.offsetHeight];
  setScale(Math.min(1, board.clientWidth / right, board.clientHeight / bottom));
  board.scrollTo(0, 0);
}

function arrange() {
  positions = {};
  remember("positions", "{}");
  redraw();
}

let isStale = false;
let later = null;
function redrawSoon() {
  isStale = true;
  if (later || dragging) return;
  later = setTimeout(() => {
    later = null;
    isStale = dragging;
    redraw();
  }, 150);
}

told.addEventListener("nodes", () => board?.isConnected && redrawSoon());
told.addEventListener("wires", () => {
  if (!board?.isConnected) return;
  const isSame = (it) => cables.get(it.number)?.ends === `${it.from} ${it.to}`;
  const all = [...state.wires.values()];
  // Wires whose ends are filtered away are in no picture.
  if (all.every((it) => isSame(it) || (filter.text && !cables.has(it.number))) && [...cables.keys()].every((it) => state.wires.has(it))) {
    for (const it of all) if (cables.has(it.number)) showCable(it);
  } else redrawSoon();
});
told.addEventListener("values", (event) => {
  if (!board?.isConnected) return;
  for (const box of boxes.values()) for (const row of box.rows) if (event.detail.has(row.id)) showValue(row);
});
