// What is wrong: the doctor's findings, and whether the bridge is there.

import { request, state, told } from "./link.js";
import { fill, h, shown } from "./element.js";

const AGAIN = 60000;
let findings = null;
let isAsking = false;
let isOpen = false;

export function startBar() {
  told.addEventListener("link", () => { show(); if (state.isThere) ask(); });
  told.addEventListener("bridge", () => { show(); ask(); });
  setInterval(() => !document.hidden && ask(), AGAIN);
}

async function ask() {
  if (isAsking || !state.isThere) return;
  isAsking = true;
  show();
  findings = await request("doctor").catch((error) => [{ check: "doctor", verdict: "unknown", found: error.message }]);
  isAsking = false;
  show();
}

function show() {
  const bar = document.getElementById("bar");
  bar.hidden = false;
  if (!state.isThere) {
    bar.className = "problem";
    return fill(bar, h("p", { role: "alert" }, "The connection to the server is lost. It is tried again; what is shown is old."));
  }
  const count = (verdict) => (findings ?? []).filter((it) => it.verdict === verdict).length;
  const [problems, warnings] = [count("problem"), count("warning")];
  if (!state.bridge.present) {
    bar.className = "problem";
    return fill(bar, h("p", { role: "alert" }, "The bridge is not on the bus. Start it with ", h("code", {}, "zocp bridge"), "."));
  }
  bar.className = problems ? "problem" : warnings ? "warning" : "ok";
  const plural = (number, word) => `${number} ${word}${number === 1 ? "" : "s"}`;
  const words = [problems && plural(problems, "problem"), warnings && plural(warnings, "warning")].filter(Boolean);
  const summary = !findings ? "Looking for what is wrong…" : words.length ? words.join(", ") : "Nothing is wrong";
  const details = h("details", { open: isOpen, ontoggle: (event) => (isOpen = event.target.open) },
    h("summary", {}, summary),
    h("ul", {}, ...(findings ?? []).map((it) => h("li", { class: it.verdict }, h("strong", {}, `${it.verdict} `),
      h("span", {}, `${shown(it.check)}: ${shown(it.found, 400)}`), it.advice && h("p", {}, shown(it.advice, 600))))),
    h("button", { class: "quiet", onclick: ask, disabled: isAsking }, isAsking ? "Looking…" : "Look again"));
  fill(bar, details);
}
