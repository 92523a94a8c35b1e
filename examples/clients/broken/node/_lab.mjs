// Helpers for the programs of this folder: the connection to the lab, one request, and pins.
import { X509Certificate, createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { request } from "node:https";
import { connect as reach, isIP } from "node:net";
import { checkServerIdentity, connect } from "node:tls";

export const host = process.argv[2];
export const port = Number(process.argv[3]);
export const pins = process.env.CERTPIN_LAB_PINS.split(" ");
export const path = new URL(process.env.CERTPIN_LAB_URL).pathname;

export const pinOf = (raw) => {
  const key = new X509Certificate(raw).publicKey.export({ type: "spki", format: "der" });
  return `sha256/${createHash("sha256").update(key).digest("base64")}`;
};

// For the option checkServerIdentity of TLS: compares the name, and then the pin.
export const checkPinned = (name, certificate) =>
  checkServerIdentity(name, certificate) ??
  (pins.includes(pinOf(certificate.raw)) ? undefined : new Error("not pinned"));

export const open = (options = {}, to = port) => {
  const socket = reach(to, host === "::1" ? "::1" : "127.0.0.1");
  const servername = isIP(host) ? "" : host;
  return connect({ socket, host, servername, ca: readFileSync(process.env.SSL_CERT_FILE), ...options });
};

export const fail = (error) => {
  console.error(error.message);
  process.exitCode = 1;
};

// Sends one request, and prints the answer. The options are those of TLS.
export const get = (options = {}, answered = (answer) => answer.pipe(process.stdout)) => {
  const asked = request({ host, path, createConnection: () => open(options) }, answered);
  asked.on("error", fail).end();
  return asked;
};
