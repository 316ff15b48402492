import { useState } from "react";

/** The start of a span of days that ends now; fixed while the page is open so that queries stay the same. */
export function useSince(days: number): string {
  const [opened] = useState(() => Math.floor(Date.now() / 3_600_000) * 3_600_000);
  return new Date(opened - days * 86_400_000).toISOString();
}
