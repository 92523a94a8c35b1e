// Node: the pin of the leaf, in checkServerIdentity, after Node's own check of the name.
//
//   certpin prove --via port -- node node_https.mjs {host} {port}
//
// Node calls it for chains that it verified. Its certificate is the leaf of that path. Do not look
// for a pin in the rest of getPeerCertificate(true): that is what the server sent.
import crypto from "node:crypto";
import fs from "node:fs";
import https from "node:https";
import net from "node:net";
import tls from "node:tls";

const [host, port] = process.argv.slice(2);
const roots = process.env.SSL_CERT_FILE;
const pins = process.env.CERTPIN_LAB_PINS.split(" ");
const path = new URL(process.env.CERTPIN_LAB_URL).pathname;

function checkServerIdentity(name, certificate) {
  const problem = tls.checkServerIdentity(name, certificate);
  if (problem) return problem;
  const { publicKey } = new crypto.X509Certificate(certificate.raw);
  const spki = publicKey.export({ type: "spki", format: "der" });
  const pin = "sha256/" + crypto.createHash("sha256").update(spki).digest("base64");
  return pins.includes(pin) ? undefined : new Error(`${name} shows ${pin}, which is not pinned`);
}

function createConnection() {
  const socket = net.connect(Number(port), host === "::1" ? "::1" : "127.0.0.1");
  const servername = net.isIP(host) ? "" : host;
  return tls.connect({ socket, host, servername, ca: fs.readFileSync(roots), checkServerIdentity });
}

const request = https.request({ host, path, createConnection }, (response) => {
  response.pipe(process.stdout);
});
request.on("error", (error) => {
  console.error(error.message);
  process.exitCode = 1;
});
request.end();
