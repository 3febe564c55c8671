// Balancers before nodes, with the configurations of the folder deploy.
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort, listening, run, which } from "./redis.mjs";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const deploy = join(root, "deploy");

/**
 * Kinds: name -> its configurations, the port in them, and how it is started. Those of Traefik are in two files: main has the
 * port, and leads to the other.
 */
const kinds = {
  nginx: {
    files: { plain: "nginx/nginx.conf", sticky: "nginx/sticky.conf" },
    port: ["listen 80;", (port) => `listen 127.0.0.1:${port};`],
    args: (file, dir) => ["-p", dir, "-c", file, "-e", "stderr", "-g", `daemon off; pid ${dir}/pid; ${paths(dir)}`],
    edit: (text, dir) => text.replace("http {", `http {\n\taccess_log off;\n${temp(dir)}`),
  },
  haproxy: {
    files: { plain: "haproxy/haproxy.cfg", sticky: "haproxy/sticky.cfg" },
    port: ["bind :80", (port) => `bind 127.0.0.1:${port}`],
    args: (file) => ["-db", "-f", file],
    // What an ordinary user's limits allow; and less time to notice things.
    edit: (text) => text.replace(/maxconn \d+/, "maxconn 2000").replace("inter 1s", "inter 200ms"),
  },
  caddy: {
    files: { plain: "caddy/Caddyfile", sticky: "caddy/sticky.Caddyfile" },
    port: [":80 {", (port) => `http://127.0.0.1:${port} {`],
    args: (file) => ["run", "--adapter", "caddyfile", "--config", file],
    edit: (text) => `{\n\tadmin off\n\tauto_https off\n}\n${text}`,
  },
  traefik: {
    files: { plain: "traefik/roomcast.yaml", sticky: "traefik/sticky.yaml" },
    main: "traefik/traefik.yaml",
    port: ['address: ":80"', (port) => `address: "127.0.0.1:${port}"`],
    args: (file, dir) => [`--configFile=${join(dir, "main.yaml")}`],
    edit: (text) => text.replace("interval: 1s", "interval: 200ms"),
    editMain: (text, file) => `${text.replace("/etc/traefik/roomcast.yaml", file)}global:\n  checkNewVersion: false\n`,
  },
};

const paths = () => "error_log stderr notice;";
const temp = (dir) =>
  ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `\t${name}_temp_path ${dir}/${name};`).join("\n");

/** Path of a balancer, or undefined: scripts/build makes some in bin. */
const find = (kind) => which(kind) ?? (existsSync(join(root, "bin", kind)) ? join(root, "bin", kind) : undefined);

export const missing = (kind) => (find(kind) ? false : `no ${kind} here`);

/** Starts a balancer before nodes ("host:port" each): { url, port, stop }. variant: plain or sticky. */
export async function startBalancer(kind, nodes, variant = "plain") {
  const { files, main, port: place, args, edit, editMain } = kinds[kind];
  const dir = mkdtempSync(join(tmpdir(), `roomcast-${kind}-`));
  chmodSync(dir, 0o755); // started by root, nginx works as another user
  const port = await freePort();
  const read = (name) => readFileSync(join(deploy, name), "utf8");
  const listen = (name) => {
    const text = read(name);
    if (!text.includes(place[0])) throw new Error(`${name} has no "${place[0]}"`);
    return text.replace(place[0], place[1](port));
  };
  let text = main ? read(files[variant]) : listen(files[variant]);
  nodes.forEach((node, i) => (text = text.replaceAll(`node${i + 1}:8080`, node)));
  const file = join(dir, "config" + extname(files[variant]));
  writeFileSync(file, edit(text, dir));
  if (main) writeFileSync(join(dir, "main.yaml"), editMain(listen(main), file));
  const env = { ...process.env, HOME: dir, XDG_CONFIG_HOME: dir, XDG_DATA_HOME: dir };
  const balancer = run(find(kind), args(file, dir), { env });
  try {
    await listening(port, `${kind}: ${balancer.log}`);
  } catch (err) {
    throw new Error(`${err.message}: ${balancer.log}`);
  }
  const { stop } = balancer;
  return Object.assign(balancer, {
    port,
    url: `http://127.0.0.1:${port}`,
    stop: async () => {
      await stop();
      rmSync(dir, { recursive: true, force: true });
    },
  });
}
