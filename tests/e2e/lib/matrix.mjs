// Runs scenarios for client versions × transport modes as subtests of their own.
import { test } from "node:test";
import { Run, modes, versions } from "./clients.mjs";
import { startProxy } from "./proxy.mjs";
import { startServer } from "./server.mjs";

/**
 * A scenario is { name, unless(run), proxy, run(run, proxy) }: unless says for
 * which runs it has no meaning; with proxy it gets a network that it can cut.
 *
 * setup: { name, config, versions, modes, start, thin, skip }; config is the
 * server's, start starts it (startServer). thin: of that many runs each scenario has one, and
 * each run some scenarios.
 */
export function matrix(setup, scenarios) {
  const config = setup.config ?? {};
  test(setup.name, { skip: setup.skip ?? false }, async (t) => {
    const server = await (setup.start ?? startServer)(config);
    const thin = setup.thin ?? 1;
    let runs = 0;
    try {
      for (const version of setup.versions ?? Object.keys(versions)) {
        for (const mode of setup.modes ?? Object.keys(modes)) {
          await t.test(`client ${version}, ${mode}`, async (t) => {
            const run = runs++;
            for (const [i, scenario] of scenarios.entries()) {
              if ((i + run) % thin !== 0) continue;
              if (scenario.unless?.(new Run(server, version, mode, config))) continue;
              await t.test(scenario.name, { timeout: 30_000 }, () => play(scenario, server, version, mode, config));
            }
          });
        }
      }
    } finally {
      await server.stop();
    }
  });
}

async function play(scenario, server, version, mode, config) {
  const run = new Run(server, version, mode, config);
  const proxy = scenario.proxy ? await startProxy(server.port) : null;
  try {
    await scenario.run(run, proxy);
  } finally {
    run.close();
    await proxy?.close();
  }
}
