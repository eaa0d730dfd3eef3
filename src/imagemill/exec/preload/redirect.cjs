// Loaded by Node under `imagemill exec`, as NODE_OPTIONS tells it to: whoever connects to a host that
// is answered for is connected to us, so that libraries come, too, that know nothing of proxies. It
// is at the socket that all of them meet; agents, `fetch` and what they return stay as they are.
"use strict";

const fs = require("node:fs");
const module_ = require("node:module");
const net = require("node:net");
const tls = require("node:tls");

const HERE = "127.0.0.1";

/** The name of a host as it is listed. */
const plain = (host) => String(host ?? "").replace(/^\[|\]$/g, "").replace(/\.$/, "").toLowerCase();

/** Options and the callback of any call of `connect`, which may have been put in order already. */
function ordered(given) {
  const [options, done] = Array.isArray(given[0]) ? given[0] : net._normalizeArgs(given);
  const more = given.slice(1).find((each) => each !== null && typeof each === "object");
  return [{ ...options, ...more }, done];
}

function lead({ hosts, ports, roots, offline, around }) {
  const listed = new Set(hosts);
  const trusted = fs.readFileSync(roots);

  /** Whether the proxy is not for a host, as NO_PROXY has it. */
  function isAround(host) {
    const covers = (each) => host === each || host.endsWith(each.startsWith(".") ? each : `.${each}`);
    return around.some((each) => each !== "" && covers(each.toLowerCase()));
  }

  const connect = net.Socket.prototype.connect;
  net.Socket.prototype.connect = function (...given) {
    const [options, done] = ordered(given);
    const host = plain(options.host);
    const port = ports[options.port];
    if (options.path || port === undefined) return connect.apply(this, given);
    if (listed.has(host)) return connect.call(this, { ...options, host: HERE, port }, done);
    if (offline && host !== "" && !isAround(host)) {
      const told = `imagemill exec --offline does not let through ${host}`;
      process.nextTick(() => this.destroy(new Error(told)));
      return this;
    }
    return connect.apply(this, given);
  };

  // What is said to a listed host is said to us, or not at all: whatever a program trusts otherwise.
  const secured = tls.connect;
  tls.connect = function (...given) {
    const [options, done] = ordered(given);
    if (!listed.has(plain(options.servername || options.host))) return secured.apply(this, given);
    const ours = { ca: trusted, rejectUnauthorized: true, secureContext: undefined };
    ours.checkServerIdentity = tls.checkServerIdentity;
    return secured.call(this, { ...options, ...ours }, done);
  };
  module_.syncBuiltinESMExports();
}

// A program that was started without the variable is left alone.
if (process.env.IMAGEMILL_EXEC) lead(JSON.parse(process.env.IMAGEMILL_EXEC));
