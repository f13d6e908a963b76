// What a page asks its server for; the server's own words where it refuses.

async function fetchOk(path) {
  const response = await fetch(path).catch(() => {
    throw new Error("The server does not answer: has sb3-explain view ended?");
  });
  if (!response.ok) throw new Error((await response.text()).trim() || response.statusText);
  return response;
}

export async function fetchJson(path) {
  return (await fetchOk(path)).json();
}

/** A reader of blobs that lie under a path. */
export function readFrom(path) {
  return async (id) => new Uint8Array(await (await fetchOk(`${path}/${id}`)).arrayBuffer());
}
