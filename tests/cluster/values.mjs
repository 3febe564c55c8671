// Values that JSON doesn't have, on their way between the tests and the servers.

/** Turns {"$bin":…}, {"$date":…}, {"$nan":1} and {"$undefined":1} into what they stand for. */
export function revive(v) {
  if (Array.isArray(v)) return v.map(revive);
  if (v === null || typeof v !== "object") return v;
  if ("$bin" in v) return Buffer.from(v.$bin, "base64");
  if ("$date" in v) return new Date(v.$date);
  if ("$nan" in v) return NaN;
  if ("$undefined" in v) return undefined;
  return Object.fromEntries(Object.entries(v).map(([k, x]) => [k, revive(x)]));
}

/** The other way, for what has arrived. */
export function plain(v) {
  if (v instanceof Uint8Array) return { $bin: Buffer.from(v).toString("base64") };
  if (v instanceof ArrayBuffer) return plain(Buffer.from(v));
  if (Array.isArray(v)) return v.map(plain);
  if (v === undefined) return null;
  if (v === null || typeof v !== "object") return v;
  return Object.fromEntries(Object.entries(v).map(([k, x]) => [k, plain(x)]));
}
