// The viewer in a notebook: a model has its data, and every view of it an element of its own.

import { makeSortable } from "./tables.js";
import { openViewer } from "./viewer.js";

/** The reader of a model's blobs, which may begin anywhere in a message: numbers need their own. */
function readBlobs(blobs) {
  return async (name) => {
    const { buffer, byteOffset, byteLength } = blobs[name];
    return new Uint8Array(buffer.slice(byteOffset, byteOffset + byteLength));
  };
}

/**
 * Show a model in an element, as anywidget asks for it.
 *
 * Elements and styles stay in a shadow tree: neither the notebook nor another view sees them.
 *
 * @returns what takes the view away again
 */
async function render({ model, el }) {
  const closing = new AbortController();
  const host = document.createElement("div");
  const tree = host.attachShadow({ mode: "open" });
  const styles = new CSSStyleSheet();
  styles.replaceSync(model.get("styles"));
  tree.adoptedStyleSheets = [styles];
  tree.innerHTML = model.get("elements");
  // keys are the player's here, not the notebook's; JupyterLab looks at them before they arrive
  host.dataset.lmSuppressShortcuts = "true";
  host.addEventListener("keydown", (event) => event.stopPropagation());
  el.append(host);
  const root = tree.querySelector(".viewer");
  makeSortable(root);
  const { player } = await openViewer(root, {
    description: JSON.parse(model.get("description")),
    read: readBlobs(model.get("blobs")),
    signal: closing.signal,
  });
  return () => {
    closing.abort();
    player.running = false;
    host.remove();
  };
}

export default { render };
