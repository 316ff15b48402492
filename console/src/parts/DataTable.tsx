import { SearchOutlined } from "@ant-design/icons";
import { Input, Select, Skeleton, Table, type TableColumnType } from "antd";
import { useEffect, useMemo, useState, type Key, type MouseEvent, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { ColumnChoice, useColumns } from "./ColumnChoice";
import { Empty, ProblemView, type EmptyProps } from "./Feedback";
import { isOwnClick } from "./rowClick";
import { isBeyond, PAGE_SIZE, useUrlMany } from "./url";

export { PAGE_SIZE };

export interface Column<T> extends Omit<TableColumnType<T>, "key" | "title" | "sorter"> {
  key: string;
  title: string;
  /** What rows are compared by; true when the platform sorts, by the field that `key` names. */
  sort?: ((row: T) => string | number) | true;
  number?: boolean;
  optional?: boolean;
}

export interface Filter<T> {
  key: string;
  label: string;
  options: { value: string; label: string }[];
  /** Left out when the platform filters. */
  match?: (row: T, value: string) => boolean;
}

interface Listing<T> {
  data?: { items: T[]; total: number };
  isPending: boolean;
  error: unknown;
  refetch: () => unknown;
}

interface Props<T> {
  name: string;
  listing: Listing<T>;
  rowKey: (row: T) => string;
  columns: Column<T>[];
  /** The text that search looks through; left out when the platform searches and pages. */
  text?: (row: T) => string;
  /** Whether there is something to search; so by default. */
  searchable?: boolean;
  filters?: Filter<T>[];
  /** More controls that narrow the list, after the filters, and the keys under which they live in the address. */
  narrow?: { controls: ReactNode; keys: string[] };
  extra?: ReactNode;
  empty: EmptyProps;
  onOpen?: (row: T) => void;
  bulk?: (rows: T[], done: () => void) => ReactNode;
  cards?: (row: T) => ReactNode;
  /** What a row opens to; null for a row that has nothing more to tell. */
  expand?: (row: T) => ReactNode;
}

/** A list with search, filters, sort, column choice, paging, bulk actions; what is chosen lives in the address. */
export function DataTable<T extends object>(props: Props<T>) {
  const { name, listing, rowKey, columns, text, searchable = true, filters = [], narrow, extra, empty, onOpen, bulk, cards, expand } = props;
  const { t } = useTranslation();
  const [url, setUrl] = useUrlMany();
  const [selected, setSelected] = useState<Key[]>([]);
  const [hidden, setHidden] = useColumns(name, columns);
  const search = url.get("search") ?? "";
  const page = Number(url.get("page") ?? 1);
  const [sortKey, direction] = (url.get("sort") ?? "").split(":");
  const all = listing.data?.items;

  const rows = useMemo(() => {
    const words = search.toLowerCase().split(/\s+/).filter(Boolean);
    return (all ?? []).filter(
      (row) =>
        (!text || words.every((word) => text(row).toLowerCase().includes(word))) &&
        filters.every((filter) => !filter.match || !url.get(filter.key) || filter.match(row, url.get(filter.key) ?? "")),
    );
  }, [all, search, text, filters, url]);

  const shown = columns
    .filter((column) => !hidden.includes(column.key))
    .map<TableColumnType<T>>(({ sort, number, ...column }) => ({
      ...column,
      ...(number ? { align: "right" as const, className: "num" } : {}),
      ...(sort ? { sorter: sort === true ? true : (a: T, b: T) => compare(sort(a), sort(b)), sortOrder: sortKey === column.key ? (direction === "desc" ? "descend" : "ascend") : null } : {}),
    }));

  // Rows went away, or the address is old: without a page of its own the list shows its first one.
  const beyond = !text && isBeyond(page, listing.data);
  useEffect(() => {
    if (beyond) setUrl({ page: undefined });
  }, [beyond, setUrl]);

  const untouched = !search && [...filters.map((filter) => filter.key), ...(narrow?.keys ?? [])].every((key) => !url.get(key));
  if (listing.error && !listing.data) return <ProblemView error={listing.error} retry={() => void listing.refetch()} />;
  if (listing.data && listing.data.total === 0 && untouched) return <section className="panel"><Empty {...empty} /></section>;
  const total = text ? rows.length : (listing.data?.total ?? 0);
  const chosen = rows.filter((row) => selected.includes(rowKey(row)));

  return (
    <section className="panel list">
      <div className="toolbar">
        {searchable && <Input allowClear style={{ width: 240 }} prefix={<SearchOutlined className="quiet" />} placeholder={t("list.search")} aria-label={t("list.search")} value={search} onChange={(event) => setUrl({ search: event.target.value, page: undefined })} />}
        {filters.map((filter) => (
          <Select key={filter.key} allowClear style={{ minWidth: 140 }} placeholder={filter.label} aria-label={filter.label} options={filter.options} value={url.get(filter.key) ?? undefined} onChange={(value?: string) => setUrl({ [filter.key]: value, page: undefined })} />
        ))}
        {narrow?.controls}
        {bulk && chosen.length > 0 && bulk(chosen, () => setSelected([]))}
        <span className="count num" aria-live="polite">{listing.data ? t("list.count", { count: total }) : ""}</span>
        {extra}
        {!cards && <ColumnChoice columns={columns} hidden={hidden} onChange={setHidden} />}
      </div>
      {listing.isPending ? (
        <div style={{ padding: 16 }}><Skeleton active title={false} paragraph={{ rows: 6, width: "100%" }} /></div>
      ) : cards ? (
        <div className="cards" style={{ padding: "0 12px 12px" }}>{rows.map(cards)}</div>
      ) : (
        <Table<T>
          size="middle"
          rowKey={rowKey}
          columns={shown}
          dataSource={rows}
          scroll={{ x: "max-content" }}
          locale={{ emptyText: <span className="quiet">{t("list.nothing")}</span> }}
          expandable={expand ? { expandedRowRender: expand, rowExpandable: (row) => expand(row) !== null } : undefined}
          rowSelection={bulk ? { selectedRowKeys: selected, onChange: setSelected, columnWidth: 40 } : undefined}
          onRow={(row) => (onOpen ? { className: "link", onClick: ({ currentTarget, target }: MouseEvent<HTMLElement>) => isOwnClick(currentTarget, target as Element) && onOpen(row) } : {})}
          onChange={(paging, _, sorting, { action }) => {
            const by = Array.isArray(sorting) ? sorting[0] : sorting;
            setUrl({ page: action === "paginate" && paging.current && paging.current > 1 ? String(paging.current) : undefined, sort: by?.order ? `${String(by.columnKey)}:${by.order === "descend" ? "desc" : "asc"}` : undefined });
          }}
          pagination={total > PAGE_SIZE ? { current: page, pageSize: PAGE_SIZE, total, showSizeChanger: false } : false}
        />
      )}
    </section>
  );
}

function compare(a: string | number, b: string | number): number {
  return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
}
