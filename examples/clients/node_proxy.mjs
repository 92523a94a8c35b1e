// Node: the pin of the leaf behind an http:// or https:// proxy.
//
//   certpin prove -- node node_proxy.mjs {host}
//
// TLS to an https:// proxy is verified for the proxy, and has no pins. TLS to the host is inside it,
// with the host's name and pins.
import crypto from "node:crypto";
import fs from "node:fs";
import http from "node:http";
import https from "node:https";
import net from "node:net";
import tls from "node:tls";

const [host] = process.argv.slice(2);
const ca = fs.readFileSync(process.env.SSL_CERT_FILE);
const pins = process.env.CERTPIN_LAB_PINS.split(" ");
const proxy = new URL(process.env.HTTPS_PROXY);
const { pathname } = new URL(process.env.CERTPIN_LAB_URL);

function checkServerIdentity(name, certificate) {
  const problem = tls.checkServerIdentity(name, certificate);
  if (problem) return problem;
  const { publicKey } = new crypto.X509Certificate(certificate.raw);
  const spki = publicKey.export({ type: "spki", format: "der" });
  const pin = "sha256/" + crypto.createHash("sha256").update(spki).digest("base64");
  return pins.includes(pin) ? undefined : new Error(`${name} shows ${pin}, which is not pinned`);
}

function fail(error) {
  console.error(error.message);
  process.exitCode = 1;
}

const authority = `${net.isIPv6(host) ? `[${host}]` : host}:443`;
const library = proxy.protocol === "https:" ? https : http;
const request = library.request({
  ca,
  host: proxy.hostname,
  port: proxy.port,
  method: "CONNECT",
  path: authority, // without a header Host: Node would compare it with the proxy's certificate
});
request.on("connect", (answer, socket) => {
  socket.on("error", fail);
  if (answer.statusCode !== 200) return socket.destroy(new Error(`status ${answer.statusCode}`));
  const servername = net.isIP(host) ? "" : host;
  const createConnection = () => tls.connect({ socket, host, servername, ca, checkServerIdentity });
  const asked = https.request({ host, path: pathname, createConnection }, (given) => given.pipe(process.stdout));
  asked.on("error", fail).end();
});
request.on("error", fail).end();
