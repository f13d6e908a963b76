// What a page carries: a description, and blobs of base64 that it names.

/** Bytes of base64 text. */
export function toBytes(text) {
  const binary = atob(text.trim());
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

/** The description and the reader of blobs of a page that carries both. */
export function readPage(document) {
  const description = JSON.parse(document.getElementById("playback").textContent);
  const read = async (id) => toBytes(document.getElementById(id).textContent);
  return { description, read };
}

const KINDS = { float32: Float32Array, uint8: Uint8Array, int16: Int16Array, int32: Int32Array };

/** An array that was written row by row: `at(i, j)` reads one number, NaN where it is unknown. */
export class Table {
  constructor(shape, numbers, { scale = 1, unknown }) {
    Object.assign(this, { shape, numbers, scale, unknown });
    this.strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
  }

  read(number) {
    return number === this.unknown ? NaN : number * this.scale;
  }

  at(...indices) {
    let offset = 0;
    for (let axis = 0; axis < indices.length; axis++) offset += indices[axis] * this.strides[axis];
    return this.read(this.numbers[offset]);
  }

  /** The last axis at the indices of the others. */
  row(...indices) {
    let offset = 0;
    for (let axis = 0; axis < indices.length; axis++) offset += indices[axis] * this.strides[axis];
    const length = this.shape[this.shape.length - 1];
    return Array.from(this.numbers.subarray(offset, offset + length), (one) => this.read(one));
  }
}

/** The table that `{shape, kind, scale, unknown, blob}` describes; null for null. */
export async function readTable(described, read) {
  if (!described) return null;
  const bytes = await read(described.blob);
  const numbers = new KINDS[described.kind](bytes.buffer, bytes.byteOffset,
    bytes.byteLength / KINDS[described.kind].BYTES_PER_ELEMENT);
  return new Table(described.shape, numbers, described);
}
