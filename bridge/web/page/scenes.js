// Scenes: saved, compared with what is, loaded.

import { may, request } from "./link.js";
import { fill, h, name, say, shown } from "./element.js";

export function scenes() {
  const all = h("ul", { class: "scenelist" });
  const result = h("section", { class: "result", "aria-live": "polite" });
  const list = async () => {
    try {
      const names = await request("scenes");
      fill(all, ...names.map((it) => h("li", {}, h("button", { onclick: () => compare(it, result) }, name(it)))));
      if (!names.length) fill(all, h("li", { class: "hint" }, "No scene is saved yet."));
    } catch (error) {
      fill(all, h("li", { class: "bad" }, shown(error.message, 300)));
    }
  };
  const input = h("input", { type: "text", required: true, maxLength: 100, "aria-label": "Name of the scene", placeholder: "evening" });
  const save = async (event) => {
    event.preventDefault();
    try {
      await request("scene-save", { name: input.value });
      say(`Saved: ${input.value}`);
      input.value = "";
      list();
    } catch (error) {
      say(error.message, "bad");
    }
  };
  list();
  return h("div", { class: "panel columns" },
    h("section", {}, h("h2", {}, "Scenes"), h("p", { class: "hint" }, "Values that can be set, and the wires. Choose one to see what loading it would change."), all,
      may("patch") && h("form", { class: "inline", onsubmit: save }, input, h("button", { class: "primary", type: "submit" }, "Save what is now"))),
    result);
}

/** What loading would change, and the button that does it. */
async function compare(scene, result) {
  fill(result, h("p", {}, "Comparing…"));
  try {
    const parts = await request("scene-diff", { name: scene });
    const load = async () => {
      fill(result, h("p", {}, "Loading…"));
      try {
        const failed = await request("scene-load", { name: scene });
        fill(result, h("h2", {}, name(scene)), failed.length
          ? h("p", { class: "bad" }, "Loaded, except for:") : h("p", { class: "good" }, "Loaded: everything is as it was saved."), table(failed));
      } catch (error) {
        fill(result, h("p", { class: "bad" }, shown(error.message, 400)));
      }
    };
    fill(result, h("h2", {}, name(scene)),
      h("p", {}, parts.length ? `${parts.length} ${parts.length === 1 ? "part differs" : "parts differ"} from what is now:` : "Everything is as in this scene."),
      table(parts), may("patch") && h("p", {}, h("button", { class: "primary", onclick: load }, "Load it")));
  } catch (error) {
    fill(result, h("p", { class: "bad" }, shown(error.message, 400)));
  }
}

function table(parts) {
  if (!parts.length) return null;
  return h("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": "Differences" }, h("table", {},
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Part"), h("th", { scope: "col" }, "In the scene → now"))),
    h("tbody", {}, ...parts.map((it) => h("tr", {}, h("td", { dataset: { head: "Part" } }, name(it.part, 120)),
      h("td", { dataset: { head: "In the scene → now" } }, shown(it.problem, 300)))))));
}
