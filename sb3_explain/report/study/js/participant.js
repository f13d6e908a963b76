// Who takes part: nobody's name, a random number, and a group that is drawn.

/** Read the address, draw what it does not say, and refuse what it says wrongly. */
export function readParticipant(search, groups) {
  const asked = new URLSearchParams(search);
  const participant = asked.get("participant") ?? drawName();
  if (!/^[\w-]{1,64}$/.test(participant)) {
    throw new Error("participant= may have up to 64 letters, digits, - and _");
  }
  const text = asked.get("group");
  const group = text === null ? drawBelow(groups) : Number(text);
  if (text === "" || !Number.isInteger(group) || group < 0 || group >= groups) {
    throw new Error(`group= must be a whole number from 0 to ${groups - 1}`);
  }
  return { participant, group };
}

function drawName() {
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A whole number from 0 to n - 1, each equally often: what would favor some is drawn again. */
export function drawBelow(n) {
  const limit = 2 ** 32 - (2 ** 32 % n);
  for (;;) {
    const [drawn] = crypto.getRandomValues(new Uint32Array(1));
    if (drawn < limit) return drawn % n;
  }
}

/** The same things in random order (Fisher and Yates). */
export function shuffle(things) {
  const order = [...things];
  for (let last = order.length - 1; last > 0; last--) {
    const other = drawBelow(last + 1);
    [order[last], order[other]] = [order[other], order[last]];
  }
  return order;
}
