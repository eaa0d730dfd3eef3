// Loaded by Node under `imagemill exec`, as NODE_OPTIONS tells it to: what Node does not send through
// the proxy of the environment by itself goes there. Where Node does (NODE_USE_ENV_PROXY, from 22.21
// and 24.5 on), nothing is changed: each connection is looked at when it is made, not the version.
"use strict";

const http = require("node:http");
const https = require("node:https");
const net = require("node:net");
const tls = require("node:tls");

const DISPATCHER = Symbol.for("undici.globalDispatcher.1"); // where fetch finds who connects for it
const PORTS = { "http:": 80, "https:": 443 };

const proxy = new URL(process.env.HTTPS_PROXY || "http://127.0.0.1:0");
const around = (process.env.NO_PROXY ?? "").split(",").map((name) => name.trim().toLowerCase());

/** Whether `host` is reached without the proxy, as the proxy itself is. */
function isDirect(host) {
  const name = host.replace(/^\[|\]$/g, "").toLowerCase();
  if (name === proxy.hostname) return true;
  const covers = (each) => name === each || name.endsWith(each.startsWith(".") ? each : `.${each}`);
  return around.some((each) => each !== "" && covers(each));
}

/** What proves to the proxy that it has started this program; nothing where the address has none. */
function proof() {
  if (!proxy.username) return {};
  const both = `${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`;
  return { "proxy-authorization": `Basic ${Buffer.from(both).toString("base64")}` };
}

/** Gives `done` a socket on which `host` speaks. */
function tunnel(host, port, done) {
  const target = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  const asked = http.request({
    host: proxy.hostname,
    port: proxy.port,
    method: "CONNECT",
    path: target,
    headers: { host: target, ...proof() },
    agent: false,
  });
  asked.once("error", done);
  asked.once("connect", (reply, socket) => {
    if (reply.statusCode === 200) return done(null, socket);
    socket.destroy();
    return done(new Error(`${target}: ${reply.statusCode} ${reply.statusMessage}`));
  });
  asked.end();
}

/** Agents of http and https, whoever made them: fetch apart, everything in Node connects by one. */
function patch(agents, port, secured) {
  const plain = agents.createConnection;
  agents.createConnection = function createConnection(options, done, ...rest) {
    const host = options?.hostname ?? options?.host;
    const passes = typeof host !== "string" || options.socketPath || this?.options?.proxyEnv;
    if (passes || typeof done !== "function" || isDirect(host)) {
      return plain.call(this, options, done, ...rest);
    }
    tunnel(host, options.port ?? port, (error, socket) => {
      if (error) done(error);
      else done(null, secured ? tls.connect({ ...options, socket, path: undefined }) : socket);
    });
    return undefined;
  };
}

/** Connects for fetch; gives `done` the socket once it can be written to. */
function connect({ hostname, protocol, port, servername }, done) {
  const host = hostname.replace(/^\[|\]$/g, "");
  const number = Number(port) || PORTS[protocol];
  const ready = (socket) => {
    const event = protocol === "https:" ? "secureConnect" : "connect";
    socket.once("error", done).once(event, () => {
      socket.off("error", done);
      done(null, socket);
    });
  };
  const name = servername || (net.isIP(host) ? "" : host);
  const secured = { host, port: number, servername: name, ALPNProtocols: ["http/1.1"] };
  if (isDirect(host)) {
    ready(protocol === "https:" ? tls.connect(secured) : net.connect({ host, port: number }));
    return;
  }
  tunnel(host, number, (error, socket) => {
    if (error) done(error);
    else if (protocol === "https:") ready(tls.connect({ ...secured, socket }));
    else done(null, socket);
  });
}

/** Has fetch connect as above, unless somebody has seen to that already, be it Node or the program. */
function patchFetch() {
  const plain = globalThis.fetch;
  let looked = false;
  globalThis.fetch = function fetch(...given) {
    if (!looked) {
      looked = true;
      void globalThis.Request; // has Node load what stands behind fetch
      const current = globalThis[DISPATCHER];
      const Agent = current?.constructor;
      if (Agent?.name === "Agent") globalThis[DISPATCHER] = new Agent({ connect });
    }
    return plain.apply(this, given);
  };
}

// A program that was started without the proxy's address is left alone.
if (process.env.HTTPS_PROXY) {
  patch(http.Agent.prototype, PORTS["http:"], false);
  patch(https.Agent.prototype, PORTS["https:"], true);
  patchFetch();
}
