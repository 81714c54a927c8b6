// A control for a capability, drawn from its type, range and access.

import { may, rangeOf, request, set, state } from "./link.js";
import { fill, h, numberText, say, shown, valueText } from "./element.js";

const NUMBERS = new Set(["d", "x", "y", "n", "q", "i", "u", "t"]);

/**
 * A control and how it is told a new value: `{ element, update(value) }`. While somebody holds it, what is told waits.
 */
export function control(capability) {
  const isSettable = may("play") && capability.access.includes("w") && !capability.node.left;
  const made = isSettable ? settable(capability) : { element: readout(), update: showIn };
  const update = made.update.bind(made);
  made.update = (value) => update(value, made.element);
  made.update(state.values.get(capability.id));
  return made;
}

function readout() {
  return h("output", { class: "readout" });
}

function showIn(value, element) {
  if (typeof value === "boolean") {
    element.className = "readout lamp" + (value ? " on" : "");
    element.textContent = value ? "on" : "off";
  } else if (isColour(value)) fill(element, swatch(value), valueText(value));
  else element.textContent = valueText(value);
}

function settable(capability) {
  const { type } = capability;
  if (type === "b") return switcher(capability);
  if (NUMBERS.has(type)) {
    return rangeOf(capability) ? slider(capability) : field(capability, "number");
  }
  if (/^\(d{2,4}\)$/.test(type)) return vector(capability);
  if (type === "s") return field(capability, "text");
  return field(capability, "json");
}

/** Sends, and says on the row what came of it. */
function send(capability, value, element) {
  return set(capability.id, value).then(
    () => element.closest(".row")?.classList.remove("refused"),
    (error) => {
      element.closest(".row")?.classList.add("refused");
      say(`${shown(capability.name, 40)}: ${error.message}`, "bad");
      throw error;
    },
  );
}

/** What a held control is told is applied when it is let go. */
function holding(capability, elements, show) {
  let held = false;
  const now = () => show(state.values.get(capability.id));
  const release = () => {
    held = false;
    now();
  };
  for (const element of elements) {
    element.addEventListener("pointerdown", () => (held = true));
    element.addEventListener("pointerup", () => setTimeout(release, 300));
    element.addEventListener("pointercancel", release);
    if (element.type !== "range" && element.type !== "color") {
      element.addEventListener("focus", () => (held = true));
      element.addEventListener("blur", release);
    }
  }
  return { isHeld: () => held, release };
}

function label(capability) {
  return shown(capability.object.title ? `${capability.object.title} ${capability.name}` : capability.name);
}

function switcher(capability) {
  const input = h("input", { type: "checkbox", role: "switch", class: "switch", "aria-label": label(capability) });
  const show = (value) => (input.checked = value === true);
  input.addEventListener("change", () =>
    send(capability, input.checked, input).catch(() => show(state.values.get(capability.id))));
  return { element: input, update: show };
}

function slider(capability) {
  const [min, max] = rangeOf(capability);
  const { Step: step } = capability.more;
  const isWhole = capability.type !== "d";
  const by = typeof step === "number" && step > 0 ? step : isWhole ? 1 : "any";
  const common = { min, max, step: by, "aria-label": label(capability) };
  const range = h("input", { type: "range", ...common });
  // Without a step of its own the keyboard moves a hundredth of the range.
  if (by === "any") range.step = (max - min) / 1000;
  const number = h("input", { type: "number", class: "number", ...common });
  const show = (value) => {
    if (hold.isHeld()) return;
    range.value = typeof value === "number" ? value : min;
    number.value = typeof value === "number" ? numberText(value) : "";
  };
  const hold = holding(capability, [range, number], show);
  const changed = (input) => {
    const value = input.valueAsNumber;
    if (!Number.isFinite(value)) return;
    if (input === range) number.value = numberText(value);
    else range.value = value;
    send(capability, value, range).catch(hold.release);
  };
  range.addEventListener("input", () => changed(range));
  number.addEventListener("change", () => changed(number));
  return { element: h("span", { class: "slider" }, range, number), update: show };
}

function field(capability, kind) {
  const type = kind === "number" ? "number" : "text";
  const step = capability.type === "d" ? "any" : undefined;
  const input = h("input", { type, step, class: kind, "aria-label": label(capability), dir: "auto" });
  const write = (value) => {
    if (kind === "json") return value === undefined ? "" : JSON.stringify(value);
    return value === undefined ? "" : String(value);
  };
  const show = (value) => {
    if (hold.isHeld()) return;
    const text = write(value);
    // The server shows the beginning of what is very long: that is not to be sent back.
    input.readOnly = text.endsWith("…") && text.length > 1000;
    input.value = text;
  };
  const hold = holding(capability, [input], show);
  const changed = () => {
    let value = input.value;
    if (kind === "number") value = Number.isSafeInteger(Number(value)) || capability.type === "d" ? Number(value) : value;
    if (kind === "json") {
      try {
        value = JSON.parse(value);
      } catch {
        // Text without a type to go by.
      }
    }
    send(capability, value, input).catch(hold.release);
  };
  input.addEventListener("change", changed);
  return { element: input, update: show };
}

function isColour(value) {
  return Array.isArray(value) && value.length === 3 && value.every((it) => typeof it === "number" && it >= 0 && it <= 1);
}

function hex(value) {
  return "#" + value.map((it) => Math.round(it * 255).toString(16).padStart(2, "0")).join("");
}

function swatch(value) {
  const square = h("span", { class: "swatch", "aria-hidden": "true" });
  square.style.backgroundColor = hex(value);
  return square;
}

function vector(capability) {
  const count = capability.type.length - 2;
  const names = /colou?r|rgb/i.test(capability.name + capability.hint) ? "RGBA" : "xyzw";
  const inputs = Array.from({ length: count }, (_, at) =>
    h("input", { type: "number", step: "any", class: "number", "aria-label": `${label(capability)} ${names[at]}` }));
  const colour = names === "RGBA" && count === 3
    ? h("input", { type: "color", "aria-label": `${label(capability)}, colour` }) : null;
  const show = (value) => {
    if (hold.isHeld() || !Array.isArray(value)) return;
    inputs.forEach((input, at) => (input.value = numberText(value[at] ?? 0)));
    if (colour && isColour(value)) colour.value = hex(value);
  };
  const hold = holding(capability, colour ? [...inputs, colour] : inputs, show);
  const changed = () => send(capability, inputs.map((input) => input.valueAsNumber || 0), inputs[0]).catch(hold.release);
  for (const input of inputs) input.addEventListener("change", changed);
  colour?.addEventListener("input", () => {
    const parts = [1, 3, 5].map((at) => parseInt(colour.value.slice(at, at + 2), 16) / 255);
    inputs.forEach((input, at) => (input.value = numberText(parts[at])));
    changed();
  });
  return { element: h("span", { class: "vector" }, colour, ...inputs), update: show };
}

/** A method: its arguments, a button, and the answer. */
export function method(node, it) {
  const inputs = it.in.map(([name, type]) => {
    const kind = type === "b" ? { type: "checkbox" } : NUMBERS.has(type) ? { type: "number", step: "any" } : { type: "text" };
    return { type, input: h("input", { ...kind, placeholder: kind.type === "text" ? type : "", "aria-label": shown(name) || type }), name };
  });
  const answer = h("output", { class: "answer", "aria-live": "polite" });
  const read = ({ type, input }) => {
    if (type === "b") return input.checked;
    if (type === "s" || NUMBERS.has(type)) return input.value;
    try {
      return JSON.parse(input.value);
    } catch {
      return input.value;
    }
  };
  const call = async (event) => {
    event.preventDefault();
    answer.textContent = "…";
    try {
      const results = await request("call", { method: it.id, arguments: inputs.map(read) });
      answer.textContent = results.length ? results.map(valueText).join(", ") : "done";
      answer.className = "answer";
    } catch (error) {
      answer.textContent = shown(error.message);
      answer.className = "answer bad";
    }
  };
  const labels = inputs.map(({ input, name, type }) => h("label", {}, shown(name || type, 30), input));
  const button = h("button", { type: "submit", disabled: !may("play") || node.left }, "Call");
  return h("form", { class: "row method", onsubmit: call }, h("span", { class: "name" }, shown(it.name, 60), "()"),
    h("span", { class: "arguments" }, ...labels, button, answer));
}
