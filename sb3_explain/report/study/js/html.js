// Texts and pictures as HTML: what comes from outside of these scripts is escaped.

const ESCAPED = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

export function escapeHtml(text) {
  return String(text).replace(/[&<>"']/g, (letter) => ESCAPED[letter]);
}

export function makeButton(label) {
  return `<button type="button">${escapeHtml(label)}</button>`;
}

/** Figures of `[caption, data URI, alternative text, class]`. */
export function makeFigures(figures) {
  const shown = figures.map(
    ([caption, source, alt, kind = ""]) =>
      `<figure class="${kind}"><figcaption>${escapeHtml(caption)}</figcaption>` +
      `<img src="${escapeHtml(source)}" alt="${escapeHtml(alt)}"></figure>`,
  );
  return `<div class="pictures">${shown.join("")}</div>`;
}

export function makeParagraphs(texts) {
  return texts.map((text) => `<p>${escapeHtml(text)}</p>`).join("");
}
