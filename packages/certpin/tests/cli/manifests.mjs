// Validates Kubernetes objects with the schemas of npm's kubernetes-models packages, which are
// generated from the types of Kubernetes and cert-manager.
//
// node manifests.mjs PACKAGE=FOLDER... <objects.json
//
// Prints a list of problems for each object, as
// JSON. The schemas accept unknown fields, which an API server drops: a field that its schema never
// reads is a problem, too.
import { register } from "node:module";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const folders = Object.fromEntries(
  process.argv.slice(2).map((text) => {
    const [name, folder] = text.split("=");
    return [name, pathToFileURL(folder).href];
  }),
);

// The package "validate" only brings formats, and the length of a text in code points, but has a dozen
// dependencies. These are the formats of the manifests; a missing one ends the program.
const validateSource = `
  const number = (low, high) => ({
    validate: (value) => !Number.isInteger(value) || (low <= value && value <= high),
  });
  const isDate = (text) => typeof text !== "string" || !Number.isNaN(Date.parse(text));
  export const formats = {
    byte: { validate: (text) => typeof text !== "string" || /^[A-Za-z0-9+/]*={0,2}$/.test(text) },
    int32: number(-(2 ** 31), 2 ** 31 - 1),
    int64: number(-(2 ** 63), 2 ** 63),
    "date-time": { validate: isDate },
    quantity: { validate: /^[+-]?[0-9.]+([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$/ },
  };
  export default (text) => [...text].length;`;
const inSource = (source) => `data:text/javascript,${encodeURIComponent(source)}`;
const hooks = `
  const folders = ${JSON.stringify(folders)};
  export const resolve = (name, context, next) => {
    if (name.startsWith("@kubernetes-models/validate")) {
      return { url: ${JSON.stringify(inSource(validateSource))}, shortCircuit: true };
    }
    const used = Object.keys(folders).find((each) => name.startsWith(each + "/"));
    if (used === undefined) return next(name, context);
    return { url: folders[used] + name.slice(used.length) + ".js", shortCircuit: true };
  };`;
register(inSource(hooks));

const CORE = {
  v1: "CoreV1",
  "apps/v1": "AppsV1",
  "networking.k8s.io/v1": "NetworkingV1",
  "admissionregistration.k8s.io/v1": "AdmissionregistrationV1",
};

function schema({ apiVersion, kind }) {
  const [unit, name] = Object.hasOwn(CORE, apiVersion)
    ? ["kubernetes-models", `IoK8sApi${CORE[apiVersion]}`]
    : ["@kubernetes-models/cert-manager", "ComGithubCertManagerCertManagerPkgApisCertmanagerV1"];
  return `${folders[unit]}/_schemas/${name}${kind}.js`;
}

function watched(value, path, read) {
  return new Proxy(value, {
    get(target, name) {
      const found = target[name];
      const below = `${path}/${String(name)}`;
      read.add(below);
      return found !== null && typeof found === "object" ? watched(found, below, read) : found;
    },
  });
}

function* unread(value, path, read) {
  for (const [name, inner] of Object.entries(value)) {
    const below = `${path}/${name}`;
    if (!read.has(below)) yield `${below} is unknown`;
    else if (inner !== null && typeof inner === "object") yield* unread(inner, below, read);
  }
}

const objects = JSON.parse(readFileSync(0, "utf8"));
const found = [];
for (const each of objects) {
  const { validate } = await import(schema(each));
  const read = new Set();
  const valid = validate(watched(each, "", read));
  const errors = valid ? [] : validate.errors.map(
    (error) => `${error.instancePath} ${error.keyword} ${JSON.stringify(error.params)}`,
  );
  found.push([...errors, ...unread(each, "", read)]);
}
process.stdout.write(JSON.stringify(found));
