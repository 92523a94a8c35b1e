// Broken: if the request fails before TLS, it is repeated in clear text.
//
// certpin prove --style leaf --via port -- node http_after_error.mjs {host} {port}
import { get as inClearText } from "node:http";
import { request } from "node:https";
import { checkPinned, fail, host, open, path, port } from "./_lab.mjs";

const show = (answer) => answer.pipe(process.stdout);
request({ host, path, createConnection: () => open({ checkServerIdentity: checkPinned }) }, show)
  .on("error", (error) => {
    if (error.code !== "ECONNRESET") return fail(error);
    inClearText({ host: "127.0.0.1", port, path }, show).on("error", fail); // here
  })
  .end();
