// The list: a card for each node, a row for each capability.

import { fullName, isEmitter, isTarget, may, state, told } from "./link.js";
import { dialog, h, name, shown } from "./element.js";
import { control, method } from "./control.js";
import { largePlot, numbersOf, sparkline } from "./plot.js";
import { filter, isShown, isShownNode } from "./app.js";
import { wireDialog } from "./wires.js";

const ROWS_AT_ONCE = 200;
const cards = new Map();
const rows = new Map();
let place = null;

export function list() {
  place = h("div", { class: "cards" });
  cards.clear();
  rows.clear();
  render();
  return place;
}

/** Nodes in the order in which they are shown: those that are there first, by name. */
export function ordered() {
  return [...state.nodes.values()].sort((a, b) =>
    a.left - b.left || a.own - b.own || a.name.localeCompare(b.name) || a.label.localeCompare(b.label));
}

export function render(changed) {
  if (!place?.isConnected && cards.size) return;
  const shownNodes = ordered().filter(isShownNode);
  for (const [label, card] of cards) {
    if (!shownNodes.some((node) => node.label === label)) {
      card.remove();
      cards.delete(label);
    }
  }
  let before = null;
  for (const node of shownNodes) {
    let card = cards.get(node.label);
    if (!card || !changed || changed.has(node.label)) {
      const made = cardOf(node);
      // What somebody types in goes on to be there.
      if (card?.contains(document.activeElement) && card.dataset.shape === made.dataset.shape) {
        card.classList.toggle("left", node.left);
      } else {
        card?.replaceWith(made);
        card = made;
        cards.set(node.label, card);
      }
    }
    const next = before ? before.nextSibling : place.firstChild;
    if (next !== card) place.insertBefore(card, next);
    before = card;
  }
  if (!shownNodes.length) place.dataset.empty = state.nodes.size ? "Nothing fits the search." : "No node is here yet.";
  else delete place.dataset.empty;
}

function cardOf(node) {
  const capabilities = node.objects.flatMap((object) => object.capabilities).filter(isShown);
  const methods = node.objects.flatMap((object) => object.methods);
  const shape = JSON.stringify([filter.text, node.left, node.objects], (key, value) => (key === "node" || key === "object" ? undefined : value));
  const body = h("div", { class: "rows" });
  const add = (from) => {
    for (const capability of capabilities.slice(from, from + ROWS_AT_ONCE)) body.append(row(capability));
    if (capabilities.length > from + ROWS_AT_ONCE) {
      // The rest is made when somebody scrolls there.
      const rest = h("button", { class: "quiet rest", onclick: () => more() }, `${capabilities.length - from - ROWS_AT_ONCE} more`);
      const watcher = new IntersectionObserver((entries) => entries.some((it) => it.isIntersecting) && more(), { rootMargin: "800px" });
      const more = () => {
        watcher.disconnect();
        rest.remove();
        add(from + ROWS_AT_ONCE);
      };
      body.append(rest);
      watcher.observe(rest);
    }
  };
  add(0);
  if (!filter.text) for (const it of methods) body.append(method(node, it));
  return h("section", { class: "card" + (node.left ? " left" : ""), dataset: { label: node.label, shape: hash(shape) }, "aria-label": shown(node.name) },
    h("header", {}, h("h2", {}, name(node.name, 60)), badge(node)), body);
}

function hash(text) {
  let hash = 0;
  for (let at = 0; at < text.length; at += 1) hash = (hash * 31 + text.charCodeAt(at)) | 0;
  return hash;
}

export function badge(node) {
  const { State: peer, Endpoint: endpoint, Secure: isSecure } = node.properties;
  const words = [];
  if (node.left) words.push("has left");
  else if (node.own) words.push("this bridge");
  else if (!node.bus) words.push("speaks no ZOCP");
  if (!node.left && peer && peer !== "ready") words.push(peer);
  if (isSecure) words.push("secure");
  const title = [node.label, endpoint].filter((it) => typeof it === "string").map((it) => shown(it)).join("  ");
  return h("span", { class: "badge" + (peer && peer !== "ready" ? " warn" : ""), title }, words.join(", "));
}

function row(capability) {
  const made = control(capability);
  const path = capability.object.title;
  const plot = numbersOf(state.values.get(capability.id)) ? sparkline(capability.id) : h("span", { class: "spark" });
  const open = h("button", { class: "quiet plotted", "aria-label": `Plot ${shown(capability.name, 60)}`, onclick: () => details(capability.id) }, plot);
  const element = h("div", { class: "row" + (isEmitter(capability) ? " emits" : ""), dataset: { id: capability.id } },
    h("span", { class: "name" }, path && h("small", {}, shown(path, 60) + " · "), name(capability.name, 60)),
    open, made.element);
  rows.set(capability.id, made);
  return element;
}

/** All that is known of a capability. */
export function details(id) {
  const capability = state.capabilities.get(id);
  if (!capability) return;
  const facts = { type: capability.type, hint: capability.hint, access: capability.access, ...capability.more };
  const list = Object.entries(facts).filter(([, value]) => value !== "").flatMap(([key, value]) =>
    [h("dt", {}, shown(key, 40)), h("dd", {}, shown(typeof value === "string" ? value : JSON.stringify(value)))]);
  const wire = may("patch") && (isEmitter(capability) || isTarget(capability))
    ? h("button", { onclick: () => { box.close(); wireDialog(isEmitter(capability) ? { from: id } : { to: id }); } }, "Wire…") : null;
  const made = control(capability);
  const update = (event) => {
    if (!box.isConnected) told.removeEventListener("values", update);
    else if (event.detail.has(id)) made.update(state.values.get(id));
  };
  const box = dialog(name(fullName(id)), numbersOf(state.values.get(id)) && largePlot(id),
    h("div", { class: "row" }, h("span", { class: "name" }, "value"), made.element), h("dl", {}, ...list), wire);
  told.addEventListener("values", update);
}

told.addEventListener("values", (event) => {
  for (const id of event.detail) rows.get(id)?.update(state.values.get(id));
});
told.addEventListener("nodes", (event) => {
  if (!place?.isConnected) return;
  render(event.detail);
  for (const id of rows.keys()) if (!state.capabilities.has(id)) rows.delete(id);
});
