// Pictures that lie side by side in larger ones, which are decoded when they are looked at.

/** How many decoded sheets of one kind are kept. */
const KEPT = 6;

/** Tiles of one size, by number: `{height, width, columns, tiles, blobs, n}`. */
export class Sheets {
  constructor(described, read) {
    Object.assign(this, described);
    this.read = read;
    this.decoded = new Map(); // sheet -> bitmap, the one used last at the end
    this.pending = new Map();
  }

  /** Where tile `i` lies, `{bitmap, x, y}`, or null while its sheet is not decoded. */
  ready(i) {
    const sheet = Math.floor(i / this.tiles);
    const bitmap = this.decoded.get(sheet);
    if (!bitmap) return null;
    this.decoded.delete(sheet);
    this.decoded.set(sheet, bitmap);
    const place = i % this.tiles;
    return {
      bitmap,
      x: (place % this.columns) * this.width,
      y: Math.floor(place / this.columns) * this.height,
    };
  }

  /** Decode the sheet of tile `i`, and keep it. */
  async load(i) {
    const sheet = Math.floor(i / this.tiles);
    if (sheet < 0 || sheet >= this.blobs.length || this.decoded.has(sheet)) return;
    if (!this.pending.has(sheet)) this.pending.set(sheet, this.decode(sheet));
    await this.pending.get(sheet);
  }

  async decode(sheet) {
    const blob = new Blob([await this.read(this.blobs[sheet])], { type: "image/webp" });
    // Values of maps are read back: no color profile may change them.
    const options = { colorSpaceConversion: "none", premultiplyAlpha: "none" };
    this.decoded.set(sheet, await createImageBitmap(blob, options));
    this.pending.delete(sheet);
    while (this.decoded.size > KEPT) {
      const [oldest, bitmap] = this.decoded.entries().next().value;
      this.decoded.delete(oldest);
      bitmap.close();
    }
  }

  /** Tile `i`, once it is decoded; the sheet that comes next is decoded meanwhile. */
  async tile(i) {
    await this.load(i);
    this.load(i + this.tiles);
    return this.ready(i);
  }
}
