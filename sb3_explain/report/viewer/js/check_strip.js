// In which steps of an episode the removal of the brightest region changes what the agent would do.

const HEIGHT_OF_STRIP = 14;

export class CheckStrip {
  /** @param go called with the position of a step that is clicked */
  constructor(words, go) {
    Object.assign(this, { found: [], key: "", go });
    this.element = document.createElement("figure");
    const caption = document.createElement("figcaption");
    const change = words.continuous ? "moves the dimension" : `changes the ${words.best_action}`;
    caption.textContent = `removal checks: orange where the removal ${change}, gray where not`;
    this.box = document.createElement("div");
    this.box.className = "check-strip";
    this.canvas = document.createElement("canvas");
    this.canvas.height = HEIGHT_OF_STRIP;
    this.line = document.createElement("div");
    this.line.className = "now";
    this.box.append(this.canvas, this.line);
    this.element.append(caption, this.box);
    this.canvas.addEventListener("click", (event) => this.choose(event));
  }

  /** Draw the checks of an episode, a column of pixels a step. */
  draw({ start, stop }) {
    const shown = this.found.filter(({ position }) => position >= start && position < stop);
    Object.assign(this, { start, shown });
    this.element.hidden = !shown.length;
    this.canvas.width = Math.max(1, stop - start);
    const context = this.canvas.getContext("2d");
    for (const { position, changed } of shown) {
      context.fillStyle = changed ? "#d9720b" : "#8a909c";
      context.fillRect(position - start, changed ? 0 : HEIGHT_OF_STRIP / 2, 1, HEIGHT_OF_STRIP);
    }
  }

  /** Move the cursor to a share of the width. */
  move(share) {
    this.line.style.left = `${100 * share}%`;
  }

  /** Go to the check next to a click. */
  choose(event) {
    const box = this.canvas.getBoundingClientRect();
    const at = this.start + ((event.clientX - box.left) / box.width) * this.canvas.width - 0.5;
    const distance = ({ position }) => Math.abs(position - at);
    this.go(this.shown.reduce((best, one) => (distance(one) < distance(best) ? one : best)).position);
  }
}
