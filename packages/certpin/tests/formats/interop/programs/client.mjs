// A client of the exported module: one request, redirects followed as they come.
//
//   node client.mjs MODULE HOST PORT PATH
import http from "node:http";
import https from "node:https";
import net from "node:net";
import { pathToFileURL } from "node:url";

const [module, host, port, path] = process.argv.slice(2);
const { pinnedAgent, refusingAgent } = await import(pathToFileURL(module));
const agents = { "https:": pinnedAgent(), "http:": refusingAgent() };
const address = host === "::1" ? "::1" : "127.0.0.1"; // where the lab answers for every host

function fail(error) {
  console.error(error.code ?? "", error.message);
  process.exitCode = 1;
}

function get(url, redirects) {
  const { get: ask } = url.protocol === "https:" ? https : http;
  const options = { agent: agents[url.protocol], socket: net.connect(Number(url.port), address) };
  ask(url, options, (response) => {
    const next = response.headers.location;
    if (next && redirects > 0) {
      response.resume();
      get(new URL(next, url), redirects - 1);
    } else {
      response.pipe(process.stdout);
    }
  }).on("error", (error) => {
    options.socket.destroy(); // it keeps the program up where it was not taken
    fail(error);
  });
}

const name = host.includes(":") ? "[" + host + "]" : host;
get(new URL("https://" + name + ":" + port + path), 3);
