// Node: as node_https.mjs, with the checks that tls.checkServerIdentity lacks.
//
//   certpin prove --via port -- node node_strict.mjs {host} {port}
//
// A wildcard must be a whole label, and a compromised key is looked for in every issuer that Node
// found. Node verifies that path, but adds nothing to it: the pin is still that of the leaf only.
import crypto from "node:crypto";
import fs from "node:fs";
import https from "node:https";
import net from "node:net";
import tls from "node:tls";

const [host, port] = process.argv.slice(2);
const pins = process.env.CERTPIN_LAB_PINS.split(" ");
const compromised = (process.env.CERTPIN_LAB_COMPROMISED ?? "").split(" ");
const { pathname } = new URL(process.env.CERTPIN_LAB_URL);

const pinOf = ({ raw }) => {
  const spki = new crypto.X509Certificate(raw).publicKey.export({ type: "spki", format: "der" });
  return "sha256/" + crypto.createHash("sha256").update(spki).digest("base64");
};

function* issuers(certificate) {
  for (let each = certificate; each; each = each.issuerCertificate === each ? null : each.issuerCertificate) {
    yield each;
  }
}

function checkServerIdentity(name, certificate) {
  const problem = tls.checkServerIdentity(name, certificate);
  if (problem) return problem;
  const names = (certificate.subjectaltname ?? "").split(", ").map((each) => each.slice(each.indexOf(":") + 1));
  if (names.some((each) => each.lastIndexOf("*") > 0 || (each.startsWith("*") && each[1] !== "."))) {
    return new Error("a wildcard that is not a whole label");
  }
  for (const each of issuers(certificate)) {
    if (compromised.includes(pinOf(each))) return new Error("a compromised key");
  }
  return pins.includes(pinOf(certificate)) ? undefined : new Error(`${name} is not pinned`);
}

function createConnection() {
  const socket = net.connect(Number(port), host === "::1" ? "::1" : "127.0.0.1");
  const servername = net.isIP(host) ? "" : host;
  const ca = fs.readFileSync(process.env.SSL_CERT_FILE);
  return tls.connect({ socket, host, servername, ca, checkServerIdentity });
}

https
  .request({ host, path: pathname, createConnection }, (response) => response.pipe(process.stdout))
  .on("error", (error) => {
    console.error(error.message);
    process.exitCode = 1;
  })
  .end();
