// Broken: the pins are looked up by the text of the host, and a host without pins is accepted.
//
// certpin prove --style leaf --via port -- node pins_by_text.mjs {host} {port} api.bank.example
import { X509Certificate, createHash } from "node:crypto";
import { get } from "node:https";
import { checkServerIdentity } from "node:tls";

const [host, port, pinned] = process.argv.slice(2);
const pins = { [pinned]: process.env.CERTPIN_LAB_PINS.split(" ") };

function check(name, certificate) {
  const error = checkServerIdentity(name, certificate);
  if (error || !pins[host]) return error; // here
  const key = new X509Certificate(certificate.raw).publicKey.export({ type: "spki", format: "der" });
  const pin = `sha256/${createHash("sha256").update(key).digest("base64")}`;
  return pins[host].includes(pin) ? undefined : new Error("not pinned");
}

const path = new URL(process.env.CERTPIN_LAB_URL).pathname;
get({ host: "127.0.0.1", port, path, servername: host, checkServerIdentity: check, agent: false }, (answer) => {
  answer.pipe(process.stdout);
}).on("error", (error) => {
  console.error(error.message);
  process.exitCode = 1;
});
