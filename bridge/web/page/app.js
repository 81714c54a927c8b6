// The page: who comes in, which view is shown, what is searched for.

import { connect, isEmitter, isTarget, state, told } from "./link.js";
import { fill, h, shown } from "./element.js";
import { list, render } from "./list.js";
import { patch, redraw } from "./patch.js";
import { wires } from "./wires.js";
import { scenes } from "./scenes.js";
import { services } from "./services.js";
import { startBar } from "./bar.js";

const VIEWS = {
  list: ["List", list],
  patch: ["Patch", patch],
  wires: ["Wires", wires],
  scenes: ["Scenes", scenes],
  services: ["Services", services],
};

/** What is shown of all there is. */
export const filter = { text: "", hide: stored("hide", ""), kind: stored("kind", "all"), group: "" };

function stored(key, otherwise) {
  try {
    return localStorage.getItem(`zocp.${key}`) ?? otherwise;
  } catch {
    return otherwise;
  }
}

/** Remembers something on this browser. */
export function remember(key, value) {
  try {
    localStorage.setItem(`zocp.${key}`, value);
  } catch {
    // A browser that keeps nothing shows it all the same.
  }
}

export const remembered = stored;

let hidden = pattern(filter.hide);

/** Names with * for any text, separated by commas. */
function pattern(text) {
  const parts = text.split(",").map((it) => it.trim()).filter(Boolean);
  const escaped = parts.map((it) => it.split("*").map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&")).join(".*"));
  return parts.length ? new RegExp(`^(${escaped.join("|")})$`, "iu") : null;
}

const wired = () => new Set([...state.wires.values()].flatMap((wire) => [wire.from, wire.to]));

/** Whether a capability fits the filter. */
export function isShown(capability) {
  const { node, object } = capability;
  if (hidden?.test(capability.name) || hidden?.test(`${node.name}:${capability.name}`)) return false;
  if (filter.kind === "emitters" && !isEmitter(capability)) return false;
  if (filter.kind === "targets" && !isTarget(capability)) return false;
  if (filter.kind === "wired" && !wired().has(capability.id)) return false;
  const text = filter.text.toLowerCase();
  return !text || `${node.name} ${object.title} ${capability.name}`.toLowerCase().includes(text);
}

/** Whether a node has something that fits. */
export function isShownNode(node) {
  if (hidden?.test(node.name)) return false;
  if (filter.group && !(node.properties.Groups ?? []).includes(filter.group) && !node.own) return false;
  const capabilities = node.objects.flatMap((object) => object.capabilities);
  if (capabilities.some(isShown)) return true;
  if (node.own && !capabilities.length && !node.objects.some((object) => object.methods.length)) return false;
  return filter.kind === "all" && node.name.toLowerCase().includes(filter.text.toLowerCase());
}

function showView() {
  const wanted = location.hash.slice(1);
  const view = VIEWS[wanted] ? wanted : "list";
  fill(document.getElementById("views"), ...Object.entries(VIEWS).map(([key, [title]]) =>
    h("a", { href: `#${key}`, "aria-current": key === view ? "page" : undefined }, title)));
  const main = document.getElementById("main");
  main.className = view;
  document.getElementById("filters").hidden = view !== "list" && view !== "patch";
  fill(main, VIEWS[view][1]());
}

function filterAgain() {
  if (document.getElementById("main").className === "patch") redraw();
  else render();
}

let later = 0;
function soon() {
  clearTimeout(later);
  later = setTimeout(filterAgain, 120);
}

function showFilters() {
  const kinds = { all: "Everything", emitters: "What emits", targets: "What can be set", wired: "What is wired" };
  const choose = (event) => {
    filter.kind = event.target.value;
    remember("kind", filter.kind);
    soon();
  };
  const hide = (event) => {
    filter.hide = event.target.value;
    hidden = pattern(filter.hide);
    remember("hide", filter.hide);
    soon();
  };
  const group = h("select", { "aria-label": "Group", onchange: (event) => { filter.group = event.target.value; soon(); } });
  const groups = () => {
    const known = new Set([...state.nodes.values()].flatMap((node) => node.properties.Groups ?? []));
    fill(group, h("option", { value: "" }, "Every group"), ...[...known].sort().map((it) =>
      h("option", { value: it, selected: it === filter.group }, shown(it, 40))));
  };
  groups();
  told.addEventListener("nodes", groups);
  told.addEventListener("whole", groups);
  fill(document.getElementById("filters"),
    h("input", { type: "search", id: "search", placeholder: "Search  ( / )", "aria-label": "Search nodes and capabilities",
      oninput: (event) => { filter.text = event.target.value; soon(); } }),
    h("select", { "aria-label": "Kind", onchange: choose }, ...Object.entries(kinds).map(([value, text]) =>
      h("option", { value, selected: value === filter.kind }, text))),
    group,
    h("input", { type: "text", placeholder: "Hide, e.g. debug*, _*", "aria-label": "Hide names, with * for any text, separated by commas",
      value: filter.hide, oninput: hide }));
}

function theme(wanted) {
  if (wanted) document.documentElement.dataset.theme = wanted;
  else delete document.documentElement.dataset.theme;
}

function showTools() {
  const themes = { "": "Auto", light: "Light", dark: "Dark" };
  const choose = h("select", { "aria-label": "Theme", onchange: (event) => { theme(event.target.value); remember("theme", event.target.value); } },
    ...Object.entries(themes).map(([value, text]) => h("option", { value, selected: value === stored("theme", "") }, text)));
  const leave = h("button", { class: "quiet", onclick: async () => { await fetch("/logout", { method: "POST" }); location.reload(); } }, "Leave");
  fill(document.getElementById("tools"), h("span", { class: "role", title: "What you may do here" }, state.role), choose, leave);
}

function showBridge() {
  const { Name: bridge } = state.bridge.properties;
  document.getElementById("bridge").textContent = bridge ? shown(bridge, 40) : "zocp";
  document.title = bridge ? `zocp: ${shown(bridge, 40)}` : "zocp";
  document.body.classList.toggle("lost", !state.isThere || !state.bridge.present);
}

function login() {
  const secret = h("input", { type: "password", autocomplete: "current-password", id: "secret", required: true });
  const wrong = h("p", { class: "bad", role: "alert" });
  const enter = async (event) => {
    event.preventDefault();
    wrong.textContent = (await comeIn(secret.value)) ?? "";
    if (!wrong.textContent) start();
  };
  document.body.classList.add("outside");
  fill(document.getElementById("main"), h("form", { class: "login", onsubmit: enter }, h("h2", {}, "Come in"),
    h("p", {}, "With the address that ", h("code", {}, "zocp web"), " printed you are in at once. Else type its token, or a password."),
    h("label", { htmlFor: "secret" }, "Token or password"), secret, h("button", { type: "submit" }, "Come in"), wrong));
  secret.focus();
}

async function comeIn(secret) {
  const answer = await fetch("/login", { method: "POST", body: JSON.stringify({ secret }) }).catch(() => null);
  if (!answer) return "the server does not answer";
  return answer.ok ? null : (await answer.json()).error;
}

function start() {
  document.body.classList.remove("outside");
  told.addEventListener("whole", () => { showTools(); showFilters(); showView(); showBridge(); });
  told.addEventListener("bridge", showBridge);
  told.addEventListener("link", showBridge);
  window.addEventListener("hashchange", showView);
  document.addEventListener("keydown", (event) => {
    const isTyping = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) || document.querySelector("dialog[open]");
    if (event.key === "/" && !isTyping) {
      event.preventDefault();
      document.getElementById("search")?.focus();
    }
  });
  startBar();
  connect();
}

async function open() {
  theme(stored("theme", ""));
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (token) {
    // It stays neither in the address bar nor in the history.
    history.replaceState(null, "", location.pathname);
    if ((await comeIn(token)) === null) return start();
  }
  const answer = await fetch("/session").catch(() => null);
  if (answer?.ok) start();
  else login();
}

open();
