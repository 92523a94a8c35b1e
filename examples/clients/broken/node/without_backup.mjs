// Broken: only the first of two pins is compared: the loss of that key locks the client out.
//
// certpin prove --style leaf --via port -- node without_backup.mjs {host} {port}
import { checkServerIdentity as checkName } from "node:tls";
import { get, pinOf, pins } from "./_lab.mjs";

const checkServerIdentity = (name, certificate) =>
  checkName(name, certificate) ?? (pinOf(certificate.raw) === pins[0] ? undefined : new Error("not pinned")); // here

get({ checkServerIdentity });
