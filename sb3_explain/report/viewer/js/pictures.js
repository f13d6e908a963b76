// The game and what the agent sees, with a map over both.

import { enlargeMap, layOver } from "./overlays.js";
import { Playback } from "./playback.js";

/** Height in pixels that a picture is drawn with at least; the style sheet enlarges it. */
const HEIGHT = 200;
/** Width in pixels that no picture is enlarged beyond. */
const WIDEST = 4096;
/** How long dashes and the gaps between them are, in pixels of the canvas. */
const DASHES = [5, 4];
/** A map of an earlier step is as strong as this share of one of the step itself. */
const FADED = 0.45;
/** Color and width in pixels of the frame around the picture under such a map. */
const OLDER = ["#d9720b", 4];

/** Read the pixels of tiles of one kind. */
class TileReader {
  constructor({ width, height }) {
    Object.assign(this, { width, height });
    this.context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  }

  /** The pixels of a tile, RGBA; they hold until the next one is read. */
  read({ bitmap, x, y }) {
    const { context, width, height } = this;
    context.clearRect(0, 0, width, height);
    context.drawImage(bitmap, x, y, width, height, 0, 0, width, height);
    return context.getImageData(0, 0, width, height).data;
  }
}

/** The values of a map's tile, and the largest magnitude among them. */
function readMap(reader, tile, signed) {
  const { width, height } = reader;
  const bytes = reader.read(tile);
  const values = new Float32Array(width * height);
  let peak = 0;
  for (let p = 0; p < values.length; p++) {
    values[p] = Playback.readByte(bytes[4 * p], signed);
    peak = Math.max(peak, Math.abs(values[p]));
  }
  return { values, width, height, peak };
}

/** A canvas that shows tiles of one kind, enlarged by a whole number. */
class Screen {
  constructor(canvas, sheets) {
    this.canvas = canvas;
    this.sheets = sheets;
    this.factor = Math.max(1, Math.min(Math.ceil(HEIGHT / sheets.height), Math.floor(WIDEST / sheets.width)));
    canvas.width = sheets.width * this.factor;
    canvas.height = sheets.height * this.factor;
    this.context = canvas.getContext("2d", { willReadFrequently: true });
    this.reader = new TileReader(sheets);
    this.image = this.context.createImageData(canvas.width, canvas.height);
  }

  clear() {
    this.context.fillStyle = "#14161c";
    this.context.fillRect(0, 0, this.canvas.width, this.canvas.height);
  }

  draw(tile) {
    const { width, height } = this.sheets;
    this.context.imageSmoothingEnabled = false;
    this.context.drawImage(tile.bitmap, tile.x, tile.y, width, height, 0, 0,
      this.canvas.width, this.canvas.height);
  }

  /** Draw a tile under a map, whose values are multiplied by `scale`. */
  drawUnder(tile, map, scale, look) {
    const { factor, image, sheets: { width, height }, canvas } = this;
    const pixels = new Uint32Array(this.reader.read(tile).buffer);
    const enlarged = new Uint32Array(image.data.buffer);
    const row = factor * width;
    for (let y = 0, at = 0; y < height; y++) {
      const start = y * factor * row;
      for (let x = 0, out = start; x < width; x++, at++) {
        for (let copy = 0; copy < factor; copy++, out++) enlarged[out] = pixels[at];
      }
      for (let copy = 1; copy < factor; copy++) enlarged.copyWithin(start + copy * row, start, start + row);
    }
    const levels = enlargeMap(map, [canvas.width, canvas.height], scale);
    layOver(image.data, levels, { ...look, width: canvas.width });
    this.context.putImageData(image, 0, 0);
  }

  /** Outline a region of a grid. */
  outline(region, grid) {
    for (const [color, line] of [["#000", 5], ["#fff", 2]]) this.frame(region, grid, color, line, []);
  }

  /** Outline a region of a grid, thin and dashed: black and white in turn show on any picture. */
  dash(region, grid) {
    this.frame(region, grid, "#000", 1.5, []);
    this.frame(region, grid, "#fff", 1.5, DASHES);
  }

  /** Frame the whole picture. */
  frameAll([color, line]) {
    this.context.setLineDash([]);
    this.context.strokeStyle = color;
    this.context.lineWidth = line;
    this.context.strokeRect(0, 0, this.canvas.width, this.canvas.height);
  }

  frame(region, { rows, columns }, color, line, dashes) {
    const [width, height] = [this.canvas.width / columns, this.canvas.height / rows];
    const [row, column] = [Math.floor(region / columns), region % columns];
    this.context.strokeStyle = color;
    this.context.lineWidth = line;
    this.context.setLineDash(dashes);
    this.context.strokeRect(column * width + 2, row * height + 2, width - 4, height - 4);
  }

  /** The region of a grid at a place of the page. */
  regionAt(event, { rows, columns }) {
    const box = this.canvas.getBoundingClientRect();
    const column = Math.floor(((event.clientX - box.left) / box.width) * columns);
    const row = Math.floor(((event.clientY - box.top) / box.height) * rows);
    const inside = row >= 0 && row < rows && column >= 0 && column < columns;
    return inside ? row * columns + column : null;
  }
}

/** The pictures of one step of a playback. */
export class Pictures {
  constructor(playback, { game, seen }) {
    this.playback = playback;
    this.game = game && playback.rendered && new Screen(game, playback.rendered);
    this.seen = seen && playback.observed && new Screen(seen, playback.observed);
    for (const [canvas, screen] of [[game, this.game], [seen, this.seen]]) {
      if (canvas) canvas.closest("figure").hidden = !screen;
    }
    this.asked = 0;
    this.readers = new Map(); // by the size of maps
  }

  /**
   * Draw a step as it is asked for; what was asked for before and is not drawn yet is left out.
   *
   * @param found the map that is drawn, as `findMap` finds it, or null
   * @param brightest the region that is framed, or null
   * @returns `{drawn, peak}`: whether it was drawn, and the largest magnitude of the map, if any
   */
  async draw(position, { explainer, found, brightest, back, look, region }) {
    const asked = ++this.asked;
    const { playback } = this;
    const chosen = playback.explainers[explainer];
    const sheets = found && look.style !== "none" ? found.map.sheets : null;
    const older = sheets && found.position !== position;
    const drawn = playback.frameBefore(position, back);
    const [mapTile, gameTile, seenTile] = await Promise.all([
      sheets ? sheets.tile(Playback.tileOf(chosen, found.index, back)) : null,
      this.game ? this.game.sheets.tile(position) : null,
      this.seen && drawn !== null ? this.seen.sheets.tile(drawn) : null,
    ]);
    if (asked !== this.asked) return { drawn: false, peak: null };
    const map = mapTile && readMap(this.readerOf(sheets), mapTile, chosen.signed);
    const scale = map && look.own && !chosen.common ? 1 / map.peak : 1;
    const opacity = look.opacity * (older ? FADED : 1);
    for (const [screen, tile] of [[this.game, gameTile], [this.seen, seenTile]]) {
      if (!screen) continue;
      if (!tile) screen.clear();
      // an empty map leaves the picture as it is
      else if (map && map.peak > 0) screen.drawUnder(tile, map, scale, { ...look, opacity });
      else screen.draw(tile);
      if (sheets && older) screen.frameAll(OLDER);
      if (sheets && brightest !== null) screen.dash(brightest, playback.removal);
      if (region !== null && playback.removal) screen.outline(region, playback.removal);
    }
    return { drawn: true, peak: map && map.peak };
  }

  readerOf({ width, height }) {
    const key = [width, height].join();
    if (!this.readers.has(key)) this.readers.set(key, new TileReader({ width, height }));
    return this.readers.get(key);
  }

  /** Let regions be chosen on the pictures. */
  watch(regions) {
    const { removal } = this.playback;
    if (!removal || !removal.rows) return;
    for (const screen of [this.game, this.seen]) {
      if (!screen) continue;
      const { canvas } = screen;
      canvas.tabIndex = 0;
      canvas.classList.add("pointed");
      regions.watch(canvas, (event) => screen.regionAt(event, removal), removal);
      canvas.addEventListener("click", (event) => regions.toggle(screen.regionAt(event, removal)));
    }
  }
}
