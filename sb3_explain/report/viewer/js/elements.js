// Elements with texts.

/** Make an element with a text. */
export function make(kind, text, name = "") {
  const element = document.createElement(kind);
  element.textContent = text;
  if (name) element.className = name;
  return element;
}

/** A number of steps in words. */
export const countSteps = (n) => `${n} ${n === 1 ? "step" : "steps"}`;

/** Write a text into an element, which is laid out anew only if it is another one. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
