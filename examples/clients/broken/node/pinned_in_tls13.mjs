// Broken: the pin is compared only in TLS 1.3.
//
// certpin prove --style leaf --via port -- node pinned_in_tls13.mjs {host} {port}
import { createHash } from "node:crypto";
import { connect } from "node:tls";

const [host, port] = process.argv.slice(2);
const pins = process.env.CERTPIN_LAB_PINS.split(" ");
const path = new URL(process.env.CERTPIN_LAB_URL).pathname;

const socket = connect({ host: "127.0.0.1", port, servername: host }, () => {
  const key = socket.getPeerX509Certificate().publicKey.export({ type: "spki", format: "der" });
  const pin = `sha256/${createHash("sha256").update(key).digest("base64")}`;
  if (socket.getProtocol() === "TLSv1.3" && !pins.includes(pin)) { // here
    socket.destroy(new Error("not pinned"));
    return;
  }
  socket.write(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
});
socket.pipe(process.stdout);
socket.on("error", (error) => {
  console.error(error.message);
  process.exitCode = 1;
});
