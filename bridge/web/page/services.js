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

function table(label, heads, rows, empty, wide = false) {
  if (!rows.length) return h("section", {}, h("h2", {}, label), h("p", { class: "hint" }, empty));
  return h("section", { class: wide ? "wide" : null }, h("h2", {}, label), h("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": label }, h("table", {},
    h("thead", {}, h("tr", {}, ...heads.map((it) => h("th", { scope: "col" }, it)))),
    h("tbody", {}, ...rows.map((cells) => h("tr", {}, ...cells.map((cell, at) => h("td", { dataset: { head: heads[at] } }, cell))))))));
}

function render() {
  const nodes = ordered().filter((node) => !node.left);
  const { Rules: rules = [], ImportRules: importRules = [] } = state.bridge.properties;
  const exported = rules.map((rule) => [name(rule.service), name((rule.offered ?? []).join(", ") || "–", 400), whom(rule, rule.peers), what(rule),
    rule.program ? name(rule.program) : "configuration"]);
  const importing = importRules.map((rule) => [name(rule.service), whom(rule, rule.from), rule.name === false ? "never" : name(rule.name ?? "usual"), what(rule)]);
  const imported = nodes.flatMap((node) => Object.entries(node.properties.Services ?? {}).map(([theirs, ours]) => [name(node.name), name(theirs), name(ours)]));
  const streams = nodes.flatMap((node) => node.objects.flatMap((object) => [["source", object.sources], ["sink", object.sinks]].flatMap(([kind, all]) =>
    Object.entries(all).map(([it, about]) => [name(node.name), `${shown(object.title)} ${shown(it)}`.trim(), kind, shown(about?.Type ?? about?.type ?? ""), shown(about?.Endpoint ?? about?.endpoint ?? "", 200)]))));
  fill(place,
    table("Exported from here", ["Services", "There now", "To", "Allowed", "Rule of"], exported, "Nothing is exported. What peers may use is said in the configuration, or by the command zocp export.", true),
    table("Imported from others", ["Node", "Service there", "Name here"], imported, "No peer exports a service to this bus."),
    table("Rules of imports", ["Services", "From", "Name here", "Allowed"], importing, "No rule: what peers export is imported under its usual name.", true),
    table("Streams", ["Node", "Name", "Kind", "Type", "Endpoint"], streams, "No node offers a stream."),
    refusals(), traffic());
}

function whom({ venues = [] }, peers = []) {
  const named = peers.length ? peers.join(", ") : "every peer";
  const where = venues.includes("*") ? " of every venue" : venues.length ? ` of ${venues.join(", ")}` : "";
  return name(named + where);
}

function what(rule) {
  const flags = ["see", "talk", "learn"].filter((key) => rule[key]);
  const members = ["call", "broadcast", "call_back", "descriptors"].filter((key) => rule[key]?.length).map((key) => `${key} ${rule[key].join(" ")}`);
  const rest = [rule.timeout === undefined ? "" : `timeout ${rule.timeout} s`, rule.cache === false ? "no cache" : "", rule.identity ? `identity ${rule.identity}` : ""];
  return name([...flags, ...members, ...rest].filter(Boolean).join(", ") || "nothing", 400);
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
