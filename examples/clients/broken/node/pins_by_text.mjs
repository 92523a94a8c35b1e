// Broken: the pins are looked up by the text of the host, and a host without pins is accepted.
//
// certpin prove --style leaf --via port -- node pins_by_text.mjs {host} {port} api.bank.example
import { checkServerIdentity } from "node:tls";
import { checkPinned, get, host } from "./_lab.mjs";

const pinned = process.argv[4];
get({ checkServerIdentity: host === pinned ? checkPinned : checkServerIdentity }); // here
