// Broken: the host is searched in the text of all names.
//
// certpin prove --style none --via port -- node name_by_substring.mjs {host} {port}
import { get } from "./_lab.mjs";

const checkServerIdentity = (name, { subjectaltname = "", subject }) => {
  const found = subjectaltname.includes(name) || subject.CN?.includes(name); // here
  return found ? undefined : new Error("another name");
};

get({ checkServerIdentity });
