// The connection to the server, and what it told: the whole once, then what changed.

export const state = {
  role: "look",
  isThere: false,
  bridge: { present: false, properties: {} },
  nodes: new Map(),
  values: new Map(),
  wires: new Map(),
  statistics: {},
  /** Capabilities by id, with their node and object. */
  capabilities: new Map(),
};

/** Events: `whole`, `nodes`, `wires`, `bridge`, `statistics`, `link`, and `values` with a set of ids in `detail`. */
export const told = new EventTarget();

const RANK = { look: 0, play: 1, patch: 2 };
const waiting = new Map();
let socket = null;
let counter = 0;
let heard = -1;
let pause = 250;

export const may = (role) => RANK[state.role] >= RANK[role];

/** Connects, and again whenever the connection is lost. */
export function connect() {
  socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/socket`);
  const own = socket;
  socket.onmessage = (event) => own === socket && receive(JSON.parse(event.data));
  socket.onclose = () => own === socket && lost();
}

function lost() {
  state.isThere = false;
  for (const { reject } of waiting.values()) reject(new Error("the connection to the server is lost"));
  waiting.clear();
  tell("link");
  setTimeout(async () => {
    const answer = await fetch("/session").catch(() => null);
    if (answer?.status === 401) location.reload();
    connect();
  }, pause);
  pause = Math.min(pause * 2, 5000);
}

function tell(what, detail) {
  told.dispatchEvent(new CustomEvent(what, { detail }));
}

function receive(message) {
  if (message.t === "reply") return replied(message);
  if (message.t === "whole") return receiveWhole(message);
  // One that is missing would leave something untold: the server starts from the whole for a new connection.
  if (message.n !== heard + 1) return socket.close();
  heard = message.n;
  const values = new Set();
  for (const [id, value] of message.values) {
    state.values.set(id, value);
    values.add(id);
  }
  for (const node of message.nodes) setNode(node);
  for (const label of message.left) dropNode(label);
  for (const wire of message.wires) state.wires.set(wire.number, wire);
  for (const number of message.unwired) state.wires.delete(number);
  if (message.bridge) state.bridge = message.bridge;
  if (message.statistics) state.statistics = message.statistics;
  if (values.size) tell("values", values);
  if (message.nodes.length || message.left.length) {
    tell("nodes", new Set([...message.nodes.map((node) => node.label), ...message.left]));
  }
  if (message.wires.length || message.unwired.length) tell("wires");
  if (message.bridge) tell("bridge");
  if (message.statistics) tell("statistics");
}

function receiveWhole(message) {
  Object.assign(state, { role: message.role, bridge: message.bridge, statistics: message.statistics, isThere: true });
  for (const map of ["nodes", "values", "wires", "capabilities"]) state[map].clear();
  for (const [id, value] of message.values) state.values.set(id, value);
  for (const node of message.nodes) setNode(node);
  for (const wire of message.wires) state.wires.set(wire.number, wire);
  heard = message.n;
  pause = 250;
  tell("link");
  tell("whole");
}

function setNode(node) {
  dropCapabilities(node.label);
  state.nodes.set(node.label, node);
  const names = new Map(node.objects.map((object) => [object.path, object.name]));
  for (const object of node.objects) {
    const labels = object.path ? object.path.split("/") : [];
    // The raw names of the objects on the way to it.
    object.title = labels.map((label, at) => names.get(labels.slice(0, at + 1).join("/")) || label).join(" · ");
    for (const capability of object.capabilities) {
      state.capabilities.set(capability.id, Object.assign(capability, { node, object }));
    }
  }
}

function dropCapabilities(label) {
  for (const object of state.nodes.get(label)?.objects ?? []) {
    for (const capability of object.capabilities) state.capabilities.delete(capability.id);
  }
}

function dropNode(label) {
  for (const object of state.nodes.get(label)?.objects ?? []) {
    for (const capability of object.capabilities) state.values.delete(capability.id);
  }
  dropCapabilities(label);
  state.nodes.delete(label);
}

function replied(message) {
  const { resolve, reject } = waiting.get(message.request) ?? {};
  waiting.delete(message.request);
  if (message.error !== undefined) reject?.(new Error(message.error));
  else resolve?.(message.answer);
}

/** Asks the server to do something; the promise is its answer. */
export function request(wanted, parts = {}) {
  return new Promise((resolve, reject) => {
    if (socket?.readyState !== WebSocket.OPEN) return reject(new Error("there is no connection to the server"));
    counter += 1;
    waiting.set(counter, { resolve, reject });
    socket.send(JSON.stringify({ request: counter, do: wanted, ...parts }));
  });
}

const setting = new Map();

/** Sets a value. While one is under way, of those that follow only the newest is sent behind it. */
export async function set(capability, value) {
  const known = setting.get(capability);
  if (known) {
    known.next = { value };
    return known.done;
  }
  const entry = { next: { value } };
  setting.set(capability, entry);
  entry.done = (async () => {
    try {
      while (entry.next) {
        const { value: newest } = entry.next;
        entry.next = null;
        await request("set", { capability, value: newest });
      }
    } finally {
      setting.delete(capability);
    }
  })();
  return entry.done;
}

/** The full name of a capability, for people. */
export function fullName(id) {
  const capability = state.capabilities.get(id);
  if (!capability) return id;
  const path = capability.object.title ? `${capability.object.title} · ` : "";
  return `${capability.node.name} · ${path}${capability.name}`;
}

/** The range of a number: nodes of pyZOCP leave out a minimum of 0. */
export function rangeOf(capability) {
  const { Min: told, Max: max } = capability.more;
  const min = typeof told === "number" ? told : max > 0 && !(state.values.get(capability.id) < 0) ? 0 : undefined;
  return typeof min === "number" && typeof max === "number" && max > min ? [min, max] : null;
}

export const isEmitter = (capability) => capability.access.includes("e");
export const isTarget = (capability) => /[sw]/.test(capability.access);
