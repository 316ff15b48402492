import type { Destination } from "../api/schema";

/** A destination in one word: a service's name, or `provider:model`. */
export const labelOf = (end: Destination) => end.service ?? `${end.provider}:${end.model}`;

/** What `labelOf` wrote. */
export function destinationOf(label: string): Destination {
  const colon = label.indexOf(":");
  return colon < 0 ? { service: label } : { provider: label.slice(0, colon), model: label.slice(colon + 1) };
}
