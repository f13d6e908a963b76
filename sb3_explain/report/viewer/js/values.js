// Whether the agent's value tells what comes: each step's value against the return that came.

import { format } from "./strip.js";

/** Side and margin of the square in pixels. */
const SIDE = 320;
const MARGIN = 30;

/** Smallest and largest of numbers. */
function rangeOf(numbers) {
  let [low, high] = [Infinity, -Infinity];
  for (const one of numbers) {
    if (one < low) low = one;
    if (one > high) high = one;
  }
  return [low, high];
}

/**
 * Draw each step's value against the return that came; a click goes to the nearest step.
 *
 * @param mark the element that marks a step
 * @returns a function that puts the mark on a step
 */
export function plotValues({ canvas, mark }, playback, go, signal) {
  const { value, return_to_come: come } = playback.columns;
  const figure = canvas.closest("figure");
  const steps = value && come
    ? Array.from({ length: playback.n }, (_, i) => i).filter((i) => Number.isFinite(come.at(i)) && Number.isFinite(value.at(i)))
    : [];
  figure.hidden = !steps.length;
  if (!steps.length) return () => {};
  const values = steps.map((i) => value.at(i));
  const returns = steps.map((i) => come.at(i));
  let [across, up] = [rangeOf(returns), rangeOf(values)];
  const together = playback.one_scale;
  if (together) across = up = rangeOf([...across, ...up]);
  figure.querySelector(".value-note").textContent = [
    together ? "On the line it is right." : "Value and return have axes of their own.",
    playback.value_note,
  ].filter(Boolean).join(" ");
  const place = (one, [low, high]) => MARGIN + ((one - low) / (high - low || 1)) * (SIDE - 2 * MARGIN);
  const ratio = Math.max(1, devicePixelRatio);
  canvas.width = SIDE * ratio;
  canvas.height = SIDE * ratio;
  const draw = () => {
    const style = getComputedStyle(canvas);
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, SIDE, SIDE);
    if (together) {
      context.strokeStyle = style.getPropertyValue("--faint");
      context.beginPath();
      context.moveTo(MARGIN, SIDE - MARGIN);
      context.lineTo(SIDE - MARGIN, MARGIN);
      context.stroke();
    }
    context.fillStyle = "rgba(217, 114, 11, .45)";
    steps.forEach((_, i) => {
      context.fillRect(place(returns[i], across) - 1.5, SIDE - place(values[i], up) - 1.5, 3, 3);
    });
    context.fillStyle = style.getPropertyValue("--ink");
    context.font = "12px system-ui, sans-serif";
    // ticks stand at the ends of an axis, its name in the middle
    const label = ([low, high], name) => {
      for (const [text, align, at] of [[format(low), "left", MARGIN], [name, "center", SIDE / 2], [format(high), "right", SIDE - MARGIN]]) {
        context.textAlign = align;
        context.fillText(text, at, 0);
      }
    };
    context.save();
    context.translate(0, SIDE - 10);
    label(across, "future return");
    context.restore();
    context.save();
    context.translate(16, SIDE);
    context.rotate(-Math.PI / 2);
    label(up, "value");
    context.restore();
  };
  draw();
  matchMedia("screen and (prefers-color-scheme: dark)").addEventListener("change", draw, { signal });
  canvas.addEventListener("click", (event) => {
    const box = canvas.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * SIDE;
    const y = SIDE - ((event.clientY - box.top) / box.height) * SIDE;
    const distance = (i) => (place(returns[i], across) - x) ** 2 + (place(values[i], up) - y) ** 2;
    const nearest = steps.reduce((best, _, i) => (distance(i) < distance(best) ? i : best), 0);
    go(steps[nearest]);
  });
  const numbers = new Map(steps.map((position, i) => [position, i]));
  return (position) => {
    const i = numbers.get(position);
    mark.hidden = i === undefined;
    if (mark.hidden) return;
    mark.style.left = `${(100 * place(returns[i], across)) / SIDE}%`;
    mark.style.bottom = `${(100 * place(values[i], up)) / SIDE}%`;
  };
}
