//= header
// Restricts the keys of each host of this program, and refuses all other hosts.
//
//   import https from "node:https";
//   import { pinnedAgent } from "./certpin-pins.mjs";
//   https.get("https://api.bank.example/accounts", { agent: pinnedAgent() }, …);
//
// Node.js verifies chain, name and dates first. The pin of the server's certificate is then checked
// before anything is sent. A refusal is a PinError. The fetch of Node.js does not support agents.
import crypto from "node:crypto";
import http from "node:http";
import https from "node:https";
import net from "node:net";
import tls from "node:tls";

const policies = [
  //= policies
];

/** The reason why a connection was refused, or would have been in enforce mode. */
export class PinError extends Error {
  constructor(reason, host, policy, seen) {
    super(host + ": " + reason + (seen ? ", it shows " + seen : ""));
    this.name = "PinError";
    // MISMATCH, COMPROMISED_KEY, EXPIRED, UNPINNED, INSECURE
    this.code = "ERR_CERTPIN_" + reason.toUpperCase().replace("-", "_");
    this.host = host;
    this.policy = policy?.pattern; // undefined if the host has none
    this.enforced = policy?.mode !== "report";
  }
}

class PinnedAgent extends https.Agent {
  #onFailure;

  constructor(options, onFailure) {
    // checkServerIdentity is not called for resumed sessions, so none are cached.
    super({ ...options, maxCachedSessions: 0 });
    this.#onFailure = onFailure;
  }

  createConnection(options, callback) {
    const host = normalise(options.host ?? "");
    const policy = policyFor(host);
    if (!policy) {
      callback(this.#failed(new PinError("unpinned", host)));
      return undefined;
    }
    const required = this.#tls(host, policy, options.minVersion);
    return super.createConnection({ ...options, ...required }, callback);
  }

  #tls(host, policy, minVersion = tls.DEFAULT_MIN_VERSION) {
    return {
      host,
      servername: net.isIP(host) ? "" : host, // a Host header must not change the verified name
      rejectUnauthorized: true, // overrides NODE_TLS_REJECT_UNAUTHORIZED
      session: undefined,
      minVersion: minVersion === "TLSv1.3" ? minVersion : "TLSv1.2",
      ...(policy.trust ? anchors(policy.trust) : {}),
      checkServerIdentity: (name, certificate) => {
        const problem = tls.checkServerIdentity(host, certificate);
        if (problem) return problem;
        const failure = decide(host, policy, certificate.raw, new Date());
        if (failure) this.#failed(failure);
        return failure?.enforced ? failure : undefined;
      },
    };
  }

  #failed(failure) {
    this.#onFailure(failure);
    return failure;
  }
}

/**
 * Returns an agent for node:https. `options` are those of https.Agent; `onFailure` is called for
 * every failure, including those in report mode.
 */
export function pinnedAgent(options = {}, onFailure = () => {}) {
  return new PinnedAgent(options, onFailure);
}

/** Returns an agent for node:http that refuses requests, for libraries that follow redirects. */
export function refusingAgent() {
  const agent = new http.Agent();
  agent.createConnection = (options, callback) => {
    callback(new PinError("insecure", options.host));
  };
  return agent;
}

/** Returns the policy of a host: an exact name first, then "*.", then "**.", longest name first. */
export function policyFor(host) {
  const patterns = [host];
  if (!net.isIP(host)) {
    let parent = above(host);
    patterns.push("**." + host, "*." + parent);
    for (; parent; parent = above(parent)) patterns.push("**." + parent);
  }
  const found = patterns.find((each) => policies.some((policy) => policy.pattern === each));
  return policies.find((policy) => policy.pattern === found);
}

/** Returns the failure of a verified certificate (DER), or undefined. */
export function decide(host, policy, der, now) {
  let enforced = policy.mode === "enforce";
  const key = "sha256/" + sha256(publicKeyOf(der)).toString("base64");
  const octets = sha256(der).toString("hex").toUpperCase().match(/../g);
  const shown = [key, "cert-sha256/" + octets.join(":")];
  if (shown.some((pin) => policy.compromised?.includes(pin))) {
    return new PinError("compromised-key", host, policy, key);
  }
  if (policy.expires && now >= new Date(policy.expires)) {
    if (policy.onExpiry === "fail-closed") return new PinError("expired", host, policy);
    if (policy.onExpiry === "fail-open") return undefined;
    enforced = false;
  }
  if (shown.some((pin) => policy.pins.includes(pin))) return undefined;
  const failure = new PinError("mismatch", host, policy, key);
  failure.enforced = enforced;
  return failure;
}

/** Returns the unchanged SubjectPublicKeyInfo of a certificate (RFC 5280 section 4.1). */
export function publicKeyOf(der) {
  let place = inside(der, inside(der, 0)); // Certificate, TBSCertificate
  if (der[place] === 0xa0) place = after(der, place); // version
  for (let passed = 0; passed < 5; passed += 1) place = after(der, place);
  return der.subarray(place, after(der, place));
}

// OpenSSL has already parsed the certificate, so it is valid DER.
function size(der, place) {
  const first = der[place + 1];
  if (first < 0x80) return [2, first];
  const octets = Math.min(first - 0x80, 6); // longer certificates do not fit into TLS
  let length = 0;
  for (let index = 0; index < octets; index += 1) length = length * 256 + der[place + 2 + index];
  return [2 + first - 0x80, length];
}

function inside(der, place) {
  return place + size(der, place)[0];
}

function after(der, place) {
  const [head, length] = size(der, place);
  return place + head + length;
}

function sha256(data) {
  return crypto.createHash("sha256").update(data).digest();
}

function above(name) {
  const dot = name.indexOf(".");
  return dot < 0 ? "" : name.slice(dot + 1);
}

// An anchor may be an intermediate, as in certpin's clients.
function anchors(pem) {
  return { ca: pem, allowPartialTrustChain: true, secureContext: undefined };
}

// Normalises a host: lower case, no trailing dot, canonical addresses as in a URL.
function normalise(host) {
  if (net.isIPv6(host)) return new URL("https://[" + host + "]").hostname.slice(1, -1);
  const name = host.toLowerCase();
  return name.endsWith(".") ? name.slice(0, -1) : name;
}
