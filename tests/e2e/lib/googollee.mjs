// Builds compat/googollee/testdata/program, a program of googollee's users, in
// three ways, and runs it.
//
//   original  with googollee itself
//   import    with Roomcast, by other import paths, as a user would change them
//   replace   with Roomcast, unchanged, by a replace line in the program's go.mod
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { launch } from "./server.mjs";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const source = join(root, "compat/googollee/testdata/program");
const theirs = "github.com/googollee/go-socket.io";
const ours = "github.com/roomcast/roomcast/compat/googollee";

// The same for all runs of a checkout, so that what is up to date isn't linked again.
const checkout = createHash("sha256").update(root).digest("hex").slice(0, 12);
const dir = join(tmpdir(), `roomcast-googollee-${process.getuid?.() ?? ""}-${checkout}`);
mkdirSync(dir, { recursive: true, mode: 0o700 });

const files = readdirSync(source).filter((name) => name.endsWith(".go"));
const go = (cwd, ...args) => execFileSync("go", args, { cwd, stdio: ["ignore", "inherit", "inherit"], env: { ...process.env, GOFLAGS: "" } });

const builders = {
  original(output) {
    go(root, "build", "-o", output, source);
  },
  import(output) {
    const moved = join(dir, "moved");
    mkdirSync(moved, { recursive: true });
    const Replace = {};
    for (const name of files) {
      const text = readFileSync(join(source, name), "utf8");
      writeFileSync(join(moved, name), text.replaceAll(`"${theirs}`, `"${ours}`)); // with a quote: docs/from-googollee.md
      Replace[join(source, name)] = join(moved, name);
    }
    writeFileSync(join(dir, "overlay.json"), JSON.stringify({ Replace }));
    // The race detector watches our program while the clients use it.
    go(root, "build", "-race", "-overlay", join(dir, "overlay.json"), "-o", output, source);
  },
  replace(output) {
    const program = join(dir, "program");
    mkdirSync(program, { recursive: true });
    for (const name of files) writeFileSync(join(program, name), readFileSync(join(source, name)));
    const mod = readFileSync(join(root, "go.mod"), "utf8").replace(/^module .*/m, "module example.org/program");
    writeFileSync(
      join(program, "go.mod"),
      `${mod}
require github.com/roomcast/roomcast v0.0.0

replace ${theirs} => ${join(root, "compat/googollee/replace")}

replace github.com/roomcast/roomcast => ${root}
`,
    );
    writeFileSync(join(program, "go.sum"), readFileSync(join(root, "go.sum")));
    go(program, "build", "-mod=mod", "-o", output, ".");
  },
};

const built = {};

/** Builds the program in these ways, unless it is already. */
export function build(...ways) {
  for (const way of ways) {
    if (built[way]) continue;
    const output = join(dir, way);
    builders[way](output);
    built[way] = output;
  }
}

/** Starts a part of the program, built in one of the three ways. */
export function start(way, ...args) {
  build(way);
  return launch(built[way], args);
}
