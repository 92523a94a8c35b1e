// Broken: rejectUnauthorized was turned off for a test server, and shipped.
//
// certpin prove --style none --via port -- node reject_unauthorized.mjs {host} {port}
import { get } from "./_lab.mjs";

get({ rejectUnauthorized: false }); // here
