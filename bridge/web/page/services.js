// Services, streams, traffic and refusals.

import { state, told } from "./link.js";
import { fill, h, name, shown } from "./element.js";
import { ordered } from "./list.js";

let place = null;
let before = null;

export function services() {
  place = h("div", { class: "panel grid" });
  before = null;
  render();
  return place;
}

function table(label, heads, rows, empty) {
  if (!rows.length) return h("section", {}, h("h2", {}, label), h("p", { class: "hint" }, empty));
  return h("section", {}, h("h2", {}, label), h("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": label }, h("table", {},
    h("thead", {}, h("tr", {}, ...heads.map((it) => h("th", { scope: "col" }, it)))),
    h("tbody", {}, ...rows.map((cells) => h("tr", {}, ...cells.map((cell, at) => h("td", { dataset: { head: heads[at] } }, cell))))))));
}

function render() {
  const nodes = ordered().filter((node) => !node.left);
  const exported = (state.bridge.properties.Exports ?? []).map((it) => [name(it)]);
  const imported = nodes.flatMap((node) => Object.entries(node.properties.Services ?? {}).map(([theirs, ours]) => [name(node.name), name(theirs), name(ours)]));
  const streams = nodes.flatMap((node) => node.objects.flatMap((object) => [["source", object.sources], ["sink", object.sinks]].flatMap(([kind, all]) =>
    Object.entries(all).map(([it, about]) => [name(node.name), `${shown(object.title)} ${shown(it)}`.trim(), kind, shown(about?.Type ?? about?.type ?? ""), shown(about?.Endpoint ?? about?.endpoint ?? "", 200)]))));
  fill(place,
    table("Exported from here", ["Service"], exported, "Nothing is exported. What peers may use is said in the configuration, or by the command zocp export."),
    table("Imported from others", ["Node", "Service there", "Name here"], imported, "No peer exports a service to this bus."),
    table("Streams", ["Node", "Name", "Kind", "Type", "Endpoint"], streams, "No node offers a stream."),
    refusals(), traffic());
}

function refusals() {
  const { refused = {}, "turned away": turned = {} } = state.statistics.Counts ?? {};
  const rows = [...Object.entries(refused).map(([key, count]) => ["a call", shown(key), count]),
    ...Object.entries(turned).map(([key, count]) => ["from the mesh", shown(key), count])];
  return table("Refusals", ["What", "Why", "Times"], rows, "Nothing was refused since the bridge started.");
}

function traffic() {
  const { Received: received = {}, Sent: sent = {}, Queued: queued = 0 } = state.statistics;
  const now = performance.now();
  const verbs = [...new Set([...Object.keys(received), ...Object.keys(sent)])].sort();
  const seconds = before ? (now - before.now) / 1000 : 0;
  const rate = (all, old, verb) => (seconds > 0.5 ? Math.max(0, Math.round(((all[verb]?.[0] ?? 0) - (old?.[verb]?.[0] ?? 0)) / seconds)) : 0);
  const rows = verbs.map((verb) => [shown(verb), received[verb]?.[0] ?? 0, rate(received, before?.received, verb), sent[verb]?.[0] ?? 0, rate(sent, before?.sent, verb)]);
  if (!before || seconds > 1.5) before = { now, received, sent };
  const section = table("Traffic on the mesh", ["Message", "Received", "a second", "Sent", "a second"], rows, "Nothing was heard yet.");
  if (queued) section.append(h("p", { class: "hint" }, `${queued} octets wait to be sent.`));
  return section;
}

for (const what of ["statistics", "bridge", "nodes"]) {
  told.addEventListener(what, () => place?.isConnected && !place.contains(document.activeElement) && render());
}
