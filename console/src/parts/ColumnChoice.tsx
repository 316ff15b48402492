import { TableOutlined } from "@ant-design/icons";
import { Button, Checkbox, Popover } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import type { Column } from "./DataTable";

/** The hidden columns of a list, remembered in this browser. */
export function useColumns<T>(name: string, columns: Column<T>[]): [string[], (hidden: string[]) => void] {
  const key = `aicp.columns.${name}`;
  const [hidden, setHidden] = useState<string[]>(() => {
    const stored = localStorage.getItem(key);
    return stored === null ? columns.filter((column) => column.optional).map((column) => column.key) : stored.split(",").filter(Boolean);
  });
  const remember = (next: string[]) => {
    localStorage.setItem(key, next.join(","));
    setHidden(next);
  };
  return [hidden, remember];
}

export function ColumnChoice<T>({ columns, hidden, onChange }: { columns: Column<T>[]; hidden: string[]; onChange: (hidden: string[]) => void }) {
  const { t } = useTranslation();
  const keys = columns.filter((column) => column.title);
  return (
    <Popover
      trigger="click"
      placement="bottomRight"
      content={
        <div className="stack">
          {keys.map((column, index) => (
            <Checkbox key={column.key} disabled={index === 0} checked={!hidden.includes(column.key)} onChange={(event) => onChange(event.target.checked ? hidden.filter((key) => key !== column.key) : [...hidden, column.key])}>
              {column.title}
            </Checkbox>
          ))}
        </div>
      }
    >
      <Button type="text" icon={<TableOutlined />} aria-label={t("list.columns")} title={t("list.columns")} />
    </Popover>
  );
}
