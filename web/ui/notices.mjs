// A plugin for Vite that writes third-party.txt: the licences of all packages whose code
// or fonts are in the page, as their terms ask for.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** folderOf is the folder of the package that a module belongs to, or undefined: it is ours. */
function folderOf(id) {
  return /^\0?(.*\/node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(id)?.[1];
}

function notice(folder) {
  const { name, version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const file = readdirSync(folder).find((other) => /^licen[cs]e/i.test(other));
  if (!file) throw new Error(`${name} has no licence text to pass on`);
  return `${name} ${version} (${license})\n\n${readFileSync(join(folder, file), 'utf8').trim()}\n`;
}

export function notices() {
  return {
    name: 'notices',
    generateBundle(_, bundle) {
      const folders = new Set();
      for (const { type, modules, originalFileNames } of Object.values(bundle)) {
        const files = type === 'chunk' ? Object.keys(modules) : originalFileNames.map((file) => join(import.meta.dirname, file));
        for (const file of files) if (folderOf(file)) folders.add(folderOf(file));
      }
      const head = 'The page of Roomcast contains the following software and fonts.\n';
      this.emitFile({ type: 'asset', fileName: 'third-party.txt', source: [head, ...[...folders].sort().map(notice)].join(`\n${'-'.repeat(72)}\n\n`) });
    },
  };
}
