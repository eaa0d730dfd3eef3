// Sends what a program asks of fal's hosts to the server at FAL_LOCAL, and changes nothing else.
const local = process.env.FAL_LOCAL;
const places = {
  "fal.run": "/fal/run",
  "queue.fal.run": "/fal/queue",
  "rest.fal.ai": "/fal/rest",
  "v3.fal.media": "/fal/cdn",
};
const plain = globalThis.fetch;
globalThis.fetch = (resource, options) => {
  const url = new URL(resource.url ?? resource);
  const place = places[url.hostname];
  return plain(place ? local + place + url.pathname + url.search : resource, options);
};
