// Broken: the pin is compared only in TLS 1.3.
//
// certpin prove --style leaf --via port -- node pinned_in_tls13.mjs {host} {port}
import { fail, host, open, path, pinOf, pins } from "./_lab.mjs";

const socket = open().on("secureConnect", () => {
  const pin = pinOf(socket.getPeerX509Certificate().raw);
  if (socket.getProtocol() === "TLSv1.3" && !pins.includes(pin)) { // here
    socket.destroy(new Error("not pinned"));
    return;
  }
  socket.write(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
});
socket.on("error", fail).pipe(process.stdout);
