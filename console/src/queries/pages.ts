const MOST = 500;

interface Page<T> {
  items: T[];
  total: number;
}

/** All rows of a list, page after page: search, filters and sort see every one of them. */
export async function everyPage<T>(ask: (page: { offset: number; limit: number }) => Promise<Page<T>>): Promise<Page<T>> {
  const items: T[] = [];
  for (;;) {
    const page = await ask({ offset: items.length, limit: MOST });
    items.push(...page.items);
    // A page without rows ends it too: something was removed meanwhile.
    if (items.length >= page.total || page.items.length === 0) return { items, total: items.length };
  }
}
