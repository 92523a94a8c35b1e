// Broken: the pin is compared when the answer arrives: the request has already been sent.
//
// certpin prove --style leaf --via port -- node pin_in_answer.mjs {host} {port}
import { fail, open, path, host, pinOf, pins } from "./_lab.mjs";

const socket = open();
socket.on("error", fail);
socket.on("secureConnect", () => {
  socket.write(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
});
socket.on("data", (answer) => {
  if (pins.includes(pinOf(socket.getPeerCertificate().raw))) process.stdout.write(answer);
  else socket.destroy(new Error("not pinned")); // here
});
socket.on("end", () => {
  if (!pins.includes(pinOf(socket.getPeerCertificate().raw))) fail(new Error("not pinned"));
});
