// Elements from data. Text of peers becomes text nodes, never markup, without what turns the direction of reading.

const STEERING = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu;
const SVG = "http://www.w3.org/2000/svg";

/** Text of a peer as it may be shown: no control characters, and no longer than `max` letters. */
export function shown(text, max = 160) {
  const letters = String(text).slice(0, max * 4).replace(STEERING, "\ufffd");
  const cut = [...letters];
  return cut.length > max || String(text).length > max * 4 ? cut.slice(0, max).join("") + "…" : letters;
}

/** An element with properties, listeners (`onclick`), attributes (`aria-label`, `data-id`) and children. */
export function h(name, properties = {}, ...children) {
  return filled(document.createElement(name), properties, children);
}

/** The same in SVG. */
export function s(name, properties = {}, ...children) {
  return filled(document.createElementNS(SVG, name), properties, children);
}

function filled(element, properties, children) {
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "class") element.setAttribute("class", value);
    else if (key === "text") element.textContent = value;
    else if (key === "dataset") Object.assign(element.dataset, value);
    else if (key in element && !(element instanceof SVGElement) && !key.includes("-")) element[key] = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** A name of a peer: isolated, so that its direction is its own affair. */
export function name(text, max = 80) {
  return h("bdi", { text: shown(text, max) || "(no name)", title: shown(text, 300) });
}

/** Replaces what is in an element. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat().filter(Boolean));
}

/** A value in few words. */
export function valueText(value) {
  if (value === undefined) return "–";
  if (typeof value === "number") return numberText(value);
  if (typeof value === "string") return shown(value);
  if (Array.isArray(value)) return "(" + value.map(valueText).join(", ") + ")";
  return shown(JSON.stringify(value));
}

export function numberText(number) {
  if (!Number.isFinite(number)) return String(number);
  if (Number.isInteger(number) && Math.abs(number) < 1e9) return String(number);
  const size = Math.abs(number);
  return size >= 1e6 || (size < 1e-4 && size > 0) ? number.toExponential(3) : String(Number(number.toPrecision(5)));
}

/** A dialog that is shown at once and removed when it is closed. */
export function dialog(title, ...children) {
  const close = () => box.close();
  const heading = h("h2", {}, title);
  const box = h("dialog", { onclose: () => box.remove(), "aria-label": heading.textContent },
    h("header", {}, heading, h("button", { class: "quiet", onclick: close, "aria-label": "Close" }, "✕")), ...children);
  box.addEventListener("click", (event) => event.target === box && close());
  document.body.append(box);
  box.showModal();
  return box;
}

/** Says something to everybody: on the screen for a while, and to a screen reader. */
export function say(text, kind = "") {
  const place = document.getElementById("said");
  const note = h("p", { class: kind, text: shown(text, 300) });
  place.append(note);
  while (place.children.length > 4) place.firstChild.remove();
  setTimeout(() => note.remove(), kind === "bad" ? 9000 : 4000);
}
