// Which region is looked at: the one under the pointer, or the one that a tap or a key has pinned.

/** Rows and columns that an arrow key goes on by. */
const ARROWS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

export class Regions {
  /** @param changed called with the region that is looked at, or null, and whether it is pinned */
  constructor(changed) {
    Object.assign(this, { changed, hovered: null, pinned: null });
  }

  get shown() {
    return this.pinned ?? this.hovered;
  }

  update(part) {
    const [shown, pinned] = [this.shown, this.pinned];
    Object.assign(this, part);
    if (this.shown !== shown || this.pinned !== pinned) this.changed(this.shown, this.pinned !== null);
  }

  release() {
    this.update({ pinned: null, hovered: null });
  }

  /** Pin a region; the same one again is released. */
  toggle(region) {
    this.update({ pinned: region === this.pinned ? null : region, hovered: null });
  }

  /**
   * Let an element choose among regions: by pointing, by a tap, by arrow keys.
   *
   * @param find the region at an event's place, or null
   * @param grid `{rows, columns}`
   */
  watch(element, find, { rows, columns }) {
    const isTouch = (event) => event.pointerType === "touch";
    element.addEventListener("pointermove", (event) => isTouch(event) || this.update({ hovered: find(event) }));
    element.addEventListener("pointerleave", (event) => isTouch(event) || this.update({ hovered: null }));
    element.addEventListener("keydown", (event) => {
      if (event.shiftKey || event.ctrlKey || event.metaKey || event.altKey) return;
      if (!(event.key in ARROWS)) return;
      event.preventDefault();
      event.stopPropagation();
      const [down, right] = ARROWS[event.key];
      const from = this.shown;
      const row = from === null ? 0 : Math.floor(from / columns) + down;
      const column = from === null ? 0 : (from % columns) + right;
      if (row >= 0 && row < rows && column >= 0 && column < columns) this.update({ pinned: row * columns + column });
    });
  }
}
