// Asks the exported module what it would decide: "HOST MOMENT CERTIFICATE…" a line, in base64.
import readline from "node:readline";
import { pathToFileURL } from "node:url";

const { decide, policyFor } = await import(pathToFileURL(process.argv[2]));

function decided(host, moment, leaf) {
  const policy = policyFor(host);
  if (!policy) return "- unpinned";
  const failure = decide(host, policy, Buffer.from(leaf, "base64"), new Date(moment));
  if (!failure) return policy.pattern + " accept";
  const reason = failure.code.replace("ERR_CERTPIN_", "").toLowerCase().replace("_", "-");
  return [policy.pattern, failure.enforced ? "refuse" : "report", reason].join(" ");
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  console.log("decided", decided(...line.split(" ")));
}
