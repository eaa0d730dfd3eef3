// Asks one address by each of Node's HTTP libraries, and prints what each was told: as
// `http_libraries.py` does for Python. It is given to Node as text, so that packages are looked for
// where it is run.
import http2 from "node:http2";
import https from "node:https";
import { readFileSync } from "node:fs";
import { text } from "node:stream/consumers";
import keepalive from "agentkeepalive";
import axios from "axios";
import got from "got";
import nodeFetch from "node-fetch";
import OpenAI from "openai";
import * as undici from "undici";
import WebSocket from "ws";

const url = process.argv[1];

const byHttps = (options) =>
  new Promise((done, failed) => {
    https.get(url, options, (reply) => text(reply).then(done, failed)).on("error", failed);
  });

const byHttp2 = () =>
  new Promise((done, failed) => {
    const session = http2.connect(url).on("error", failed);
    const stream = session.request({ ":path": "/" }).on("error", failed);
    stream.on("response", () => text(stream).then(done, failed));
    stream.on("close", () => failed(new Error("closed without an answer")));
    stream.end();
  });

const bySocket = (Socket) =>
  new Promise((done, failed) => {
    const socket = new Socket(url.replace("https", "wss"));
    socket.onmessage = ({ data }) => done(String(data));
    socket.onerror = ({ error, message }) => failed(error ?? new Error(message));
  });

// What openai 4.x does: its agent is agentkeepalive's.
const byOpenAI = async () => {
  const client = new OpenAI({ apiKey: "sk-any", baseURL: url, maxRetries: 0 });
  return text((await client.get("/", { __binaryResponse: true })).body);
};

const libraries = {
  https: ["", () => byHttps({})],
  "https, unverified": ["", () => byHttps({ agent: false, rejectUnauthorized: false })],
  http2: ["", byHttp2],
  fetch: ["", async () => (await fetch(url)).text()],
  undici: ["undici", async () => (await undici.request(url)).body.text()],
  "undici, with an agent of its own": [
    "undici",
    async () =>
      (await undici.fetch(url, { dispatcher: new undici.Agent({ allowH2: true }) })).text(),
  ],
  ws: ["ws", () => bySocket(WebSocket)],
  axios: ["axios", async () => (await axios.get(url)).data],
  "axios, without proxies": ["axios", async () => (await axios.get(url, { proxy: false })).data],
  got: ["got", () => got(url, { retry: { limit: 0 } }).text()],
  "node-fetch": ["node-fetch", async () => (await nodeFetch(url)).text()],
  agentkeepalive: ["agentkeepalive", () => byHttps({ agent: new keepalive.HttpsAgent() })],
  "openai 4.x": ["openai", byOpenAI],
};
if (globalThis.WebSocket) libraries.WebSocket = ["", () => bySocket(globalThis.WebSocket)];

const release = (name) =>
  name && JSON.parse(readFileSync(`node_modules/${name}/package.json`, "utf8")).version;

const patience = () =>
  new Promise((_, failed) => {
    setTimeout(() => failed(new Error("no answer in 20 s")), 20_000).unref();
  });

const outcomes = {};
for (const [name, [packageName, ask]] of Object.entries(libraries)) {
  outcomes[name] = { release: release(packageName) };
  try {
    outcomes[name].body = await Promise.race([ask(), patience()]);
  } catch (error) {
    outcomes[name].error = `${error.name}: ${error.message}`;
  }
}
console.log(JSON.stringify({ node: process.versions.node, outcomes }));
process.exit(0); // whatever a library keeps open
