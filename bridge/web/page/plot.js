// Plots: the last values of every number that was told while somebody looked.

import { rangeOf, state, told } from "./link.js";
import { h, numberText } from "./element.js";

const SAMPLES_MAX = 600;
const PLOTS_MAX = 2000;
const samples = new Map();

told.addEventListener("values", (event) => {
  const now = performance.now();
  for (const id of event.detail) record(id, now);
});
told.addEventListener("whole", () => {
  const now = performance.now();
  for (const id of state.values.keys()) record(id, now);
});
told.addEventListener("nodes", () => {
  for (const id of samples.keys()) if (!state.capabilities.has(id)) samples.delete(id);
});

function record(id, now) {
  const numbers = numbersOf(state.values.get(id));
  if (!numbers) return;
  let known = samples.get(id);
  if (!known) {
    if (samples.size >= PLOTS_MAX) return;
    samples.set(id, (known = []));
  }
  known.push([now, numbers]);
  if (known.length > SAMPLES_MAX) known.splice(0, known.length - SAMPLES_MAX);
}

export function numbersOf(value) {
  if (typeof value === "number") return [value];
  if (typeof value === "boolean") return [value ? 1 : 0];
  if (Array.isArray(value) && value.length <= 4 && value.every((it) => typeof it === "number")) return value;
  return null;
}

/** The range of a plot: that of the capability, else of what was seen. */
function range(capability, seen) {
  let [low, high] = (capability && rangeOf(capability)) ?? [Infinity, -Infinity];
  for (const [, numbers] of seen) {
    for (const number of numbers) {
      if (number < low) low = number;
      if (number > high) high = number;
    }
  }
  if (low === high) return [low - 0.5, high + 0.5];
  return Number.isFinite(low) && Number.isFinite(high) ? [low, high] : [0, 1];
}

/** Draws what was seen of a capability in the last `span` ms on a canvas; gives back the range. */
export function draw(canvas, id, span) {
  const seen = samples.get(id) ?? [];
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const scale = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * scale)) canvas.width = Math.round(width * scale);
  if (canvas.height !== Math.round(height * scale)) canvas.height = Math.round(height * scale);
  const pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  const [low, high] = range(state.capabilities.get(id), seen);
  if (!seen.length) return [low, high];
  const style = getComputedStyle(canvas);
  const now = performance.now();
  const x = (time) => width - ((now - time) / span) * width;
  const y = (number) => height - 2 - ((number - low) / (high - low)) * (height - 4);
  pen.lineWidth = 1.5;
  pen.lineJoin = "round";
  for (let line = 0; line < seen[0][1].length; line += 1) {
    pen.strokeStyle = style.getPropertyValue(`--line-${line}`) || style.color;
    pen.beginPath();
    let [before, hasBegun] = [null, false];
    for (const [time, numbers] of seen) {
      const [at, to] = [x(time), y(numbers[line] ?? low)];
      if (at >= 0) {
        // A value holds until the next one, and the one before began left of the picture.
        if (before === null) pen.moveTo(at, to);
        else if (!hasBegun) pen.moveTo(0, before);
        if (before !== null) pen.lineTo(at, before);
        pen.lineTo(at, to);
        hasBegun = true;
      }
      before = to;
    }
    if (!hasBegun) pen.moveTo(0, before);
    pen.lineTo(width, before);
    pen.stroke();
  }
  return [low, high];
}

const visible = new Set();
const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (entry.isIntersecting) visible.add(entry.target);
    else visible.delete(entry.target);
  }
});

/** A little plot, drawn while it can be seen. */
export function sparkline(id) {
  const canvas = h("canvas", { class: "spark", dataset: { id }, "aria-hidden": "true" });
  watcher.observe(canvas);
  return canvas;
}

let drawn = 0;
function frame(now) {
  if (now - drawn >= 66 && !document.hidden) {
    drawn = now;
    for (const canvas of visible) {
      if (!canvas.isConnected) {
        visible.delete(canvas);
        watcher.unobserve(canvas);
      } else draw(canvas, canvas.dataset.id, Number(canvas.dataset.span ?? 10000));
    }
  }
  requestAnimationFrame(frame);
}
requestAnimationFrame(frame);

/** A large plot with its range, for a dialog. */
export function largePlot(id) {
  const canvas = sparkline(id);
  canvas.className = "spark large";
  canvas.dataset.span = 60000;
  const [low, high] = [h("output"), h("output")];
  const tick = () => {
    if (!canvas.isConnected) return;
    const [from, to] = range(state.capabilities.get(id), samples.get(id) ?? []);
    [low.textContent, high.textContent] = [numberText(from), numberText(to)];
    setTimeout(tick, 250);
  };
  setTimeout(tick);
  return h("figure", { class: "plot" }, h("div", { class: "axis" }, high, low), canvas,
    h("figcaption", {}, "the last minute"));
}
