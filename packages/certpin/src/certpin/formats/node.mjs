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
    // MISMATCH, COMPROMISED_KEY, EXPIRED, NOT_DER, UNPINNED, INSECURE
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
    const target = net.isIP(host) ? options.host : host; // with the zone of an address
    return super.createConnection({ ...options, ...required, host: target }, callback);
  }

  #tls(host, policy, minVersion = tls.DEFAULT_MIN_VERSION) {
    return {
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
  let key;
  try {
    key = "sha256/" + sha256(publicKeyOf(der)).toString("base64");
  } catch {
    const failure = new PinError("not-der", host, policy);
    failure.enforced = true; // in report mode, too: the key that OpenSSL verified is unknown
    return failure;
  }
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

/**
 * Returns the unchanged SubjectPublicKeyInfo of a certificate (RFC 5280 section 4.1). Throws if the
 * certificate is not strict DER (X.690 section 10).
 */
export function publicKeyOf(der) {
  const [certificate] = fieldsOf(der, /^30$/);
  const [signed] = fieldsOf(certificate.content, /^30 30 03$/);
  const fields = fieldsOf(signed.content, /^(a0 )?02 30 30 30 30 30( 81)?( 82)?( a3)?$/);
  const key = fields[fields[0].tag === "a0" ? 6 : 5];
  const [algorithm, bits] = fieldsOf(key.content, /^30 03$/);
  fieldsOf(algorithm.content, /^06( 05| 06| 30)?$/);
  if (bits.content[0] !== 0) throw new Error("a key consists of whole octets");
  return key.encoded;
}

// Returns the fields of a value, whose tags must match `tags`. OpenSSL also reads indefinite and
// padded lengths (BER), with which another program could find an attacker's text as the key.
function fieldsOf(value, tags) {
  const fields = [];
  for (let start = 0, end; start < value.length; start = end) {
    const [from, length] = contentAt(value, start);
    end = from + length;
    if (end > value.length) throw new Error("a field leaves its value");
    fields.push({
      tag: value.toString("hex", start, start + 1),
      content: value.subarray(from, end),
      encoded: value.subarray(start, end),
    });
  }
  if (!tags.test(fields.map(({ tag }) => tag).join(" "))) throw new Error("unexpected fields");
  return fields;
}

// Returns where the content of a field begins, and its length, which must be in the shortest form.
function contentAt(value, start) {
  const first = value[start + 1];
  if (first < 0x80) return [start + 2, first];
  const octets = first - 0x80; // 0 in the indefinite form
  const from = start + 2 + octets;
  // Longer certificates do not fit into TLS.
  if (!(octets >= 1 && octets <= 3 && from <= value.length)) throw new Error("not a DER length");
  const length = value.readUIntBE(start + 2, octets);
  if (length < 0x80 || length < 256 ** (octets - 1)) throw new Error("not a DER length");
  return [from, length];
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

// Normalises a host: lower case, no trailing dot, canonical addresses (RFC 5952) without a zone.
function normalise(host) {
  if (net.isIPv6(host)) {
    const [address] = host.split("%"); // a URL has no zones
    return canonical(new URL("https://[" + address + "]").hostname.slice(1, -1));
  }
  const name = host.toLowerCase();
  return name.endsWith(".") ? name.slice(0, -1) : name;
}

// A URL writes ::ffff:192.0.2.7 as ::ffff:c000:207.
function canonical(address) {
  const mapped = /^::ffff:([^:]+):([^:]+)$/.exec(address);
  if (!mapped) return address;
  const octets = mapped.slice(1).flatMap((group) => [...Buffer.from(group.padStart(4, "0"), "hex")]);
  return "::ffff:" + octets.join(".");
}
