// Broken: checkServerIdentity compares the pins, and no longer the name.
//
// certpin prove --style ca --via port -- node pin_replaces_name.mjs {host} {port}
import { get, pinOf, pins } from "./_lab.mjs";

const checkServerIdentity = (name, certificate) => {
  const issuer = certificate.issuerCertificate; // here: without tls.checkServerIdentity
  return pins.includes(pinOf(issuer.raw)) ? undefined : new Error("not pinned");
};

get({ checkServerIdentity });
