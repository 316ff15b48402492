import type { Accelerator } from "../../api/schema";

/** How many of which, e.g. `4 × H20`; empty where there is none. */
export function productsOf(devices: Pick<Accelerator, "product">[]): string {
  const counts = new Map<string, number>();
  for (const device of devices) counts.set(device.product, (counts.get(device.product) ?? 0) + 1);
  return [...counts].map(([product, count]) => `${count} × ${product}`).join(", ");
}
