// Features over time: a row a feature, a column a step, colored by attribution or by value.

import { write } from "./elements.js";
import { Playback } from "./playback.js";

/** Height in pixels of a row; the style sheet's rows are as high. */
const ROW = 24;
/** Largest height of a canvas in pixels, which a browser can draw; a higher one is stretched. */
const HIGHEST = 32000;

/** Three numbers of 0..255 for a value in [-1, 1]. */
function colorOf(value, palette) {
  const table = value < 0 ? palette.negative : palette.positive;
  const magnitude = Math.min(1, Math.abs(value));
  const at = 3 * Math.min(255, Math.floor(magnitude * 255));
  return [0, 1, 2].map((c) => 60 + magnitude ** 0.7 * (table[at + c] - 60));
}

export class Strip {
  constructor(playback, { list, canvas, legend }, palette) {
    Object.assign(this, { playback, list, canvas, legend, palette });
    this.context = canvas.getContext("2d");
    this.rows = playback.features.names.map((name) => {
      const row = document.createElement("li");
      const label = document.createElement("span");
      const value = document.createElement("output");
      label.textContent = name;
      label.title = name;
      row.append(label, value);
      list.append(row);
      return { row, value };
    });
    canvas.height = Math.min(HIGHEST, ROW * this.rows.length);
    canvas.style.height = `${ROW * this.rows.length}px`;
    new ResizeObserver(() => { this.width = canvas.clientWidth; }).observe(canvas);
  }

  /** What the features are colored by at a step, each in [-1, 1]; 0 where there is no map. */
  valuesAt(position, { explainer, target, look }) {
    const found = this.playback.findMap(explainer, position, target);
    if (!found) return this.rows.map(() => 0);
    const { signed, common } = this.playback.explainers[explainer];
    const values = found.map.values.row(found.index).map((byte) => Playback.readByte(byte, signed));
    const peak = Math.max(...values.map(Math.abs));
    return look.own && !common && peak > 0 ? values.map((value) => value / peak) : values;
  }

  /** Draw the episode of a step, with a line at the step. */
  draw(position, { explainer, target, look, region, brightest }) {
    const { playback, context, canvas } = this;
    const { start, stop } = playback.episodes[playback.episodeAt(position)];
    const key = [start, explainer, target, look.style, look.opacity, look.own].join();
    if (key !== this.key) {
      this.key = key;
      const shown = look.style === "none" ? null : explainer;
      this.picture = this.render(start, stop, shown, target, look);
      this.explain(shown, look);
    }
    if (!this.width) this.width = canvas.clientWidth; // reading it lays the page out
    canvas.width = Math.max(1, this.width);
    context.imageSmoothingEnabled = false;
    context.drawImage(this.picture, 0, 0, canvas.width, canvas.height);
    const x = ((position - start + 0.5) / (stop - start)) * canvas.width;
    context.fillStyle = "#fff";
    context.fillRect(x - 1.5, 0, 3, canvas.height);
    context.fillStyle = "#000";
    context.fillRect(x - 0.5, 0, 1, canvas.height);
    this.rows.forEach(({ row, value }, feature) => {
      write(value, format(playback.features.values.at(position, feature)));
      row.classList.toggle("chosen", feature === region);
      row.classList.toggle("brightest", feature === brightest);
    });
  }

  render(start, stop, explainer, target, look) {
    const [width, height] = [stop - start, this.rows.length];
    const picture = new OffscreenCanvas(width, height);
    const context = picture.getContext("2d");
    const pixels = context.createImageData(width, height);
    const spread = explainer === null ? this.spread() : null;
    for (let column = 0; column < width; column++) {
      const attributed = spread ? null : this.valuesAt(start + column, { explainer, target, look });
      for (let row = 0; row < height; row++) {
        const value = spread
          ? (this.playback.features.values.at(start + column, row) - spread[row][0]) / spread[row][1]
          : look.opacity * attributed[row];
        const color = colorOf(value, this.palette);
        pixels.data.set([...color, 255], 4 * (row * width + column));
      }
    }
    context.putImageData(pixels, 0, 0);
    return picture;
  }

  /** Draw the colors beside what they stand for. */
  explain(explainer, look) {
    const maps = explainer === null ? null : this.playback.explainers[explainer];
    const signed = !maps || maps.signed;
    const [low, high] = !maps
      ? ["lowest value of the feature", "highest"]
      : signed ? ["against it", "for it"] : ["does not matter", "matters most"];
    this.legend.querySelector(".low").textContent = low;
    this.legend.querySelector(".high").textContent = high;
    const ramp = this.legend.querySelector("canvas");
    const context = ramp.getContext("2d");
    for (let x = 0; x < ramp.width; x++) {
      const share = x / (ramp.width - 1);
      const value = (maps ? look.opacity : 1) * (signed ? 2 * share - 1 : share);
      context.fillStyle = `rgb(${colorOf(value, this.palette).join()})`;
      context.fillRect(x, 0, 1, ramp.height);
    }
  }

  /** Middle and half the range of every feature over all steps. */
  spread() {
    return this.rows.map((_, row) => {
      let [low, high] = [Infinity, -Infinity];
      for (let i = 0; i < this.playback.n; i++) {
        const value = this.playback.features.values.at(i, row);
        if (value < low) low = value;
        if (value > high) high = value;
      }
      return [(low + high) / 2, (high - low) / 2 || 1];
    });
  }

  /** Let features be chosen on the list, and on the strip, where a click goes to its step. */
  watch(regions, go) {
    const grid = { rows: this.rows.length, columns: 1 };
    const place = (event, box) => Math.floor((event.clientY - box.getBoundingClientRect().top) / ROW);
    const featureAt = (box) => (event) => {
      const feature = place(event, box);
      return feature >= 0 && feature < this.rows.length ? feature : null;
    };
    this.list.tabIndex = 0;
    this.list.classList.add("pointed");
    for (const box of [this.list, this.canvas]) regions.watch(box, featureAt(box), grid);
    this.list.addEventListener("click", (event) => regions.toggle(featureAt(this.list)(event)));
    this.canvas.addEventListener("click", (event) => {
      const box = this.canvas.getBoundingClientRect();
      go((event.clientX - box.left) / box.width);
    });
  }
}

/** A number in at most five characters or so. */
export function format(value) {
  if (!Number.isFinite(value)) return "\u2013";
  const magnitude = Math.abs(value);
  if (magnitude !== 0 && (magnitude < 0.001 || magnitude >= 1e5)) return value.toExponential(1);
  return String(Number(value.toPrecision(3)));
}
