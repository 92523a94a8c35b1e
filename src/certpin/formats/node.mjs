//= header
// Which keys each host of this program may present; no other host is called.
//
//   import https from "node:https";
//   import { pinnedAgent } from "./certpin-pins.mjs";
//   https.get("https://api.bank.example/accounts", { agent: pinnedAgent() }, …);
//
// Node.js verifies chain, name and dates first, as always; the pin of the server's own certificate
// is looked at before anything is sent. A refusal is a PinError. The fetch of Node.js takes no agent.
import crypto from "node:crypto";
import http from "node:http";
import https from "node:https";
import net from "node:net";
import tls from "node:tls";

const policies = [
  //= policies
];

/** Why a connection was refused, or would have been. */
export class PinError extends Error {
  constructor(reason, host, policy, seen) {
    super(host + ": " + reason + (seen ? ", it shows " + seen : ""));
    this.name = "PinError";
    // MISMATCH, COMPROMISED_KEY, EXPIRED, UNPINNED, INSECURE
    this.code = "ERR_CERTPIN_" + reason.toUpperCase().replace("-", "_");
    this.host = host;
    this.policy = policy?.pattern; // undefined where the host has none
    this.enforced = policy?.mode !== "report";
  }
}

class PinnedAgent extends https.Agent {
  #onFailure;

  constructor(options, onFailure) {
    // A resumed session is not checked again (checkServerIdentity is not called): keep none.
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
    return super.createConnection({ ...options, ...this.#tls(host, policy) }, callback);
  }

  #tls(host, policy) {
    return {
      host,
      servername: net.isIP(host) ? "" : host, // a Host header does not choose what is verified
      rejectUnauthorized: true, // whatever NODE_TLS_REJECT_UNAUTHORIZED says
      session: undefined,
      minVersion: "TLSv1.2",
      ...(policy.trust ? { ca: policy.trust, secureContext: undefined } : {}),
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
 * An agent for node:https. `options` are those of https.Agent; `onFailure` hears of every failure,
 * those that are only reported too.
 */
export function pinnedAgent(options = {}, onFailure = () => {}) {
  return new PinnedAgent(options, onFailure);
}

/** An agent for node:http that refuses: give it to a library that follows redirects. */
export function refusingAgent() {
  const agent = new http.Agent();
  agent.createConnection = (options, callback) => {
    callback(new PinError("insecure", options.host));
  };
  return agent;
}

/** The policy of a host: an exact name, then "*.", then "**.", the longer name first. */
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

/** What is wrong with a certificate (DER) that was verified; undefined where nothing is. */
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

/** The SubjectPublicKeyInfo of a certificate, as it stands there (RFC 5280 section 4.1). */
export function publicKeyOf(der) {
  let place = inside(der, inside(der, 0)); // Certificate, TBSCertificate
  if (der[place] === 0xa0) place = after(der, place); // version
  for (let passed = 0; passed < 5; passed += 1) place = after(der, place);
  return der.subarray(place, after(der, place));
}

// OpenSSL has read the certificate before: what is not DER has not come here.
function size(der, place) {
  const first = der[place + 1];
  if (first < 0x80) return [2, first];
  const octets = Math.min(first - 0x80, 6); // more is no certificate that fits into TLS
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

// Lower case, no trailing dot, addresses in their canonical form, which is how a URL writes them.
function normalise(host) {
  if (net.isIPv6(host)) return new URL("https://[" + host + "]").hostname.slice(1, -1);
  const name = host.toLowerCase();
  return name.endsWith(".") ? name.slice(0, -1) : name;
}
