// Wires: a table of all, and the form with which one is made or changed.

import { fullName, isEmitter, isTarget, may, request, state, told } from "./link.js";
import { dialog, fill, h, name, say, shown, valueText } from "./element.js";

let place = null;

export function wires() {
  place = h("div", { class: "panel" });
  render();
  return place;
}

/** How a wire is called: its ends as people know them. */
export function wireName(wire) {
  const end = (id, text) => (id ? fullName(id) : shown(text, 120));
  return [end(wire.from, wire.properties.From), end(wire.to, wire.properties.To)];
}

const WORDS = { Scale: "scale", Expression: "=", Threshold: "above", Deliver: "deliver" };

export function conversionText(wire) {
  return Object.entries(wire.properties.Conversion ?? {}).map(([key, value]) =>
    typeof value === "boolean" ? (value ? key.toLowerCase() : `not ${key.toLowerCase()}`) : `${WORDS[key] ?? key.toLowerCase()} ${valueText(value)}`)
    .join(", ");
}

function render() {
  const all = [...state.wires.values()].sort((a, b) => a.number - b.number);
  const table = h("table", {}, h("caption", {}, `${all.length} ${all.length === 1 ? "wire" : "wires"}`),
    h("thead", {}, h("tr", {}, ...["From", "To", "State", "Passed on", "Last value", "Conversion", ""].map((it) => h("th", { scope: "col" }, it)))),
    h("tbody", {}, ...all.map(row)));
  fill(place, may("patch") && h("p", {}, h("button", { class: "primary", onclick: () => wireDialog({}) }, "New wire…")),
    h("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": "Wires" }, table));
}

function row(wire) {
  const { State: its, Count: count, Lost: lost, LastValue: last, LastError: error, Direct: direct, Foreign: foreign, Lasting: lasting } = wire.properties;
  const [from, to] = wireName(wire);
  const words = [foreign && "of others", !foreign && direct && "direct", lasting && "lasting"].filter(Boolean).join(", ");
  return h("tr", { class: its, dataset: { number: wire.number } },
    h("td", { dataset: { head: "From" } }, name(from)), h("td", { dataset: { head: "To" } }, name(to)),
    h("td", { dataset: { head: "State" } }, h("span", { class: `state ${its}` }, shown(its)), words && h("small", {}, ` ${words}`),
      error && h("p", { class: "bad" }, shown(error, 200))),
    h("td", { dataset: { head: "Passed on" } }, `${count ?? 0}`, lost ? h("small", { class: "bad" }, ` ${lost} lost`) : null),
    h("td", { dataset: { head: "Last value" } }, last === "" ? "–" : valueText(last)),
    h("td", { dataset: { head: "Conversion" } }, conversionText(wire) || "–"),
    h("td", {}, may("patch") && h("span", { class: "buttons" },
      h("button", { class: "quiet", onclick: () => wireDialog({}, wire), "aria-label": `Change the wire from ${from} to ${to}` }, "Change…"),
      h("button", { class: "quiet", onclick: () => unwire(wire), "aria-label": `Remove the wire from ${from} to ${to}` }, "Remove"))));
}

export async function unwire(wire) {
  try {
    await request("unwire", { number: wire.number });
    say("The wire is removed.");
  } catch (error) {
    say(error.message, "bad");
  }
}

/** Makes a wire without a question, as when a cable is drawn. */
export async function wire(from, to, options = {}) {
  try {
    await request("wire", { from, to, options });
    say(`${fullName(from)} → ${fullName(to)}`);
  } catch (error) {
    say(error.message, "bad");
  }
}

function choices(isMeant) {
  const all = [...state.capabilities.values()].filter((it) => isMeant(it) && !it.node.left);
  return all.map((it) => [it.id, fullName(it.id)]).sort((a, b) => a[1].localeCompare(b[1]));
}

/** The form of a wire: a new one, or, with `wire`, what one that is there makes of values. */
export function wireDialog({ from, to }, wire) {
  const known = wire?.properties.Conversion ?? {};
  const select = (label, all, chosen) => h("label", { class: "wide" }, label, h("select", { required: true },
    h("option", { value: "" }, "Choose…"), ...all.map(([value, text]) => h("option", { value, selected: value === chosen }, shown(text, 120)))));
  const input = (label, key, more) => h("label", {}, label, h("input", { name: key, value: known[key] ?? "", ...more }));
  const check = (label, key, checked) => h("label", { class: "check" }, h("input", { type: "checkbox", name: key, checked: checked ?? known[key] === true }), label);
  const ends = wire ? [] : [select("From", choices(isEmitter), from), select("To", choices(isTarget), to)];
  const deliver = h("label", {}, "Deliver", h("select", { name: "Deliver" },
    ...[["", "as the target is"], ["every", "every value"], ["latest", "the newest value"]].map(([value, text]) =>
      h("option", { value, selected: value === (known.Deliver ?? "") }, text))));
  const wrong = h("p", { class: "bad", role: "alert" });
  const form = h("form", { class: "wire", onsubmit: (event) => { event.preventDefault(); submit(); } }, ...ends,
    wire && h("p", {}, ...wireName(wire).flatMap((it, at) => (at ? [" → ", name(it)] : [name(it)]))),
    wire?.properties.LastError && h("p", { class: "bad" }, shown(wire.properties.LastError, 300)),
    input("Scale", "Scale", { placeholder: "0..1=0..255, or ends" }),
    input("Expression", "Expression", { placeholder: "value * 2" }),
    input("Threshold", "Threshold", { type: "number", step: "any" }), deliver,
    check("Keep it in range", "Clamp"), check("Turn it around", "Invert"),
    check("Keep it when the bridge ends", "Lasting", wire?.properties.Lasting === true), wrong,
    h("p", { class: "buttons" }, h("button", { class: "primary", type: "submit" }, wire ? "Change" : "Wire"),
      wire && h("button", { type: "button", onclick: () => { box.close(); unwire(wire); } }, "Remove")));
  const submit = async () => {
    const data = Object.fromEntries(["Scale", "Expression", "Deliver"].map((key) => [key, form.elements[key].value.trim()]));
    for (const key of ["Clamp", "Invert", "Lasting"]) if (form.elements[key].checked) data[key] = true;
    if (form.elements.Threshold.value !== "") data.Threshold = form.elements.Threshold.valueAsNumber;
    const [one, other] = wire ? [wire.properties.From, wire.properties.To] : ends.map((it) => it.querySelector("select").value);
    try {
      await request("wire", { from: one, to: other, options: data });
      box.close();
    } catch (error) {
      wrong.textContent = shown(error.message, 300);
    }
  };
  const box = dialog(wire ? "A wire" : "A new wire", form);
}

let due = false;
told.addEventListener("wires", () => {
  if (!place?.isConnected || due) return;
  due = true;
  setTimeout(() => {
    due = false;
    // A table that is made anew would take the focus away from somebody who goes through it with the keyboard.
    const held = place.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
    render();
    if (held) [...place.querySelectorAll("[aria-label]")].find((it) => it.getAttribute("aria-label") === held)?.focus();
  }, 250);
});
