// Broken: the first request has pins, and the one after a redirect has none.
//
// certpin prove --style leaf --via port -- node redirect_unpinned.mjs {host} {port}
import { request } from "node:https";
import { checkPinned, fail, get, host, open, path } from "./_lab.mjs";

get({ checkServerIdentity: checkPinned }, (answer) => {
  if (!answer.headers.location) return answer.pipe(process.stdout);
  const next = new URL(answer.headers.location, `https://${host}`);
  if (next.protocol !== "https:" || next.hostname !== host) return fail(new Error("another host"));
  const createConnection = () => open({}, Number(next.port || 443)); // here
  request({ host, path, createConnection }, (last) => last.pipe(process.stdout)).on("error", fail).end();
});
