// Keys of the player, which work within it; those that write nothing also while the pictures are in view.
// Letters and signs would be pressed by who dictates, or meant for a reader of the screen (WCAG 2.1.4).

/** Keys that move within what scrolls, and the button of a range. */
const MOVES = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"];

/** Whether what has the focus needs a key itself. */
function hasOwnKey(element, key) {
  if (element.matches("select, textarea, input:not([type=range]), [contenteditable]")) return true;
  if (key === " ") return element.matches("button, summary, a[href]");
  return MOVES.includes(key) && element.matches("input, [role=region]");
}

/**
 * Listen to keys on the whole page, or in the whole shadow tree.
 *
 * @param player the element within which keys always work
 * @param watched the element that has to be in view where the focus is elsewhere, for keys but letters and signs
 * @param keys what a key does, by its name
 */
export function listenToKeys({ player, watched, keys, signal }) {
  let inView = false;
  const observer = new IntersectionObserver((entries) => { inView = entries.at(-1).isIntersecting; });
  observer.observe(watched);
  signal?.addEventListener("abort", () => observer.disconnect());
  player.getRootNode().addEventListener("keydown", (event) => {
    const act = keys[event.key];
    const writes = event.key.length === 1 && event.key !== " ";
    if (!act || !((inView && !writes) || player.contains(event.target))) return;
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (hasOwnKey(event.target, event.key)) return;
    event.preventDefault();
    act(event);
  }, { signal });
}

/** Take the focus from what was clicked, so that the player's keys work; keys leave it in place. */
export function returnFocus(player) {
  let pointed = null;
  const leave = (event) => {
    if (pointed !== event.target) return;
    pointed = null;
    player.focus({ preventScroll: true });
  };
  player.addEventListener("pointerdown", (event) => { pointed = event.target; });
  player.addEventListener("keydown", () => { pointed = null; });
  player.addEventListener("change", leave);
  player.addEventListener("click", (event) => {
    if (event.target.matches("button")) leave(event);
  });
}
