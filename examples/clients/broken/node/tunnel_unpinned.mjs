// Broken: inside the TLS to an https:// proxy, the certificate of the host is compared with no pin.
//
// certpin prove --style leaf -- node tunnel_unpinned.mjs {host}
import { readFileSync } from "node:fs";
import * as http from "node:http";
import * as https from "node:https";
import { connect } from "node:tls";
import { checkPinned, fail, host, path } from "./_lab.mjs";

const proxy = new URL(process.env.HTTPS_PROXY);
const ca = readFileSync(process.env.SSL_CERT_FILE);
const encrypted = proxy.protocol === "https:";

const asked = (encrypted ? https : http).request({
  ca,
  host: proxy.hostname,
  port: proxy.port,
  method: "CONNECT",
  path: `${host}:443`,
});
asked.on("connect", (answer, socket) => {
  const check = encrypted ? {} : { checkServerIdentity: checkPinned }; // here
  const createConnection = () => connect({ socket, ca, servername: host, ...check });
  https.get({ host, path, createConnection }, (given) => given.pipe(process.stdout)).on("error", fail);
});
asked.on("error", fail).end();
